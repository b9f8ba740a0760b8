"""Two instances of every service: shares, deaths, pauses, more partitions, a rolling restart."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.nats.connection import NatsSettings, connect
from penstock_adapters.nats.relay import NatsRelayLog
from penstock_contracts import subjects
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.permissions import BusUser
from penstock_contracts.run.v1 import NodeSucceeded, RunSucceeded
from penstock_runtime.faults import Fenced
from penstock_runtime.ports.ledger import PartitionRow
from penstock_testkit.instances import (
    APPROVAL,
    GATEWAY,
    Client,
    Extra,
    Owners,
    Written,
    moved,
    paused,
    process_of,
)
from penstock_testkit.stack import SERVICES, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

NAMES = tuple(name for service in SERVICES for name in (service, f"{service}-2"))
PARTITIONS = 3  # of runs, and the catalog: two for each scheduler
PACE_S = 0.2  # between two triggers
LAST = 20  # runs that may not have ended yet when the triggers end
FLOW = {"a": {"agent": "noop"}, "b": {"agent": "noop", "needs": ["a"]}}
GATED = {
    "review": {"approval": {"title": "Go on?"}},
    "after": {"agent": "noop", "needs": ["review"]},
}
SETTINGS = {
    "PENSTOCK_SANDBOX": "inline",
    "PENSTOCK_RUN_PARTITIONS": str(PARTITIONS),
    "PENSTOCK_RATE_PER_MINUTE": "1000000",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[RunningStack]:
    """Two instances of each of the four services on real servers."""
    folder: Path = tmp_path_factory.mktemp("pair") / "state"
    async with RunningStack.started(folder, NAMES, **SETTINGS) as running:
        await running.register_builtin()
        await running.apply("flow", FLOW)
        await running.apply("gated", GATED)
        yield running


async def all_succeeded(stack: RunningStack, owners: Owners, runs: list[str]) -> set[str]:
    """Check that all runs succeed, with one success a node; gives the partitions they are in."""
    assert runs
    for run in runs[-LAST:]:
        await stack.ended(run)
    stories = owners.stories()
    for run in runs:
        if not stories[run] or stories[run][-1].topic != RunSucceeded.TYPE:
            await stack.ended(run)
            stories[run] = stack.stored(run)
        assert stories[run][-1].topic == RunSucceeded.TYPE
        assert [event.version for event in stories[run]] == list(range(1, len(stories[run]) + 1))
        ends = [e.data["node"] for e in stories[run] if e.topic == NodeSucceeded.TYPE]
        assert len(ends) == len(set(ends))
    return {stories[run][0].partition for run in runs}


def chains_hold(stack: RunningStack) -> None:
    with Owners(stack) as owners:
        names = list(owners.all())
    assert [stack.chain_fault(name) for name in names] == [None] * len(names)
    assert stack.chain_fault(subjects.APPROVAL_PARTITION, APPROVAL) is None


async def shared(stack: RunningStack, owners: Owners, partitions: int, *instances: str) -> None:
    """Wait until these own all of so many, each as many as the others or one more."""

    async def so() -> bool:
        counts = owners.counts()
        held = [counts.get(name, 0) for name in instances]
        return sum(held) == partitions == len(owners.all()) and max(held) - min(held) <= 1

    await stack.until(so)


async def grown(stack: RunningStack, owners: Owners, before: Mapping[str, PartitionRow]) -> None:
    """Wait until every partition, new ones too, has more events than before."""

    async def so() -> bool:
        rows = owners.all()
        return all(row.n > (before[name].n if name in before else 0) for name, row in rows.items())

    await stack.until(so)


async def ended(stack: RunningStack, written: Written, partitions: Iterable[str]) -> None:
    """Wait until an instance has said of each of these that its epoch there has ended."""

    async def said() -> bool:
        return written.ended() >= set(partitions)

    await stack.until(said)


async def says(stack: RunningStack, written: Written, text: str) -> None:
    """Wait until an instance has written something into its log."""

    async def said() -> bool:
        return any(text in line for line in written.lines())

    await stack.until(said)


async def late_unit(stack: RunningStack, partition: str, fence: int) -> None:
    """Publish what an owner before the last would, behind the marker that it knew."""
    login = stack.endpoints.logins[BusUser.SCHEDULER]
    settings = NatsSettings(login.url, login.user, login.password, login.inbox_prefix)
    bus = await connect(settings)

    def marker(last_event_sequence: int) -> Marker:
        return Marker(
            partition=partition, epoch=1, first=1, last=0, chain_head="",
            last_event_sequence=last_event_sequence, previous_marker_sequence=fence,
        )  # fmt: skip

    subject = subjects.event("default", "run", "a-late-run", "run_started")
    try:
        await NatsRelayLog(bus).publish_unit(partition, [(subject, b"{}")], marker, fence)
    finally:
        await bus.close()


async def last_marker(stack: RunningStack, partition: str) -> int:
    """Give the sequence of a partition's last marker in EVENTS."""
    return await NatsRelayLog(await stack.bus()).last_sequence(partition)


