"""What every `StreamTail` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received
from penstock_testkit.conformance.bus import RUN_0, WAIT_S, Bus, command, commands, numbers


async def read(messages: AsyncIterator[Received], count: int) -> list[Received]:
    """Read `count` messages."""
    return [await asyncio.wait_for(anext(messages), WAIT_S) for _ in range(count)]


class TailSuite:
    """Run with a fixture `bus`."""

    async def test_gives_what_was_there_and_then_what_comes(self, bus: Bus) -> None:
        await bus.publisher().publish([command(n, n % 2) for n in range(10)])
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter) as messages:
            assert numbers(await read(messages, 5)) == [0, 2, 4, 6, 8]
            await bus.publisher().publish([command(10), command(11, 1), command(12)])
            assert numbers(await read(messages, 2)) == [10, 12]

    async def test_starts_at_a_sequence(self, bus: Bus) -> None:
        await bus.publisher().publish(commands(1, 10))
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter, 7) as messages:
            taken = await read(messages, 4)
        assert [message.sequence for message in taken] == [7, 8, 9, 10]

    async def test_starts_at_a_time_of_the_server(self, bus: Bus) -> None:
        await bus.publisher().publish(commands(1, 5))
        await bus.publisher().publish(commands(6, 10))
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter) as messages:
            sixth = (await read(messages, 6))[-1]
        since_us = sixth.time_us
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter, since_us=since_us) as later:
            taken = await read(later, 5)
            await bus.break_connections()
            await bus.publisher().publish(commands(11, 12))
            taken += await read(later, 2)
        assert [message.sequence for message in taken] == list(range(6, 13))

    async def test_starts_at_a_time_that_nothing_has_reached(self, bus: Bus) -> None:
        await bus.publisher().publish(commands(1, 5))
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter) as messages:
            last = (await read(messages, 5))[-1]
        since_us = last.time_us + 1
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter, since_us=since_us) as later:
            await bus.publisher().publish(commands(6, 6))
            assert numbers(await read(later, 1)) == [6]

    async def test_starts_before_there_is_anything(self, bus: Bus) -> None:
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter, 0) as messages:
            first = asyncio.create_task(read(messages, 1))
            await bus.publisher().publish([command(1)])
            assert numbers(await first) == [1]

    async def test_a_slow_reader_misses_nothing(self, bus: Bus) -> None:
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter) as messages:
            await bus.publisher().publish(commands(1, 5000))
            assert numbers(await read(messages, 5000)) == list(range(1, 5001))

    async def test_goes_on_after_a_reconnect_and_a_crash(self, bus: Bus) -> None:
        async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter) as messages:
            await bus.publisher().publish(commands(1, 100))
            taken = await read(messages, 50)
            await bus.break_connections()
            await bus.publisher().publish(commands(101, 200))
            taken += await read(messages, 100)
            await bus.crash()
            await bus.publisher().publish(commands(201, 300))
            taken += await read(messages, 150)
        assert numbers(taken) == list(range(1, 301))

    async def test_several_follow_at_once(self, bus: Bus) -> None:
        tail = bus.tail()
        async with (
            tail.follow(Stream.RUNS, RUN_0.subject_filter) as one,
            tail.follow(Stream.RUNS, RUN_0.subject_filter) as two,
        ):
            await bus.publisher().publish(commands(1, 3))
            assert numbers(await read(one, 3)) == numbers(await read(two, 3)) == [1, 2, 3]

    async def test_without_a_server_it_says_so(self, bus: Bus) -> None:
        await bus.stop()
        with pytest.raises(TransientFault):
            async with bus.tail().follow(Stream.RUNS, RUN_0.subject_filter):
                pytest.fail("nothing can be followed")
        await bus.start()
