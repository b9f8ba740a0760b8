"""What every `Inbox` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import pytest

from penstock_contracts import subjects
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.inbox import Attachment, Inbox, Received
from penstock_runtime.ports.ledger import Witness
from penstock_testkit.conformance.bus import (
    CATALOG,
    QUIET_S,
    RUN_0,
    RUN_1,
    Bus,
    command,
    commands,
    numbers,
    take_exactly,
)

RUNS = Stream.RUNS.value


def behind(attachment: Attachment, message: Received) -> dict[str, Witness]:
    """The position once `message` is committed."""
    created_us = attachment.positions[message.stream].created_us
    return {message.stream: Witness(created_us, message.sequence, message.time_us)}


async def read_to(bus: Bus, inbox: Inbox, count: int) -> tuple[dict[str, Witness], list[Received]]:
    """Attach from the start, publish `count` commands, take them: position and messages."""
    attachment = await inbox.attach({})
    await bus.publisher().publish(commands(1, count))
    taken = await take_exactly(inbox, count)
    return behind(attachment, taken[-1]), taken


class InboxSuite:
    """Run with a fixture `bus`."""

    async def test_gives_messages_in_order_with_their_places(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        await bus.publisher().publish(
            [Outgoing(Stream.RUNS, command(1).subject, b"1", "id-1"), *commands(2, 5)]
        )
        taken = await take_exactly(inbox, 5)
        assert numbers(taken) == [1, 2, 3, 4, 5]
        assert [message.sequence for message in taken] == [1, 2, 3, 4, 5]
        times = [message.time_us for message in taken]
        assert times == sorted(times)
        assert taken[0].headers == {"Nats-Msg-Id": "id-1"}
        assert taken[1].headers == {}
        assert taken[0].subject == command(1).subject
        assert {message.stream for message in taken} == {RUNS}

    async def test_holes_that_a_filter_leaves_are_no_gaps(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        await bus.publisher().publish([command(n, n % 3) for n in range(300)])
        taken = await take_exactly(inbox, 100)
        assert numbers(taken) == list(range(0, 300, 3))
        assert await inbox.take(1, QUIET_S) == []

    async def test_ten_thousand_messages_arrive_in_order(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        outcomes = await bus.publisher().publish(commands(1, 10_000))
        assert set(outcomes) == {Published.DONE}
        taken = await take_exactly(inbox, 10_000)
        assert numbers(taken) == list(range(1, 10_001))
        assert await inbox.confirm_empty()

    async def test_take_gives_at_most_its_limit_and_returns_empty_handed_in_time(
        self, bus: Bus
    ) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        assert await inbox.take(5, QUIET_S) == []
        await bus.publisher().publish(commands(1, 10))
        assert len(await take_exactly(inbox, 3)) == 3
        assert numbers(await take_exactly(inbox, 7)) == [4, 5, 6, 7, 8, 9, 10]

    async def test_reads_several_streams(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0, CATALOG)
        attachment = await inbox.attach({})
        assert set(attachment.positions) == {RUNS, Stream.CATALOG.value}
        apply = subjects.catalog("default", "workflow", "w", "apply_workflow")
        await bus.publisher().publish([*commands(1, 3), Outgoing(Stream.CATALOG, apply, b"4")])
        taken = await take_exactly(inbox, 4)
        assert sorted(numbers(taken)) == [1, 2, 3, 4]
        assert numbers([m for m in taken if m.stream == RUNS]) == [1, 2, 3]
        assert await inbox.confirm_empty()

    async def test_one_source_for_each_stream(self, bus: Bus) -> None:
        with pytest.raises(ValueError, match="one source"):
            bus.inbox(RUN_0, RUN_1)

    async def test_a_source_without_position_is_renewed(self, bus: Bus) -> None:
        await bus.publisher().publish(commands(1, 3))
        await bus.publisher().publish(commands(1, 3, partition=1))
        attachment = await bus.inbox(RUN_0).attach({})
        assert attachment.renewed == {RUNS}
        assert attachment.positions[RUNS].sequence == 0
        assert attachment.positions[RUNS].time_us is None
        assert attachment.ends == {RUNS: 3}, "the last message within the filter"
        assert attachment.lost == frozenset()

    async def test_goes_on_behind_its_position(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, taken = await read_to(bus, inbox, 10)
        attachment = await inbox.attach({RUNS: Witness(position[RUNS].created_us)})
        assert attachment.renewed == frozenset()
        assert numbers(await take_exactly(inbox, 10)) == numbers(taken)
        attachment = await inbox.attach(position)
        assert attachment.renewed == frozenset()
        assert attachment.positions == position
        await bus.publisher().publish([command(11)])
        assert numbers(await take_exactly(inbox, 1)) == [11]

    async def test_attach_drops_what_was_on_hand(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, _ = await read_to(bus, inbox, 5)
        await bus.publisher().publish(commands(6, 8))
        assert numbers(await take_exactly(inbox, 1)) == [6]
        await inbox.attach(position)
        assert numbers(await take_exactly(inbox, 3)) == [6, 7, 8]
        assert await inbox.take(1, QUIET_S) == []

    async def test_confirms_that_it_is_empty(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        assert await inbox.confirm_empty()
        for number in range(1, 51):  # the question must not run ahead of the acknowledgement
            await bus.publisher().publish([command(number)])
            assert not await inbox.confirm_empty()
        await bus.publisher().publish(commands(1, 5, partition=1))
        await take_exactly(inbox, 50)
        assert await inbox.confirm_empty()

    async def test_a_stream_made_again_is_renewed(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, _ = await read_to(bus, inbox, 5)
        assert await inbox.verify(position) == frozenset()
        start = {RUNS: Witness(position[RUNS].created_us)}
        assert await inbox.verify(start) == frozenset()
        await bus.recreate(Stream.RUNS)
        assert await inbox.verify(position) == {RUNS}
        assert await inbox.verify(start) == {RUNS}
        await bus.publisher().publish(commands(101, 109))
        assert await inbox.verify(position) == {RUNS}
        attachment = await inbox.attach(position)
        assert attachment.renewed == {RUNS}
        assert attachment.positions[RUNS].sequence == 0
        assert attachment.positions[RUNS].created_us > position[RUNS].created_us
        assert numbers(await take_exactly(inbox, 9)) == list(range(101, 110))
        attachment = await inbox.attach(attachment.positions)
        assert attachment.renewed == frozenset(), "its start, once committed, is in order"

    async def test_an_older_copy_put_back_and_filled_again_is_renewed(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        attachment = await inbox.attach({})
        await bus.publisher().publish(commands(1, 5))
        await bus.keep_copy()
        await bus.publisher().publish(commands(6, 10))
        position = behind(attachment, (await take_exactly(inbox, 10))[-1])
        await bus.put_copy_back()
        assert await inbox.verify(position) == {RUNS}, "beyond the last sequence"
        await bus.publisher().publish(commands(106, 111))
        assert await inbox.verify(position) == {RUNS}, "another message stands at the position"
        attachment = await inbox.attach(position)
        assert attachment.renewed == {RUNS}
        assert attachment.positions[RUNS].created_us == position[RUNS].created_us
        assert attachment.ends == {RUNS: 11}
        assert numbers(await take_exactly(inbox, 11)) == [*range(1, 6), *range(106, 112)]

    async def test_a_position_beyond_the_end_is_renewed(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, _ = await read_to(bus, inbox, 5)
        ahead = {RUNS: Witness(position[RUNS].created_us, 9, position[RUNS].time_us)}
        assert (await inbox.attach(ahead)).renewed == {RUNS}
        assert numbers(await take_exactly(inbox, 5)) == [1, 2, 3, 4, 5]

    async def test_purges_its_filter_and_keeps_the_message_at_the_position(self, bus: Bus) -> None:
        await bus.publisher().publish(commands(901, 903, partition=1))
        inbox = bus.inbox(RUN_0)
        position, taken = await read_to(bus, inbox, 10)
        await inbox.purge(RUN_0, position[RUNS].sequence)
        assert await inbox.verify(position) == frozenset()
        await bus.publisher().publish(commands(11, 12))
        assert numbers(await take_exactly(inbox, 2)) == [11, 12], "a purge looks like no gap"
        attachment = await inbox.attach(position)
        assert (attachment.renewed, attachment.lost) == (frozenset(), frozenset())
        other = bus.inbox(RUN_1)
        await other.attach({})
        assert numbers(await take_exactly(other, 3)) == [901, 902, 903]
        again = bus.inbox(RUN_0)
        await again.attach({})
        assert numbers(await take_exactly(again, 3)) == [10, 11, 12]
        assert taken[-1].sequence == position[RUNS].sequence

    async def test_a_position_that_has_aged_out_is_in_order(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, _ = await read_to(bus, inbox, 5)
        await bus.publisher().purge_subject(RUNS, RUN_0.subject_filter)
        assert await inbox.verify(position) == frozenset()
        attachment = await inbox.attach(position)
        assert (attachment.renewed, attachment.lost) == (frozenset(), frozenset())
        await bus.publisher().publish(commands(6, 8))
        await bus.publisher().purge_subject(RUNS, command(6).subject)
        attachment = await inbox.attach(position)
        assert attachment.renewed == frozenset()
        assert attachment.lost == {RUNS}, "a message was gone before it was read"
        assert numbers(await take_exactly(inbox, 2)) == [7, 8]

    async def test_a_reconnect_in_the_middle_loses_and_repeats_nothing(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await inbox.attach({})
        await bus.publisher().publish(commands(1, 3000))
        taken = await take_exactly(inbox, 700)
        await bus.break_connections()
        await bus.publisher().publish(commands(3001, 4000))
        taken += await take_exactly(inbox, 3300)
        assert numbers(taken) == list(range(1, 4001))
        assert await inbox.take(1, QUIET_S) == []

    async def test_a_crash_in_the_middle_loses_and_repeats_nothing(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, taken = await read_to(bus, inbox, 50)
        await bus.publisher().publish(commands(51, 2000))
        await bus.crash()
        assert await inbox.verify(position) == frozenset()
        await bus.publisher().publish(commands(2001, 2010))
        taken += await take_exactly(inbox, 1960)
        assert numbers(taken) == list(range(1, 2011))

    async def test_without_a_server_it_says_so_and_recovers(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        position, _ = await read_to(bus, inbox, 5)
        await bus.stop()
        with pytest.raises(TransientFault):
            await inbox.verify(position)
        with pytest.raises(TransientFault):
            await inbox.confirm_empty()
        assert await inbox.take(1, QUIET_S) == []
        with pytest.raises(TransientFault):
            await bus.inbox(RUN_0).attach(position)
        await bus.start()
        await bus.publisher().publish([command(6)])
        assert numbers(await take_exactly(inbox, 1)) == [6]

    async def test_close_ends_the_reading(self, bus: Bus) -> None:
        inbox = bus.inbox(RUN_0)
        await read_to(bus, inbox, 2)
        await inbox.close()
        await bus.publisher().publish([command(3)])
        assert await inbox.take(1, QUIET_S) == []
        await inbox.close()