async def overtaken(stack: RunningStack, partition: str, fence: int) -> None:
    """Check that nothing can be published behind a marker that is not the last one any more."""

    async def so() -> bool:
        return await last_marker(stack, partition) > fence

    await stack.until(so)
    end = await last_marker(stack, partition)
    with pytest.raises(Fenced):
        await late_unit(stack, partition, fence)
    assert await last_marker(stack, partition) == end


async def test_partitions_are_shared_and_both_gateways_answer(pair: RunningStack) -> None:
    client = Client(pair, "flow", PACE_S)
    with Owners(pair) as owners:
        await shared(pair, owners, PARTITIONS + 1, "scheduler-1", "scheduler-2")
        async with client.at_work() as told:
            await grown(pair, owners, owners.all())
        assert told.failed == []
        places = await all_succeeded(pair, owners, client.promised())
    assert places == {subjects.run_partition(number) for number in range(PARTITIONS)}


async def test_what_paused_instances_held_moves_and_they_are_refused_when_they_wake(
    pair: RunningStack,
) -> None:
    with Owners(pair) as runs, Owners(pair, APPROVAL) as gates, Owners(pair, GATEWAY) as views:
        await shared(pair, runs, PARTITIONS + 1, "scheduler-1", "scheduler-2")
        gated = await pair.trigger("gated")
        approval = await pair.pending_approval(gated)
        kept, gate_rows, view_rows = runs.of("scheduler-2"), gates.all(), views.all()
        (gate,), (view,) = gate_rows.values(), view_rows.values()
        victims = ("scheduler-2", gate.owner, view.owner)
        scheduler, approvals, gateway = (Written(pair, name) for name in victims)
        url = next(u for n, u in pair.endpoints.gateway_urls.items() if n != process_of(view.owner))
        client = Client(pair, "flow", PACE_S, [url])
        async with client.at_work() as told, paused(pair, *victims):
            fences = {name: await last_marker(pair, name) for name in kept}
            await asyncio.gather(
                moved(pair, runs, kept),
                moved(pair, views, view_rows),
                moved(pair, gates, gate_rows),
                client.insist(f"/api/approvals/{approval}/respond", {"decision": "approve"}),
            )
        await ended(pair, scheduler, kept)
        await ended(pair, approvals, gate_rows)
        await says(pair, gateway, "another gateway keeps the read model")
        assert told.failed == []
        await all_succeeded(pair, runs, [gated, *client.promised()])
    for name, fence in fences.items():
        await overtaken(pair, name, fence)
    chains_hold(pair)


async def test_partitions_are_added_while_runs_are_in_flight(pair: RunningStack) -> None:
    more = PARTITIONS + 2
    client = Client(pair, "flow", PACE_S)
    with Owners(pair) as owners:
        before = owners.all()
        async with client.at_work() as told:
            settings = {"PENSTOCK_RUN_PARTITIONS": str(more)}
            async with Extra.beside(pair, "scheduler", "scheduler-3", **settings):
                three = ("scheduler-1", "scheduler-2", "scheduler-3")
                await shared(pair, owners, more + 1, *three)
                await grown(pair, owners, before)
            await shared(pair, owners, more + 1, "scheduler-1", "scheduler-2")
        assert told.failed == []
        assert len(await all_succeeded(pair, owners, client.promised())) == more
    chains_hold(pair)


async def test_what_a_killed_instance_held_is_served_by_others(pair: RunningStack) -> None:
    client = Client(pair, "flow", PACE_S)
    with Owners(pair) as owners:
        async with client.at_work() as told:
            async with Extra.beside(pair, "scheduler", "scheduler-3") as victim:
                three = ("scheduler-1", "scheduler-2", "scheduler-3")
                await shared(pair, owners, len(owners.all()), *three)
                held = owners.of("scheduler-3")
                assert held
                victim.send(signal.SIGKILL)
                await victim.ended()
                await moved(pair, owners, held)
            await shared(pair, owners, len(owners.all()), "scheduler-1", "scheduler-2")
        assert told.failed == []
        await all_succeeded(pair, owners, client.promised())
    chains_hold(pair)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SERVICES, id="one-of-each"),
        pytest.param(NAMES, id="all-eight", marks=pytest.mark.long),
    ],
)
async def test_a_rolling_restart_under_load_fails_no_run_and_no_request(
    pair: RunningStack, names: tuple[str, ...]
) -> None:
    client = Client(pair, "flow", PACE_S)
    async with client.at_work() as told:
        for name in names:
            await pair.restart(name)
        after = len(told.runs) + 5

        async def goes_on() -> bool:
            return len(told.runs) >= after

        await pair.until(goes_on)
    assert told.failed == []
    with Owners(pair) as owners:
        await all_succeeded(pair, owners, client.promised())
    chains_hold(pair)
