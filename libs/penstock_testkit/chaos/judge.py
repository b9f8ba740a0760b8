"""Judges a chaos that is over: what was promised, stored, shown and really done, side by side."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from penstock_adapters.embedded.postgres_roles import service_of
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_contracts.records import ReadEvent, StoredRecord, read_published, read_record
from penstock_contracts.registry import read_event
from penstock_contracts.run.v1 import (
    AttemptFailed,
    NodeFailed,
    NodeSucceeded,
    PlanMade,
    RunCancelled,
    RunFailed,
    RunStarted,
    RunSucceeded,
    TaskStarted,
)
from penstock_contracts.subjects import Stream, parse
from penstock_core.run.evolve import evolve
from penstock_core.run.snapshot import state_hash
from penstock_core.run.state import RunState
from penstock_runtime.definitions import Definitions
from penstock_testkit.chaos.clients import UNREACHABLE, Clients
from penstock_testkit.chaos.executor import Act
from penstock_testkit.chaos.observed import Promise
from penstock_testkit.stack import RunningStack

SCHEDULER, APPROVAL = "penstock_scheduler", "penstock_approval"
ENDS = {
    RunSucceeded.TYPE: "succeeded",
    RunFailed.TYPE: "failed",
    RunCancelled.TYPE: "cancelled",
}
# What says that the result of an attempt was taken; `plan_made` is the one of a phase of its own.
APPLIED = (NodeSucceeded.TYPE, NodeFailed.TYPE, AttemptFailed.TYPE)
ONCE = ("noop-once", "noop-planner")
SHOWN_WITHIN_S = 60.0
READ_WITHIN_S = 300.0
SETTLE_EVERY_S = 0.5
COMPARED_MAX = 4_000  # runs whose state is asked for over HTTP
AT_ONCE = 8


Settled = tuple[str, str, int]
"""Run, node, attempt."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept."""

    check: str
    about: str
    detail: str


class Stored:
    """A store, read once."""

    def __init__(self, stack: RunningStack) -> None:
        """Read every partition of both stores."""
        self.records: dict[str, list[StoredRecord]] = {}
        self.events: dict[str, list[ReadEvent]] = {}
        self.chains: dict[str, str] = {}
        for database in (SCHEDULER, APPROVAL):
            with PostgresAuditor(stack.endpoints.auditor_urls[database]) as auditor:
                for row in auditor.partitions():
                    name = row.partition
                    self.records[name] = list(auditor.of_partition(name))
                    self.events[name] = [read_record(one) for one in self.records[name]]
                    fault = auditor.verify(name).fault
                    if fault is not None:
                        self.chains[name] = fault
        self.by_aggregate: dict[str, list[ReadEvent]] = defaultdict(list)
        for events in self.events.values():
            for event in events:
                self.by_aggregate[event.aggregate_id].append(event)
        self.runs = {
            one: events
            for one, events in self.by_aggregate.items()
            if events[0].topic == RunStarted.TYPE
        }

    async def load(self, ids: Sequence[str]) -> Mapping[str, Sequence[StoredRecord]]:
        """Give records by aggregate, as `Definitions` asks for them."""
        wanted, found = set(ids), defaultdict[str, list[StoredRecord]](list)
        for record in self.records["catalog"]:
            if record.aggregate_id in wanted:
                found[record.aggregate_id].append(record)
        return found


# --- the end ------------------------------------------------------------------------------------


@asynccontextmanager
async def settling(stack: RunningStack, clients: Clients) -> AsyncGenerator[set[Settled]]:
    """Say of each lost outcome what agents really did; gives what was settled so far.

    Only once all faults are healed: who is paused between its claim and its act has not acted yet.
    """
    settled: set[Settled] = set()

    async def again() -> None:
        while True:
            clients.look()
            _, listed = await clients.ask(
                "read", "unknown", lambda: stack.call("GET", "/api/runs?unknown=1")
            )
            for item in listed.get("items", ()):
                for node in item["unknown"]:
                    await _settle(stack, clients, item["run_id"], node, settled)
            await asyncio.sleep(SETTLE_EVERY_S)

    task = asyncio.create_task(again())
    try:
        yield settled
    finally:
        _ = task.cancel()
        _ = await asyncio.gather(task, return_exceptions=True)


