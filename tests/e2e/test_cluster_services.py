"""The four services while servers of a NATS cluster, or the primary of PostgreSQL, are lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.highly_available import Scene, scene

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

BEFORE = 10  # runs under way or ended before anything happens


async def at_work(it: Scene) -> None:
    async def enough() -> bool:
        return len(it.client.accepted) >= BEFORE

    await it.stack.until(enough)


async def test_a_nats_server_and_then_the_primary_of_postgresql_are_lost(tmp_path: Path) -> None:
    async with scene(tmp_path, cluster=True, pair=True) as it:
        assert it.cluster is not None
        assert it.pair is not None
        await at_work(it)
        victim = await asyncio.to_thread(it.cluster.stream_leader, "RUNS")
        await asyncio.to_thread(victim.kill)
        await it.works_again("leader of RUNS killed")
        await asyncio.to_thread(it.pair.first.kill)
        await asyncio.to_thread(it.pair.second.promote)
        await it.works_again("primary killed, standby promoted")
        await asyncio.to_thread(victim.start)
        await it.all_have_ended()
        await it.events_are_the_store()


@pytest.mark.long
async def test_one_nats_server_after_the_other_is_lost_under_load(tmp_path: Path) -> None:
    """The one that places streams, one that leads streams, and one that hangs."""
    async with scene(tmp_path, cluster=True) as it:
        assert it.cluster is not None
        cluster = it.cluster
        await at_work(it)
        victim = await asyncio.to_thread(cluster.meta_leader)
        await asyncio.to_thread(victim.kill)
        await it.works_again("meta leader killed")
        await asyncio.to_thread(cluster.start)
        for stream in ("TRIGGERS", "EVENTS"):
            victim = await asyncio.to_thread(cluster.stream_leader, stream)
            await asyncio.to_thread(victim.kill)
            await it.works_again(f"leader of {stream} killed")
            await asyncio.to_thread(cluster.start)
        victim = await asyncio.to_thread(cluster.stream_leader, "TASKS")
        victim.pause()
        try:
            await it.works_again("leader of TASKS hangs")
        finally:
            victim.resume()
        await asyncio.to_thread(cluster.wait_healthy)
        await it.works_again("all servers are back")
        await it.all_have_ended()
        await it.events_are_the_store()
