"""What every `Publisher` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import asyncio

import pytest

from penstock_contracts import subjects
from penstock_contracts.envelope import MAX_MESSAGE_BYTES
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.conformance.bus import (
    QUIET_S,
    RUN_0,
    WAIT_S,
    Bus,
    command,
    commands,
    numbers,
    take_exactly,
)


def task(number: int) -> Outgoing:
    """A task; its subject takes one message."""
    return Outgoing(Stream.TASKS, subjects.task("default", "pool", "agent", str(number)), b"task")


class PublisherSuite:
    """Run with a fixture `bus`."""

    async def test_outcomes_come_in_the_order_of_the_batch(self, bus: Bus) -> None:
        publisher = bus.publisher()
        assert await publisher.publish([]) == []
        assert await publisher.publish([task(1), task(2), task(1), command(1)]) == [
            Published.DONE,
            Published.DONE,
            Published.ALREADY_THERE,
            Published.DONE,
        ]

    async def test_more_than_a_window_is_published_in_order(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        assert set(await bus.publisher().publish(commands(1, 2500))) == {Published.DONE}
        assert numbers(await take_exactly(inbox, 2500)) == list(range(1, 2501))

    async def test_several_callers_do_not_mix_up_their_outcomes(self, bus: Bus) -> None:
        publisher = bus.publisher()
        await publisher.publish([task(n) for n in range(0, 100, 2)])
        outcomes = await asyncio.gather(
            *(publisher.publish([task(n), task(n + 1)]) for n in range(0, 100, 2))
        )
        assert set(map(tuple, outcomes)) == {(Published.ALREADY_THERE, Published.DONE)}

    async def test_a_copy_is_no_error(self, bus: Bus) -> None:
        copy = Outgoing(Stream.RUNS, command(1).subject, b"1", "same-id")
        assert set(await bus.publisher().publish([copy, copy])) == {Published.DONE}

    async def test_a_subject_that_was_purged_takes_a_message_again(self, bus: Bus) -> None:
        publisher = bus.publisher()
        await publisher.publish([task(1), task(2)])
        await publisher.purge_subject(Stream.TASKS, task(1).subject)
        assert await publisher.publish([task(1), task(2)]) == [
            Published.DONE,
            Published.ALREADY_THERE,
        ]

    async def test_a_full_stream_refuses(self, bus: Bus) -> None:
        await bus.limit(Stream.RUNS, 3)
        assert await bus.publisher().publish(commands(1, 4)) == [
            *[Published.DONE] * 3,
            Published.FULL,
        ]

    async def test_a_stream_that_is_not_there_fails(self, bus: Bus) -> None:
        stray = Outgoing(Stream.RUNS, "elsewhere.entirely", b"")
        assert await bus.publisher().publish([stray]) == [Published.FAILED]

    async def test_core_messages_are_done_when_sent(self, bus: Bus) -> None:
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(10)

        async def handler(subject: str, payload: bytes) -> None:
            heard.put_nowait((subject, payload))

        subject = subjects.control("default", "t1", "cancel")
        end = await bus.control().listen(subjects.control_filter(verb="cancel"), handler)
        outcome = await bus.publisher().publish([Outgoing(None, subject, b"why"), command(1)])
        assert outcome == [Published.DONE, Published.DONE]
        assert await asyncio.wait_for(heard.get(), WAIT_S) == (subject, b"why")
        await end()

    async def test_too_large_a_message_is_refused_before_anything_is_sent(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        large = Outgoing(Stream.RUNS, command(2).subject, bytes(MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ValueError, match="artifact"):
            await bus.publisher().publish([command(1), large])
        assert await inbox.confirm_empty()

    async def test_the_largest_message_passes(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        large = Outgoing(Stream.RUNS, command(1).subject, bytes(MAX_MESSAGE_BYTES))
        assert await bus.publisher().publish([large] * 3) == [Published.DONE] * 3
        taken = await take_exactly(inbox, 3)
        assert {len(message.payload) for message in taken} == {MAX_MESSAGE_BYTES}

    async def test_nothing_is_sent_or_kept_while_disconnected(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        publisher = bus.publisher()
        await bus.stop()
        core = Outgoing(None, subjects.control("default", "t1", "cancel"), b"")
        assert await publisher.publish([command(1), core]) == [Published.FAILED] * 2
        with pytest.raises(TransientFault):
            await publisher.purge_subject(Stream.RUNS, command(1).subject)
        await bus.start()
        assert await inbox.take(1, QUIET_S) == []
        assert await inbox.confirm_empty()
        assert await publisher.publish([command(2)]) == [Published.DONE]
        assert numbers(await take_exactly(inbox, 1)) == [2]

    async def test_what_was_done_is_there_after_a_crash(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        batch = commands(1, 5000)
        publishing = asyncio.create_task(bus.publisher().publish(batch))
        first = await take_exactly(inbox, 1)
        await bus.crash()
        outcomes = await asyncio.wait_for(publishing, 2 * WAIT_S)
        done = [n for n, outcome in enumerate(outcomes, 1) if outcome is Published.DONE]
        stored = list(first)
        while more := await inbox.take(1000, QUIET_S) or (
            [] if await inbox.confirm_empty() else await inbox.take(1000, WAIT_S)
        ):
            stored.extend(more)
        assert set(done) <= set(numbers(stored))
