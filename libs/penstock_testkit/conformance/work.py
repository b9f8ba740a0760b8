"""What every `WorkQueue` and every `ControlChannel` must do."""
# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from penstock_contracts import subjects
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.work import WorkItem, WorkQueue
from penstock_testkit.conformance.bus import QUIET_S, WAIT_S, Bus

POOL = "default"
RETRY_S = 0.05


def task(number: int, pool: str = POOL) -> Outgoing:
    """A task; its payload is its number."""
    subject = subjects.task("default", pool, "agent", f"task{number}")
    return Outgoing(Stream.TASKS, subject, str(number).encode())


def tasks(first: int, last: int) -> list[Outgoing]:
    """Tasks `first` to `last`, both included."""
    return [task(number) for number in range(first, last + 1)]


def numbers(items: Sequence[WorkItem]) -> list[int]:
    """What `task` wrote into the payloads."""
    return [int(item.payload) for item in items]


async def take_exactly(queue: WorkQueue, count: int) -> list[WorkItem]:
    """Take until there are `count`."""
    taken: list[WorkItem] = []
    while len(taken) < count:
        more = await queue.take(count - len(taken), WAIT_S)
        assert more, f"only {len(taken)} of {count} tasks came"
        taken.extend(more)
    return taken


async def acknowledged(item: WorkItem) -> None:
    """Acknowledge after a restart: a server takes logins before it knows its consumers again.

    Until then it says at once that nobody listens, so that tries are bounded by time.
    """
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(TransientFault):
                return await item.ack_sync()
            await asyncio.sleep(RETRY_S)