async def _settle(
    stack: RunningStack,
    clients: Clients,
    run: str,
    node: str,
    settled: set[Settled],
) -> None:
    status, shown = await clients.ask("read", run, lambda: stack.call("GET", f"/api/runs/{run}"))
    if status != 200 or node not in shown["nodes"]:
        return
    attempt = int(shown["nodes"][node]["attempt"])
    acted = any(
        (act.run, act.node, act.attempt) == (run, node, attempt) and act.phase != "plan"
        for act in clients.acts
    )
    body = {"happened": acted, "reason": "the agents' own notes say so", "attempt": attempt}
    path = f"/api/runs/{run}/nodes/{node}/settle"
    status, _ = await clients.ask("settle", run, lambda: stack.call("POST", path, body))
    if status == 200:
        settled.add((run, node, attempt))


async def all_ended(stack: RunningStack, within_s: float) -> Mapping[str, int]:
    """Wait until nothing is open in the scheduler's store; gives what still is, by partition."""
    url = stack.endpoints.postgres_urls[service_of(SCHEDULER)]
    left: Mapping[str, int] = {}
    async with PostgresLedger(url) as ledger:

        async def none() -> bool:
            nonlocal left
            left = await ledger.open_counts()
            return not any(left.values())

        try:
            await stack.until(none, within_s)
        except TimeoutError:
            return left
    return {}


# --- checks -------------------------------------------------------------------------------------


def promises_kept(stored: Stored, promises: Mapping[str, Promise]) -> Iterator[Broken]:
    """Every accepted trigger has its run, and the run has ended as it may."""
    for run, promise in promises.items():
        events = stored.runs.get(run)
        if events is None:
            yield Broken("accepted", run, f"the trigger {promise.key} was accepted and has no run")
            continue
        ended = [ENDS[event.topic] for event in events if event.topic in ENDS]
        if ended and ended[0] not in promise.ends:
            cause = events[-1].data.get("cause")
            detail = f"{promise.workflow} {ended[0]}, not {' or '.join(promise.ends)}: {cause}"
            yield Broken("outcome", run, detail)


def runs_ended(stored: Stored) -> Iterator[Broken]:
    """Every run has one end, and nothing behind it but what it refuses."""
    for run, events in stored.runs.items():
        ends = [event.topic for event in events if event.topic in ENDS]
        if len(ends) != 1:
            last = events[-1]
            detail = f"{len(ends)} ends; last is {last.topic} {last.data.get('node', '')}"
            yield Broken("ended", run, f"{detail} of {events[0].data['workflow']}")


def results_once(stored: Stored) -> Iterator[Broken]:
    """An attempt has one result, and a node succeeds once."""
    for run, events in stored.runs.items():
        applied = Counter(
            (event.data["node"], event.data["attempt"])
            for event in events
            if event.topic in APPLIED
        )
        planned = Counter(
            (event.data["node"], event.data["attempt"])
            for event in events
            if event.topic == PlanMade.TYPE
        )
        succeeded = Counter(
            (event.data["node"], 0) for event in events if event.topic == NodeSucceeded.TYPE
        )
        for counted in (applied, planned, succeeded):
            for (node, attempt), count in counted.items():
                if count > 1:
                    yield Broken("result", run, f"{node}, attempt {attempt}: {count} results")
        versions = [event.version for event in events]
        if versions != list(range(1, len(events) + 1)):
            yield Broken("versions", run, "they have a gap")


