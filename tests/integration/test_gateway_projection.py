"""The read model: every event once and in order, whatever befalls the stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.run import v1 as run
from penstock_contracts.subjects import CATALOG_PARTITION, GATEWAY_PARTITION, Stream
from penstock_contracts.trigger.v1 import StartConfirmed
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.projection import ViewReader
from penstock_runtime.telemetry.metrics import PROJECTION_LAG
from penstock_testkit.fakes.clock import turns
from penstock_webhook_gateway.app import checks
from penstock_webhook_gateway.projection import LEASE_S, RENEW_S, SOURCES, Projection
from tests.integration.gateway_world import NOTHING, RUNS, World, serving

NOBODY = derive("run", "nobody")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await turns(1)


async def status_of(world: World, run_: str) -> str:
    row = await world.store.get("run", DEFAULT_TENANT, run_)
    return row.state if row else "absent"


async def test_events_are_applied_once_and_never_in_front_of_a_gap():
    world = World()
    world.apply_workflow()
    run_ = world.start_run()
    gate = world.published(
        RUNS, run_,
        run.GateOpened(
            node="ask", attempt=1, approval_id=run_, binding=NOTHING, opened_us=1, expires_us=2
        ),
    )  # fmt: skip
    end = world.published(RUNS, run_, run.RunCancelled(by="x", ended_us=3))
    async with asyncio.timeout(5):
        following = asyncio.create_task(world.projection.run())
        world.server.store(*end)
        await until(lambda: world.projection.seen.get(RUNS) == 1)
        assert await status_of(world, run_) == "running"
        for message in (gate, gate, end, end):
            world.server.store(*message)
        await until(lambda: world.projection.seen.get(RUNS) == 3)
        assert await status_of(world, run_) == "cancelled"
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_what_is_no_event_or_came_by_a_wrong_subject_is_left_out():
    world = World()
    world.apply_workflow()
    run_ = world.start_run()
    subject, raw = world.published(RUNS, run_, run.RunCancelled(by="x", ended_us=3))
    store = world.server.store
    foreign = subjects.event(DEFAULT_TENANT, "approval", run_, "run_cancelled")
    store(foreign, raw)  # somebody who may publish approvals ends a run
    store(subjects.event("other", "run", run_, "run_cancelled"), raw)
    for junk in (b"", b"{}", b'{"stream":"EVENTS","seq":1}', b"[1]"):
        store(subject, junk)
        store(subjects.relay_marker(RUNS), junk)
    following = asyncio.create_task(world.projection.run())
    await until(lambda: world.projection.ready)
    assert await status_of(world, run_) == "running"
    store(subject, raw)
    await until(lambda: world.projection.seen.get(RUNS) == 2)
    assert await status_of(world, run_) == "cancelled"
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_an_event_that_cannot_be_shown_stops_nothing():
    world = World()
    world.apply_workflow()
    run_ = world.start_run()
    world.emit(RUNS, run_, run.NodeSucceeded(node="nobody", attempt=1))  # such a node is not there
    world.cancelled(run_)
    headers = world.token("ada", "viewer")
    async with serving(world) as client:
        assert (await client.get("/api/status", headers=headers)).status == 200
        assert await status_of(world, run_) == "cancelled"


async def test_a_run_that_precedes_its_definition_is_shown_once_that_has_come():
    world = World()
    run_ = world.start_run()
    world.cancelled(run_)
    following = asyncio.create_task(world.projection.run())
    await until(lambda: world.projection.ready)
    assert await status_of(world, run_) == "absent"
    world.apply_workflow()
    await until(lambda: world.projection.fault)
    await world.clock.advance(1)
    await world.settled()
    assert await status_of(world, run_) == "cancelled"
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_a_stream_made_again_is_read_from_its_start_without_doubles():
    world = World()
    headers = world.token("ada", "viewer")
    world.apply_workflow()
    run_ = world.start_run()
    async with serving(world) as client:
        kept = list(world.server.stream(Stream.EVENTS).messages.values())
        world.server.recreate(Stream.EVENTS)
        for message in kept:
            world.server.store(message.subject, message.payload)
        world.cancelled(run_)
        for _ in range(20):  # detection, a pause on the clock, and another try
            await world.clock.advance(0.2)
            if world.projection.seen.get(RUNS) == 2:
                break
        await world.settled()
        assert await status_of(world, run_) == "cancelled"
        body = await (await client.get("/api/runs", headers=headers)).json()
        assert len(body["items"]) == 1


async def test_a_restarted_gateway_goes_on_from_its_rows():
    world = World()
    world.apply_workflow()
    run_ = world.start_run()
    world.open_gate(run_)
    async with serving(world):
        before = await world.store.children("node", DEFAULT_TENANT, run_)
        assert [row.body["status"] for row in before] == ["gated"]
    world.projection = Projection(
        "gateway-1", world.store, world.store, lambda: MemoryInbox(world.server, SOURCES),
        world.clock, world.metrics, world.waiters.applied,
    )  # fmt: skip
    world.cancelled(run_)
    following = asyncio.create_task(world.projection.run())
    await world.settled()
    after = await world.store.children("node", DEFAULT_TENANT, run_)
    assert [row.body["status"] for row in after] == ["cancelled"]
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


class CountedReads:
    """A reader that counts what it is asked, by what."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._reader, name)


