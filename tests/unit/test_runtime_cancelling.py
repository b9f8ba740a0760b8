"""Who is told to end does end, whatever fails at the same moment."""

import asyncio

import pytest

from penstock_runtime.cancelling import apart


async def failing(wanted: asyncio.Event) -> None:
    await wanted.wait()
    raise ValueError("a fault")


async def group(wanted: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(failing(wanted))
        tasks.create_task(asyncio.Event().wait())


async def again_and_again(wanted: asyncio.Event, faults: list[str]) -> None:
    while True:
        try:
            await apart(group(wanted))
        except* ValueError:
            faults.append("a fault")
            wanted.clear()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_fault_alone_is_handed_on_and_work_begins_again() -> None:
    wanted, faults = asyncio.Event(), list[str]()
    task = asyncio.create_task(again_and_again(wanted, faults))
    for number in (1, 2, 3):
        await turns()
        wanted.set()
        await turns()
        assert len(faults) == number
        assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wish_to_end_is_not_lost_when_a_fault_comes_at_the_same_moment() -> None:
    wanted, faults = asyncio.Event(), list[str]()
    task = asyncio.create_task(again_and_again(wanted, faults))
    await turns()
    wanted.set()
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_it_did_is_ended_before_its_caller_is() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    task = asyncio.create_task(apart(work()))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_its_result_is_given() -> None:
    async def work() -> int:
        return 7

    assert await apart(work()) == 7
