"""One seed from its first event to the judgement."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock_contracts.records import StoredRecord, read_published
from penstock_contracts.registry import name_of
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    CATALOG_PARTITION,
    Stream,
    parse,
    run_partition,
)
from penstock_contracts.values import MICROSECONDS
from penstock_testkit.checking import check
from penstock_testkit.checking.delivered import answered_of
from penstock_testkit.checking.effects import once_happens_once
from penstock_testkit.checking.folding import rows_of
from penstock_testkit.checking.history import Accepted, History, Published, Violation
from penstock_testkit.sim.agents import CANARY
from penstock_testkit.sim.clients import Clients, one_key_is_one_trigger
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.loop import ShuffledLoop, run_shuffled
from penstock_testkit.sim.nemesis import Nemesis
from penstock_testkit.sim.people import People
from penstock_testkit.sim.plan import Plan, plan_of
from penstock_testkit.sim.world import SimWorld

CALM_S = 6 * 3_600.0  # of virtual time in which everything must end once the storm is over
LAST_S = 60.0  # for what was sent at the very end to be read
SETTLE_S = 1_800.0  # and in which what was told must have been told to everybody
LOOK_FIRST_S, LOOK_CAP_S = 0.5, 30.0
# Streams remember what a restored store has forgotten: a decision whose approval is lost, a start
# whose match is; and what a recovery doubts is unknown at once, and not at the end of its time.
_OF_WHAT_IS_FORGOTTEN = frozenset({"decisions", "started as matched", "due times"})
ENDINGS = frozenset({"run_succeeded", "run_failed", "run_cancelled"})


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a seed.

    Attributes:
        violations: promises that were not kept.
        line: the command that does it all again.
        digest: of the stored events: the same seed gives the same.
        done: what befell the world.
    """

    seed: int
    violations: Sequence[Violation]
    digest: str = ""
    runs: int = 0
    events: int = 0
    effects: int = 0
    done: Sequence[str] = field(default_factory=tuple[str, ...])
    alerts: Sequence[str] = field(default_factory=tuple[str, ...])

    @property
    def line(self) -> str:
        """Give the command that does it again."""
        return f"make sim SEED={self.seed}"


def run_seed(seed: int) -> Report:
    """Run what a seed stands for, and judge it."""
    plan = plan_of(seed)
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-sim-") as scratch:
            return run_shuffled(seed, lambda loop: _Story(plan, loop, Path(scratch)).tell())
    except Exception as error:  # noqa: BLE001 - the boundary of a seed: a defect is its finding
        where = traceback.format_exc(limit=-8)
        return Report(seed, [Violation("crash", type(error).__name__, f"{error}\n{where}")])


