"""How soon work goes on after a kill -9, and what is executed again: one process after the other.

python -m penstock_testkit.chaos.resume [--rounds 3] [--only scheduler ...]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.system.process import run_loop
from penstock_contracts.run.v1 import NodeSucceeded
from penstock_contracts.values import MICROSECONDS
from penstock_testkit.chaos.clients import Clients
from penstock_testkit.chaos.executor import Act
from penstock_testkit.chaos.judge import ONCE, Stored, all_ended, runs_ended, settling
from penstock_testkit.chaos.observed import Log, first_after
from penstock_testkit.chaos.stack import TARGETS, ChaosStack

PROBE_EVERY_S = 0.05
RESUMES_WITHIN_S = 60.0
SETTLES_S = 2.0  # between two kills
HEALS_S = 120.0


@dataclass(frozen=True, slots=True)
class Resumed:
    """What one kill has cost.

    Attributes:
        killed_s: monotonic seconds.
        away_s: until the supervisor had started the process again.
        ready_s: from its start until it said that it is ready.
        cpu_s: CPU seconds that it had used by then; what more it took, it waited for the machine.
        works_s: from its start until an agent did what was asked for after the kill.
    """

    target: str
    killed_s: float
    away_s: float
    ready_s: float
    cpu_s: float
    works_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All kills, and what was executed more than once.

    Attributes:
        repeated: executions of repeatable attempts beyond the first.
        unexplained: those of them whose attempt was not in flight at any kill.
    """

    kills: Sequence[Resumed]
    acts: int
    repeated: int
    unexplained: Sequence[str]
    open: int


async def measured(
    home: Path, targets: Sequence[str], rounds: int, say: Callable[[str], None]
) -> Measured:
    """Kill each target in turn, `rounds` times, under a light load."""
    stack, log = ChaosStack(home, {}), Log(home / "history.jsonl")
    try:
        await stack.start()
        clients = Clients(stack, log, 0, http=3, bus=1, probe_every_s=PROBE_EVERY_S)
        await clients.prepare()
        kills: list[Resumed] = []
        async with clients.at_work() as finished:
            for number in range(rounds * len(targets)):
                await asyncio.sleep(SETTLES_S)
                one = await _kill(stack, clients, log, targets[number % len(targets)])
                say(_line(one.target, [one]))
                kills.append(one)
            clients.stopping.set()
            async with settling(stack, clients):
                await finished()
                left = await all_ended(stack, HEALS_S)
        stored = await asyncio.to_thread(Stored, stack)
        return _judged(kills, clients.acts, stored, sum(left.values()))
    finally:
        log.close()
        await stack.stop()


def cpu_seconds(pid: int) -> float:
    """Give the CPU seconds that a process has used, its children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _kill(stack: ChaosStack, clients: Clients, log: Log, target: str) -> Resumed:
    killed_s = time.monotonic()
    await stack.end([target], orderly=False)
    started_s, ready_s = stack.starts[target][-1], stack.readies[target][-1]
    cpu_s = cpu_seconds(stack.pid(target))
    first: float | None = None

    async def works() -> bool:
        nonlocal first
        clients.look()
        acted = ((log.probes.get(act.mark, 0.0), act.at_s) for act in clients.acts)
        first = first_after(acted, killed_s, started_s)
        return first is not None

    await stack.until(works, RESUMES_WITHIN_S)
    assert first is not None
    return Resumed(
        target=target,
        killed_s=killed_s,
        away_s=started_s - killed_s,
        ready_s=ready_s - started_s,
        cpu_s=cpu_s,
        works_s=first - started_s,
    )


def _judged(kills: Sequence[Resumed], acts: Sequence[Act], stored: Stored, left: int) -> Measured:
    """Look for executions beyond the first whose attempt was not in flight at a kill."""
    offset_s = time.time() - time.monotonic()
    settled = {
        (run, event.data["node"], event.data["attempt"]): event.meta.time_us / MICROSECONDS
        - offset_s
        for run, events in stored.runs.items()
        for event in events
        if event.topic == NodeSucceeded.TYPE
    }
    by_attempt: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for act in acts:
        if act.agent not in ONCE:
            by_attempt[act.run, act.node, act.attempt].append(act.at_s)
    again = {key: sorted(times) for key, times in by_attempt.items() if len(times) > 1}
    unexplained = [
        f"{run}/{node}/{attempt}"
        for (run, node, attempt), times in again.items()
        if not any(
            times[0] <= kill.killed_s <= settled.get((run, node, attempt), times[-1])
            for kill in kills
        )
    ]
    repeated = sum(len(times) - 1 for times in again.values())
    open_runs = max(left, sum(1 for _ in runs_ended(stored)))
    return Measured(kills, len(acts), repeated, unexplained, open_runs)


def _line(target: str, kills: Sequence[Resumed]) -> str:
    def told(values: Sequence[float]) -> str:
        return f"{statistics.median(values):.2f} (longest {max(values):.2f})"

    return (
        f"{target:<16} away {told([one.away_s for one in kills])} s; from its start: ready after "
        f"{told([one.ready_s for one in kills])} s, of which CPU "
        f"{told([one.cpu_s for one in kills])} s, work after "
        f"{told([one.works_s for one in kills])} s"
    )


def main(arguments: list[str]) -> int:
    """Run the measurement; gives its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    _ = parser.add_argument("--rounds", type=int, default=3)
    _ = parser.add_argument("--only", nargs="*", choices=TARGETS, default=list(TARGETS))
    _ = parser.add_argument("--home", type=Path, help="folder for state, logs and notes; kept")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="penstock-resume-") as temporary:
        folder = told.home or temporary
        found = run_loop(
            measured(
                Path(folder) / "state", told.only, told.rounds, lambda it: print(it, flush=True)
            )
        )
    print(f"\nmedians of {told.rounds} kills each:")
    for target in told.only:
        print(_line(target, [one for one in found.kills if one.target == target]))
    print(
        f"executed again: {found.repeated} of {found.acts}, not in flight at a kill: "
        f"{len(found.unexplained)}; runs that did not end: {found.open}"
    )
    return 1 if found.unexplained or found.open else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
