"""One chaos from beginning to end: start, load, faults, healing, judgement."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock_testkit.chaos.clients import Clients
from penstock_testkit.chaos.judge import Broken, all_ended, settling
from penstock_testkit.chaos.nemesis import Done, Nemesis, Skipped
from penstock_testkit.chaos.observed import Availability, Log, availability, first_after
from penstock_testkit.chaos.schedule import CALM_S, EVERY, LANES, Kind, plan
from penstock_testkit.chaos.stack import ChaosStack, Disk
from penstock_testkit.chaos.verdict import Counts, judged

ASKED = ("trigger", "publish", "vote", "cancel", "probe")
FINISH_S = 120.0  # for clients that still insist when everything is healed
LAST_CALM_S = 5.0  # load goes on behind the last fault
AFTERMATH_S = 5.0  # belongs to a fault's own availability


@dataclass(frozen=True, slots=True)
class Orders:
    """What kind of chaos is wanted.

    Attributes:
        lasts_s: seconds of load; all faults begin within.
        calm_s: least and most seconds between two faults of a lane.
        least: share of client operations that has to succeed for the run to say anything.
        heals_s: how long runs may take to end once all faults are healed.
        disk_mib: size of JetStream's own disk; 0: it has none.
    """

    seed: int
    lasts_s: float
    kinds: Collection[Kind] = EVERY
    lanes: int = LANES
    calm_s: tuple[float, float] = CALM_S
    http: int = 5
    bus: int = 2
    least: float = 0.3
    heals_s: float = 300.0
    disk_mib: int = 0
    settings: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What one fault did to the clients.

    Attributes:
        resumed_s: seconds from its end (or the restart of a process) to the first new work.
        voted_s: the same to the first decision taken; None where none was asked for.
        during: availability from its begin to a little after its end.
        alone: whether no other fault overlapped.
    """

    done: Done
    resumed_s: float | None
    voted_s: float | None
    during: Availability
    alone: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a chaos."""

    orders: Orders
    aftermaths: Sequence[Aftermath]
    skipped: Sequence[Skipped]
    broken: Sequence[Broken]
    counts: Counts
    overall: Availability
    accepted: int
    healed_s: float
    settled: int

    @property
    def good(self) -> bool:
        """Whether nothing was broken, and enough was done and has succeeded to say so."""
        enough = self.overall.share >= self.orders.least and self.accepted > 0
        return not self.broken and enough and bool(self.aftermaths)

    @property
    def never(self) -> Sequence[Kind]:
        """Kinds of faults that were asked for and have not happened."""
        return sorted(set(self.orders.kinds) - {one.done.fault.kind for one in self.aftermaths})


async def chaos(
    home: Path, orders: Orders, say: Callable[[str], None], tick: Callable[[float], None]
) -> Outcome:
    """Run it.

    Args:
        home: empty folder for state, logs and notes; it is kept.
        orders: what is wanted.
        say: told a line for each thing that happens.
        tick: told the seconds that the load has gone on, each second.
    """
    disk = None
    if orders.disk_mib and Kind.FULL_DISK in orders.kinds:
        disk = Disk(home / "nats" / "store", orders.disk_mib)
        disk.mount()
    stack = ChaosStack(home, orders.settings, disk)
    log = Log(home / "history.jsonl")
    try:
        await stack.start()
        clients = Clients(stack, log, orders.seed, http=orders.http, bus=orders.bus)
        await clients.prepare()
        return await _campaign(stack, clients, log, orders, (say, tick))
    finally:
        log.close()
        await stack.stop()


async def _campaign(
    stack: ChaosStack,
    clients: Clients,
    log: Log,
    orders: Orders,
    tell: tuple[Callable[[str], None], Callable[[float], None]],
) -> Outcome:
    say, tick = tell
    faults = plan(orders.seed, orders.lasts_s, orders.kinds, orders.lanes, orders.calm_s)
    nemesis = Nemesis(stack, log, faults, say)
    began_s = time.monotonic()
    async with _ticking(began_s, tick), clients.at_work() as finished:
        await nemesis.run(began_s)
        left_s = began_s + orders.lasts_s - time.monotonic()
        await asyncio.sleep(max(left_s, LAST_CALM_S))
        await nemesis.heal()
        healed_at_s = time.monotonic()
        say("healed: nothing new is started, what was begun has to end")
        clients.stopping.set()
        async with settling(stack, clients) as settled:
            async with asyncio.timeout(FINISH_S):
                await finished()
            left = await all_ended(stack, orders.heals_s)
    healed_s = time.monotonic() - healed_at_s
    say(f"open: {dict(left) or 'nothing'} after {healed_s:.1f} s; judging")
    broken, counts = await judged(stack, clients, log, nemesis.done)
    return Outcome(
        orders=orders,
        aftermaths=_aftermaths(nemesis.done, clients, log),
        skipped=nemesis.skipped,
        broken=broken,
        counts=counts,
        overall=availability(log.operations, began_s, healed_at_s, ASKED),
        accepted=len(log.promises),
        healed_s=healed_s,
        settled=len(settled),
    )


@contextlib.asynccontextmanager
async def _ticking(began_s: float, tick: Callable[[float], None]) -> AsyncGenerator[None]:
    async def each_second() -> None:
        while True:
            tick(time.monotonic() - began_s)
            await asyncio.sleep(1)

    task = asyncio.create_task(each_second())
    try:
        yield
    finally:
        _ = task.cancel()


def _aftermaths(done: Sequence[Done], clients: Clients, log: Log) -> list[Aftermath]:
    clients.look()
    acted: dict[str, float] = {}
    for act in clients.acts:
        if act.mark:
            acted.setdefault(act.mark, act.at_s)
    works = [(log.probes[mark], at_s) for mark, at_s in acted.items()]
    votes = [(one.began_s, one.ended_s) for one in log.operations if one.kind == "vote" and one.ok]
    found: list[Aftermath] = []
    for one in sorted(done, key=lambda it: it.began_s):
        worked = first_after(works, one.began_s, one.ended_s)
        voted = first_after(votes, one.began_s, one.ended_s)
        until_s = one.ready_s + AFTERMATH_S
        others = [it for it in done if it is not one]
        found.append(
            Aftermath(
                done=one,
                resumed_s=None if worked is None else worked - one.ended_s,
                voted_s=None if voted is None else voted - one.ended_s,
                during=availability(log.operations, one.began_s, until_s, ASKED),
                alone=all(it.ready_s < one.began_s or it.began_s > until_s for it in others),
            )
        )
    return found


def table(outcome: Outcome) -> str:
    """Give the report: a line for each kind of fault, and what was judged."""
    groups: dict[str, list[Aftermath]] = defaultdict(list)
    for one in outcome.aftermaths:
        target = one.done.fault.target
        groups[f"{one.done.fault.kind} {target}"].append(one)
        groups[f"{one.done.fault.kind}"].append(one)
    lines = [
        "| fault | times | work resumed: median, longest (s) | decisions: longest (s) "
        "| share of operations done | longest outage (s) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines.extend(_row(name, groups[name]) for name in sorted(groups))
    return "\n".join([*lines, "", *_totals(outcome)])


def _row(name: str, group: Sequence[Aftermath]) -> str:
    resumed = [one.resumed_s for one in group if one.resumed_s is not None]
    voted = [one.voted_s for one in group if one.voted_s is not None]
    asked, done = (sum(getattr(one.during, it) for one in group) for it in ("asked", "done"))
    work = f"{statistics.median(resumed):.2f}, {max(resumed):.2f}" if resumed else "-"
    vote = f"{max(voted):.2f}" if voted else "-"
    share = f"{done / asked:.1%}" if asked else "-"
    outage = max(one.during.outage_s for one in group)
    never = sum(one.resumed_s is None for one in group)
    return (
        f"| {name} | {len(group)} | {work}{f' (never: {never})' if never else ''} "
        f"| {vote} | {share} | {outage:.1f} |"
    )


def _totals(outcome: Outcome) -> list[str]:
    counts, overall, broken = outcome.counts, outcome.overall, outcome.broken

    def told(*checks: str) -> int:
        return sum(one.check in checks for one in broken)

    lines = [
        f"seed {outcome.orders.seed}, {outcome.orders.lasts_s:g} s of load, "
        f"{len(outcome.aftermaths)} faults, {len(outcome.skipped)} skipped",
        f"client operations: {overall.asked}, of which {overall.share:.1%} succeeded; "
        f"longest outage {overall.outage_s:.1f} s",
        f"accepted triggers: {outcome.accepted}, lost {told('accepted')}",
        f"results applied twice: {told('result')}; `once` effects repeated: {told('once')}; "
        f"runs that did not end: {told('ended')} of {counts.runs}",
        f"unknown outcomes: {counts.unknown}, settled by the operator: {outcome.settled}; "
        f"repeatable executions repeated: {counts.repeated} of {counts.acts}",
        f"events: {counts.events}, of which parked messages {counts.parked}; "
        f"copies in EVENTS: {counts.duplicates}; "
        f"states compared with a fold of the store: {counts.compared}",
        f"everything had ended {outcome.healed_s:.1f} s after the last fault was healed",
    ]
    if outcome.never:
        lines.append(f"never done: {', '.join(outcome.never)}")
    lines += [f"BROKEN {one.check}: {one.about}: {one.detail}" for one in broken[:40]]
    if overall.share < outcome.orders.least:
        lines.append(f"TOO FEW operations succeeded: below {outcome.orders.least:.0%}")
    lines.append("held" if outcome.good else "NOT HELD")
    return lines