class _Story:
    def __init__(self, plan: Plan, loop: ShuffledLoop, scratch: Path) -> None:
        self.plan = plan
        self.world = SimWorld(plan, loop, scratch)
        self.clients = Clients(self.world.doors, Dice(plan.seed, "clients"))
        self.people = People(
            self.world.bus, self.world.views, self.clients, self.world.clock, self.world.deeds,
            Dice(plan.seed, "people"),
        )  # fmt: skip
        self.nemesis = Nemesis(self.world, Dice(plan.seed, "nemesis"))
        self.people.restored = self.clients.restored = lambda: self.nemesis.lost is not None
        self._ended: set[str] = set()
        self._read: dict[str, int] = {}

    async def tell(self) -> Report:
        world, people, plan = self.world, self.people, self.plan
        world.start()
        rounds = [asyncio.ensure_future(one) for one in people.rounds()]
        asking: list[asyncio.Future[None]] = []
        stuck: list[Violation] = []
        try:
            await people.define(plan.documents)
            asking = [asyncio.ensure_future(people.ask(one)) for one in plan.asked]
            await self.nemesis.rage(plan.storm_s, plan.faults)
            world.heal()
            people.patient = True
            stuck = await self._come_to_rest(asking)
        finally:
            for task in (*rounds, *asking):
                task.cancel()
            await asyncio.wait((*rounds, *asking))
            await world.stop()
        for task in asking:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        for task in rounds:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return self._judged(stuck)

    async def _come_to_rest(self, asking: Sequence[asyncio.Future[None]]) -> list[Violation]:
        """Wait for every end; give what did not come."""
        if not await self._until(lambda: all(one.done() for one in asking), CALM_S):
            return [Violation("liveness", "triggers", "a trigger is never accepted")]
        if not await self._until(lambda: not self._open_runs(), CALM_S):
            return [Violation("liveness", run, "never ends") for run in sorted(self._open_runs())]
        if not await self._until(lambda: not self._waiting(), CALM_S):
            return [Violation("liveness", one, "waits for ever") for one in self._waiting()]
        await self.world.clock.sleep(LAST_S)
        if not await self._until(lambda: not self._untold(), SETTLE_S):
            return [
                Violation("liveness", partition, "is not told to everybody")
                for partition in self._untold()
            ]
        if not await self._until(lambda: not self._unrelayed(), SETTLE_S):
            return [
                Violation("liveness", partition, "does not stand in EVENTS")
                for partition in self._unrelayed()
            ]
        return []

    async def _until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Look again and again, less often as time goes by; whether it came to hold."""
        clock = self.world.clock
        began_us, pause_s = clock.now_us(), LOOK_FIRST_S
        while not holds():
            if clock.now_us() - began_us > within_s * MICROSECONDS:
                return False
            await clock.sleep(pause_s)
            pause_s = min(pause_s * 1.2, LOOK_CAP_S)
        return True

    def _violations(self, history: History) -> list[Violation]:
        """Judge; of what the stores have forgotten, only that nothing was done twice."""
        lost = self.nemesis.lost
        if lost is None:
            told = self.people.accepted
            return [*check(history), *one_key_is_one_trigger(history, told)]
        remembered = replace(
            history,
            effects=[one for one in history.effects if not lost.holds(one.at_us)],
            observed=[one for one in history.observed if one.at_us > lost.to_us],
            delivered=(),
            results=(),
        )
        return [
            *once_happens_once(replace(history, forgotten=lost.forgotten)),
            *(one for one in check(remembered) if one.check not in _OF_WHAT_IS_FORGOTTEN),
        ]

    def _records(self) -> Mapping[str, Sequence[StoredRecord]]:
        return {
            CATALOG_PARTITION: (), APPROVAL_PARTITION: (),
            **{run_partition(n): () for n in range(self.world.partitions)},
            **self.world.ledger.records(), **self.world.approvals.records(),
        }  # fmt: skip

    def _open_runs(self) -> set[str]:
        """Give the runs that have not ended, reading only what is new."""
        ledger = self.world.ledger
        for partition in ledger.known():
            seen = min(self._read.get(partition, 0), ledger.count(partition))
            for record in ledger.since(partition, seen):
                if name_of(record.topic) in ENDINGS:
                    self._ended.add(record.aggregate_id)
            self._read[partition] = ledger.count(partition)
        wanted = {run for one in self._accepted() for run in one.run_ids}
        return wanted - self._ended

    def _accepted(self) -> Sequence[Accepted]:
        """Give what was accepted and is not forgotten."""
        lost = self.nemesis.lost
        accepted = self.people.accepted.values()
        return [one for one in accepted if lost is None or not lost.holds(one.at_us)]

    def _waiting(self) -> Sequence[str]:
        """Give the aggregates that are still open."""
        return [
            f"{partition}/{aggregate}"
            for store in (self.world.ledger, self.world.approvals)
            for partition, entries in store.open_index().items()
            for aggregate in entries
        ]

    def _untold(self) -> Sequence[str]:
        seen = self.world.views.seen_now()
        return [
            partition
            for store in (self.world.ledger, self.world.approvals)
            for partition in store.known()
            if seen.get(partition, 0) != store.count(partition)
        ]

    def _unrelayed(self) -> Sequence[str]:
        """Give the partitions that a reader who begins now would not read whole."""
        seen: dict[str, int] = {}
        for message in self.world.bus.streams[Stream.EVENTS].messages.values():
            if parse(message.subject).kind == "relay":
                continue
            event = read_published(message.payload)
            if event.n == seen.get(event.partition, 0) + 1:
                seen[event.partition] = event.n
        return [
            partition
            for store in (self.world.ledger, self.world.approvals)
            for partition in store.known()
            if seen.get(partition, 0) != store.count(partition)
        ]

    def _false_alerts(self) -> list[Violation]:
        """Give what somebody would be woken for although no store was put back."""
        if self.nemesis.lost is not None:
            return []
        return [Violation("alert", "a process", told) for told in self.world.alerts]

    def _judged(self, stuck: list[Violation]) -> Report:
        world, records = self.world, self._records()
        events = world.bus.streams[Stream.EVENTS]
        history = History(
            store=records,
            published=[
                Published(message.sequence, message.subject, message.payload)
                for message in events.messages.values()
            ],
            first_sequence=events.first_sequence,
            views=world.views.bodies(),
            seen=world.views.seen_now(),
            fold=rows_of,
            now_us=world.clock.now_us(),
            delivered=(*answered_of(world.bus.said, world.bus.lossy), *self.clients.done),
            results=() if Stream.RUNS in world.bus.lossy else tuple(world.reported),
            effects=world.deeds.done,
            secrets=(CANARY.encode(),),
            messages=tuple(world.written()),
            accepted=self._accepted(),
            observed=self.people.observed,
            open_index={**world.ledger.open_index(), **world.approvals.open_index()},
            old_times=frozenset(self.nemesis.old_times),
            skew_us=2 * self.nemesis.skew_us + world.bus.ahead_us,
            caught_up=not stuck,
            ended=not stuck,
        )
        defects = [Violation("defect", "a process", told) for told in world.defects]
        defects += [Violation("defect", "an answer", told) for told in self.clients.defects]
        alerts = [*self._false_alerts(), *self.nemesis.unnoticed]
        found = [*defects, *alerts, *stuck, *self._violations(history)]
        digest = hashlib.sha256()
        for partition in sorted(records):
            for record in records[partition]:
                digest.update(record.state)
        return Report(
            seed=self.plan.seed,
            violations=found,
            digest=digest.hexdigest(),
            runs=len(self._ended),
            events=sum(map(len, records.values())),
            effects=len(world.deeds.done),
            done=self.nemesis.done,
            alerts=world.alerts,
        )
