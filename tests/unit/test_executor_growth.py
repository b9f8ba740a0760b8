"""A clone may grow by so much; what works on it is then ended."""

import asyncio
import os
from pathlib import Path

import pytest

from penstock_executor import growth
from penstock_executor.growth import LOOK_S, Overgrown, size_of, within
from penstock_testkit.fakes.clock import ManualClock

MB = 1024 * 1024
WAIT_S = 10.0


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "clone" / "objects").mkdir(parents=True)
    (tmp_path / "clone" / "objects" / "pack").write_bytes(os.urandom(MB))
    return tmp_path / "clone"


def test_what_it_takes_up_is_counted_and_links_are_not_followed(clone: Path) -> None:
    (clone / "link").symlink_to("/")
    with (clone / "sparse").open("wb") as sparse:
        _ = sparse.truncate(100 * MB)

    assert MB <= size_of(clone) < 2 * MB


def test_too_many_files_are_too_many(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "MAX_ENTRIES", 3)
    for number in range(3):
        (clone / f"file_{number}").touch()

    with pytest.raises(Overgrown, match="over 3 files"):
        _ = size_of(clone)


async def test_work_that_ends_in_time_gives_its_result(clone: Path) -> None:
    async def work() -> int:
        return 7

    assert await within(work(), clone, MB, ManualClock()) == 7


async def test_work_that_fails_fails(clone: Path) -> None:
    async def work() -> int:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        _ = await within(work(), clone, MB, ManualClock())


async def test_an_overgrown_clone_ends_the_work_and_waits_for_its_end(clone: Path) -> None:
    clock, started, ended = ManualClock(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        (clone / "more").write_bytes(os.urandom(2 * MB))
        started.set()
        try:
            _ = await asyncio.Event().wait()
        finally:
            ended.set()

    async def time_goes_on() -> None:
        _ = await started.wait()
        while True:
            await clock.advance(LOOK_S)

    passing = asyncio.create_task(time_goes_on())
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Overgrown, match=r"grew to \d+ bytes"):
            await within(work(), clone, MB, clock)
    _ = passing.cancel()

    assert ended.is_set()


async def test_a_cancel_ends_the_work(clone: Path) -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            _ = await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.create_task(within(work(), clone, MB, ManualClock()))
    async with asyncio.timeout(WAIT_S):
        _ = await started.wait()
    _ = running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert ended.is_set()