async def test_what_a_batch_needs_is_read_together():
    """However many runs it is about: a gateway that starts again knows none of them."""
    world = World()
    world.apply_workflow()
    runs = [world.start_run(f"t-{number}") for number in range(450)]
    for run_ in runs:
        world.open_gate(run_)
    async with serving(world):
        pass
    reads = CountedReads(world.store)
    world.projection = Projection(
        "gateway-1", world.store, cast("ViewReader", reads),
        lambda: MemoryInbox(world.server, SOURCES), world.clock, world.metrics,
        world.waiters.applied,
    )  # fmt: skip
    for run_ in runs:
        world.cancelled(run_)
    following = asyncio.create_task(world.projection.run())
    await world.settled()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert reads.asked == {"get_many": 3, "children_of": 3, "get": 1}  # one definition
    for run_ in runs:
        (node,) = await world.store.children("node", DEFAULT_TENANT, run_)
        assert node.body["status"] == "cancelled"


async def test_one_gateway_at_a_time_keeps_the_read_model():
    world = World()
    world.apply_workflow()
    async with serving(world):
        second = Projection(
            "gateway-2", world.store, world.store, lambda: MemoryInbox(world.server, SOURCES),
            world.clock, world.metrics, lambda _: None,
        )  # fmt: skip
        waiting = asyncio.create_task(second.run())
        await until(lambda: second.ready)
        assert not second.keeping
        (_, stands_by) = checks(second, connected=True)
        assert (stands_by.ok, stands_by.detail) == (True, "kept by another gateway")
        (_, keeps) = checks(world.projection, connected=True)
        assert (keeps.ok, keeps.detail) == (True, "up to date")
        for _ in range(3):  # the lease is kept as long as its owner lives
            await world.clock.advance(RENEW_S)
        assert world.projection.ready
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting


async def test_who_lost_the_lease_steps_down_and_tries_again():
    world = World()
    world.apply_workflow()
    async with serving(world):
        row = await world.store.acquire(GATEWAY_PARTITION, "gateway-1", LEASE_S)
        assert row is not None
        world.start_run()
        await until(lambda: not world.projection.ready)
        assert world.projection.fault
        await world.clock.advance(1)
        await world.settled()


@pytest.mark.parametrize("ahead", [0, 1])
async def test_a_marker_beyond_what_was_applied_becomes_an_alert(ahead: int):
    world = World()
    world.apply_workflow()
    async with serving(world):
        marker = Marker(
            partition=RUNS, epoch=1, first=1, last=ahead, chain_head="", last_event_sequence=0,
            previous_marker_sequence=0,
        )  # fmt: skip
        envelope = Envelope(id="m", source="s", type=Marker.TYPE, data=marker.to_data())
        world.server.store(subjects.relay_marker(RUNS), envelope.encode())
        await turns()
        await world.clock.advance(5)
        world.emit(CATALOG_PARTITION, NOBODY, StartConfirmed(run_id=NOBODY))
        await until(lambda: world.projection.seen.get(CATALOG_PARTITION) == 2)
        assert (world.metrics.of(PROJECTION_LAG, RUNS) > 4) is bool(ahead)
        if ahead:
            world.apply_workflow()
            world.start_run()
            await until(lambda: world.metrics.of(PROJECTION_LAG, RUNS) == 0)