class WorkSuite:
    """Run with a fixture `bus`."""

    async def test_gives_tasks_in_order_and_at_most_the_limit(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        await bus.ensure_pool(POOL)
        queue = bus.work_queue(POOL)
        assert await queue.take(3, QUIET_S) == []
        await bus.publisher().publish(tasks(1, 5))
        items = await take_exactly(queue, 3)
        assert numbers(items) == [1, 2, 3]
        assert items[0].subject == task(1).subject
        assert 0 < items[0].queued_us <= items[1].queued_us <= items[2].queued_us
        assert numbers(await take_exactly(queue, 2)) == [4, 5]
        await queue.close()

    async def test_pools_are_apart(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        await bus.ensure_pool("gpu")
        await bus.publisher().publish([task(1), task(2, "gpu")])
        ours, theirs = bus.work_queue(POOL), bus.work_queue("gpu")
        assert numbers(await take_exactly(ours, 1)) == [1]
        assert numbers(await take_exactly(theirs, 1)) == [2]
        await ours.close()
        await theirs.close()

    async def test_executors_of_a_pool_share_its_tasks(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        one, two = bus.work_queue(POOL), bus.work_queue(POOL)
        await bus.publisher().publish(tasks(1, 20))
        items = await take_exactly(one, 10) + await take_exactly(two, 10)
        assert sorted(numbers(items)) == list(range(1, 21))
        for item in items:
            await item.ack_sync()
        assert await one.take(1, QUIET_S) == []
        await one.close()
        await two.close()

    async def test_a_second_task_is_refused_until_the_first_is_acknowledged(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue, publisher = bus.work_queue(POOL), bus.publisher()
        await publisher.publish([task(1)])
        assert await publisher.publish([task(1)]) == [Published.ALREADY_THERE], "queued"
        (item,) = await take_exactly(queue, 1)
        assert await publisher.publish([task(1)]) == [Published.ALREADY_THERE], "in flight"
        await item.ack_sync()
        assert await publisher.publish([task(1)]) == [Published.DONE]
        await queue.close()

    async def test_what_is_given_back_comes_again(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue = bus.work_queue(POOL)
        await bus.publisher().publish(tasks(1, 2))
        items = await take_exactly(queue, 2)
        await items[1].ack_sync()
        await items[0].give_back(0)
        (again,) = await take_exactly(queue, 1)
        assert numbers([again]) == [1]
        await again.give_back(0.3)
        assert await queue.take(1, QUIET_S) == []
        (again,) = await take_exactly(queue, 1)
        await again.ack_sync()
        await queue.close()

    async def test_what_nobody_acknowledges_comes_again(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue = bus.work_queue(POOL)
        await bus.publisher().publish([task(1)])
        (item,) = await take_exactly(queue, 1)
        await item.in_progress()
        (again,) = await take_exactly(queue, 1)
        assert again.subject == item.subject
        await again.ack_sync()
        await queue.close()

    async def test_purging_the_subject_cancels_what_waits(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue, publisher = bus.work_queue(POOL), bus.publisher()
        await publisher.publish(tasks(1, 3))
        await publisher.purge_subject(Stream.TASKS, task(2).subject)
        assert numbers(await take_exactly(queue, 2)) == [1, 3]
        await queue.close()

    async def test_a_pool_without_queue_gives_nothing_until_it_has_one(self, bus: Bus) -> None:
        queue = bus.work_queue(POOL)
        await bus.publisher().publish([task(1)])
        assert await queue.take(1, QUIET_S) == []
        await bus.ensure_pool(POOL)
        assert numbers(await take_exactly(queue, 1)) == [1]
        await queue.close()

    async def test_without_a_server_an_acknowledgement_is_not_believed(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue = bus.work_queue(POOL)
        await bus.publisher().publish(tasks(1, 3))
        items = await take_exactly(queue, 2)
        await bus.stop()
        with pytest.raises(TransientFault):
            await items[0].ack_sync()
        assert await queue.take(1, QUIET_S) == []
        await bus.start()
        await acknowledged(items[0])
        # 2 was never acknowledged: it comes again, before 3 if the server was away for long.
        assert sorted(numbers(await take_exactly(queue, 2))) == [2, 3]
        await queue.close()

    async def test_goes_on_after_a_reconnect(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        queue = bus.work_queue(POOL)
        taking = asyncio.create_task(take_exactly(queue, 3))
        await bus.publisher().publish([task(1)])
        await bus.break_connections()
        await bus.publisher().publish(tasks(2, 3))
        # 1 may have been lost on its way: it then comes again, behind the others.
        assert sorted(numbers(await asyncio.wait_for(taking, WAIT_S))) == [1, 2, 3]
        await queue.close()

    async def test_close_leaves_nothing_behind_that_others_wait_for(self, bus: Bus) -> None:
        await bus.ensure_pool(POOL)
        one, two = bus.work_queue(POOL), bus.work_queue(POOL)
        taking = asyncio.create_task(one.take(5, QUIET_S))
        assert await taking == []
        await one.close()
        await bus.publisher().publish(tasks(1, 3))
        assert sorted(numbers(await take_exactly(two, 3))) == [1, 2, 3]
        await two.close()


class ControlSuite:
    """Run with a fixture `bus`."""

    async def test_reaches_who_listens_until_they_stop(self, bus: Bus) -> None:
        control = bus.control()
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(100)

        async def handler(subject: str, payload: bytes) -> None:
            heard.put_nowait((subject, payload))

        end = await control.listen(subjects.control_filter(verb="cancel"), handler)
        other = await control.listen(subjects.control_filter(verb="claim"), handler)
        paths = [subjects.control("default", f"t{n}", "cancel") for n in range(20)]
        for path in paths:
            await control.send(path, b"x")
        got = [await asyncio.wait_for(heard.get(), WAIT_S) for _ in paths]
        assert got == [(path, b"x") for path in paths], "in order"
        await end()
        await control.send(paths[0], b"")
        await control.send(subjects.control("default", "t", "claim"), b"y")
        assert (await asyncio.wait_for(heard.get(), WAIT_S))[1] == b"y"
        assert heard.empty()
        await other()

    async def test_a_failing_handler_does_not_end_the_listening(self, bus: Bus) -> None:
        control = bus.control()
        heard: asyncio.Queue[bytes] = asyncio.Queue(100)

        async def handler(_subject: str, payload: bytes) -> None:
            if payload == b"bad":
                raise RuntimeError("a fault of the handler")
            heard.put_nowait(payload)

        path = subjects.control("default", "t1", "cancel")
        end = await control.listen(path, handler)
        await control.send(path, b"bad")
        await control.send(path, b"good")
        assert await asyncio.wait_for(heard.get(), WAIT_S) == b"good"
        await end()

    async def test_listens_again_after_a_reconnect(self, bus: Bus) -> None:
        control = bus.control()
        heard: asyncio.Queue[bytes] = asyncio.Queue(100)

        async def handler(_subject: str, payload: bytes) -> None:
            heard.put_nowait(payload)

        path = subjects.control("default", "t1", "cancel")
        end = await control.listen(path, handler)
        await bus.stop()
        await control.send(path, b"lost")
        await bus.start()
        await control.send(path, b"kept")
        assert await asyncio.wait_for(heard.get(), WAIT_S) == b"kept"
        await end()
