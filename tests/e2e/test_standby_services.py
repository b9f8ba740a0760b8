"""The four services when the primary of PostgreSQL is lost, by a standby that waits and one not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.highly_available import Scene, scene

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(400),
]

BEFORE = 10  # runs that are there before anything happens


async def accepted(it: Scene, more: int) -> None:
    """Wait until so many more triggers were acknowledged."""
    wanted = len(it.client.accepted) + more

    async def enough() -> bool:
        return len(it.client.accepted) >= wanted

    await it.stack.until(enough)


async def test_each_server_takes_over_from_the_other_under_load(tmp_path: Path) -> None:
    async with scene(tmp_path, pair=True, once=True) as it:
        assert it.pair is not None
        first, second = it.pair.first, it.pair.second
        for lost, heir in ((first, second), (second, first)):
            await accepted(it, BEFORE)
            await asyncio.to_thread(lost.kill)
            await asyncio.to_thread(heir.promote)
            await it.works_again("primary killed, standby promoted")
            await asyncio.to_thread(lost.become_copy_of, heir)
            await asyncio.to_thread(heir.wait_for_standby, synchronous=True)
        await it.all_have_ended()
        await it.events_are_the_store()


async def test_a_frozen_primary_that_wakes_does_no_harm(tmp_path: Path) -> None:
    async with scene(tmp_path, pair=True) as it:
        assert it.pair is not None
        await accepted(it, BEFORE)
        it.pair.first.freeze()
        try:
            await asyncio.to_thread(it.pair.second.promote)
            await it.works_again("primary frozen, standby promoted")
        finally:
            it.pair.first.thaw()
        await accepted(it, BEFORE)
        await asyncio.to_thread(it.pair.first.kill)
        await it.all_have_ended()
        await it.events_are_the_store()


async def test_behind_a_standby_that_lags_the_scheduler_stops(tmp_path: Path) -> None:
    """What the events say is more than such a store knows: nothing is decided on top of it."""
    async with scene(tmp_path, pair=True, synchronous=False) as it:
        assert it.pair is not None
        await accepted(it, BEFORE)
        await asyncio.to_thread(it.pair.second.kill)
        await it.works_again("standby gone, which nobody waits for")
        await asyncio.to_thread(it.pair.first.kill)
        await asyncio.to_thread(it.pair.second.start)
        await asyncio.to_thread(it.pair.second.promote)
        scheduler = tmp_path / "home" / "logs" / "scheduler.log"

        async def stopped() -> bool:
            told = scheduler.read_text()
            return "which the store does not" in told or "is not the store's" in told

        await it.stack.until(stopped)
        asked = "SELECT max(n) FROM stored_events WHERE partition = 'run-0';\n"
        place = it.pair.second.database.admin_url.replace("/postgres", "/penstock_scheduler")
        behind = it.pair.second.database.run(f"\\connect {place}\n{asked}")
        await accepted(it, BEFORE)  # the bus takes them, for whoever goes on
        assert it.pair.second.database.run(f"\\connect {place}\n{asked}") == behind