def effects_once(stored: Stored, acts: Sequence[Act]) -> Iterator[Broken]:
    """What may happen once has, and with a claim; what succeeded has happened."""
    effects = Counter(act.key for act in acts if act.agent in ONCE and act.phase != "plan")
    places = {act.key: act for act in acts}
    for key, count in effects.items():
        if count > 1:
            act = places[key]
            yield Broken("once", act.run, f"{act.node} has taken effect {count} times")
    happened = {(act.run, act.node) for act in acts}
    claimed = {
        (run, event.data["node"], event.data["attempt"])
        for run, events in stored.runs.items()
        for event in events
        if event.topic == TaskStarted.TYPE and event.data.get("nonce")
    }
    yield from (
        Broken("claim", act.run, f"{act.node}, attempt {act.attempt} was not claimed")
        for act in acts
        if act.agent in ONCE and act.phase != "plan"
        if (act.run, act.node, act.attempt) not in claimed
    )
    yield from (
        Broken("effect", run, f"{event.data['node']} succeeded, and nobody has run it")
        for run, events in stored.runs.items()
        for event in events
        if event.topic == NodeSucceeded.TYPE and event.data.get("executor")
        if (run, event.data["node"]) not in happened
    )


def repeats(acts: Sequence[Act]) -> int:
    """Count how often an attempt of a repeatable task was executed again."""
    counted = Counter(
        (act.run, act.node, act.attempt, act.phase)
        for act in acts
        if act.agent not in ONCE or act.phase == "plan"
    )
    return sum(count - 1 for count in counted.values())


async def events_are_the_store(stack: RunningStack, stored: Stored) -> tuple[list[Broken], int]:
    """Read EVENTS as its readers do; gives what differs, and how many messages came twice."""
    faults: list[Broken] = []
    seen = dict.fromkeys(stored.events, 0)
    duplicates = 0
    tail = NatsStreamTail(await stack.bus())
    try:
        async with (
            asyncio.timeout(READ_WITHIN_S),
            tail.follow(Stream.EVENTS, ">") as messages,
        ):
            if not any(stored.events.values()):
                return faults, 0
            async for message in messages:
                if parse(message.subject).kind != "event":
                    continue
                event = read_published(message.payload)
                if event.n != seen.get(event.partition, 0) + 1:
                    duplicates += event.n <= seen.get(event.partition, 0)
                    continue
                seen[event.partition] = event.n
                mine = stored.events.get(event.partition, [])
                if event.n <= len(mine) and mine[event.n - 1] != event:
                    where = f"{event.partition}/{event.n}"
                    faults.append(Broken("events", where, "EVENTS says otherwise than the store"))
                if all(seen[name] >= len(events) for name, events in stored.events.items()):
                    break
    except TimeoutError:
        for name, events in stored.events.items():
            if seen[name] < len(events):
                detail = f"EVENTS can be read up to {seen[name]} of {len(events)}"
                faults.append(Broken("events", name, detail))
    return faults, duplicates


async def views_are_folds(
    stack: RunningStack, stored: Stored, most: int = COMPARED_MAX
) -> tuple[list[Broken], int]:
    """Compare what the gateway shows of runs with a fold of the store, by hash."""
    definitions = Definitions(stored)  # type: ignore[arg-type] - reads by id only
    chosen = list(stored.runs)[-most:]
    gate = asyncio.Semaphore(AT_ONCE)
    deadline = time.monotonic() + SHOWN_WITHIN_S

    async def differs(run: str) -> Broken | None:
        wanted = await _folded(definitions, run, stored.runs[run])
        shown = ""
        async with gate:
            while True:
                try:
                    status, body = await stack.call("GET", f"/api/runs/{run}")
                    shown = str(body.get("state_hash", "")) if status == 200 else f"status {status}"
                except UNREACHABLE as fault:
                    shown = type(fault).__name__
                if shown == wanted or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.2)
        return None if shown == wanted else Broken("view", run, f"shown {shown}, folded {wanted}")

    found = await asyncio.gather(*(differs(run) for run in chosen))
    return [fault for fault in found if fault is not None], len(chosen)


async def _folded(definitions: Definitions, run: str, events: Sequence[ReadEvent]) -> str:
    read = [read_event(event.topic, event.data) for event in events]
    started = read[0]
    assert isinstance(started, RunStarted)
    plan = await definitions.plan(
        started.tenant, started.workflow, started.definition_digest, started.agents
    )
    state = RunState(run, plan=plan)
    for event in read:
        state = evolve(state, event)
    return state_hash(state)
