"""Benchmark of the whole stack: no-op workflows, and how soon triggers and decisions act.

    python load-tests/bench.py [--runs 1500] [--in-flight 100] [--probes 100] [--decisions 100]

All four services, nats-server and PostgreSQL (fsync on) run as in `penstock up`; triggers go in by
a plain publish on NATS and completion is read from EVENTS. Steps run in the inline adapter, so
that what is measured is the orchestration; the probe is a native program in the bubblewrap
sandbox that prints the time of its first instruction. Figures depend on the machine: compare
ratios within one run.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from decisions import decisions
from probes import make_probe

from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.system.process import run_loop
from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_contracts.records import read_published
from penstock_contracts.run.v1 import RunSucceeded
from penstock_contracts.subjects import Stream
from penstock_testkit.stack import SERVICES, RunningStack

STEPS = 5
WARM_UP = 100
LIMIT_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")
PROBE_WORKFLOW = "bench-probe"
CHAIN_WORKFLOW = "bench-chain"


def cpu_seconds(pid: int, *, whole: bool) -> float:
    """Give user and system time of a process, and of its children, read from /proc."""
    total = 0.0
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = task.read_text()
        except OSError:
            continue
        head, _, rest = text.rpartition(")")
        fields = rest.split()
        number = int(head.split(" ", 1)[0])
        if number == pid or (whole and int(fields[1]) == pid):
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


class Meter:
    """CPU seconds of every process of the stack."""

    def __init__(self, stack: RunningStack) -> None:
        """Begin at zero now."""
        self._pids = {name: stack.pid(name) for name in (*SERVICES, "nats", "postgres")}
        self._pids["client"] = os.getpid()
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(pid, whole=name != "client") for name, pid in self._pids.items()}

    def spent(self) -> dict[str, float]:
        """Give the seconds since."""
        return {name: after - self._before[name] for name, after in self._now().items()}


class Endings:
    """Counts runs that have succeeded, as EVENTS tells."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.count = 0
        self._changed = asyncio.Condition()

    async def follow(self, stack: RunningStack, ready: asyncio.Event) -> None:
        """Count until cancelled."""
        tail = NatsStreamTail(await stack.bus())
        pattern = subjects.events_of("default", "run").removesuffix("*") + "run_succeeded"
        async with tail.follow(Stream.EVENTS, pattern) as messages:
            ready.set()
            async for message in messages:
                if read_published(message.payload).topic == RunSucceeded.TYPE:
                    self.count += 1
                    async with self._changed:
                        self._changed.notify_all()

    async def reach(self, count: int) -> None:
        """Wait until `count` runs have succeeded."""
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


@contextlib.asynccontextmanager
async def counted(stack: RunningStack) -> AsyncGenerator[Endings]:
    """Give a running count of ended runs."""
    endings, ready = Endings(), asyncio.Event()
    following = asyncio.create_task(endings.follow(stack, ready))
    await asyncio.wait_for(ready.wait(), 10)
    try:
        yield endings
    finally:
        following.cancel()


async def start(stack: RunningStack, workflow: str, numbers: range) -> None:
    """Publish one trigger a number, pipelined."""
    subject = subjects.trigger("default", f"workflow.{workflow}")
    await asyncio.gather(
        *(
            stack.publish(Stream.TRIGGERS, subject, b'{"inputs":{}}', f"{workflow}-{number}")
            for number in numbers
        )
    )


async def throughput(home: Path, runs: int, in_flight: int) -> None:
    """Measure steps a second and CPU seconds per 1,000 steps."""
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack:
        for manifest in builtin_manifests():
            await stack.register(manifest.to_data())
        chain = {f"step_{n}": {"agent": "noop", "needs": needs(n)} for n in range(STEPS)}
        await stack.apply(CHAIN_WORKFLOW, chain)
        async with counted(stack) as endings:
            await start(stack, CHAIN_WORKFLOW, range(WARM_UP))
            await endings.reach(WARM_UP)
            meter, began = Meter(stack), time.perf_counter()
            await keep_in_flight(stack, endings, runs, in_flight)
            took = time.perf_counter() - began
            spent = meter.spent()
    steps = runs * STEPS
    print(f"{runs} runs of {STEPS} steps, {in_flight} in flight: {steps / took:.0f} steps/s")
    print("CPU seconds per 1,000 steps:")
    for name, seconds in spent.items():
        print(f"  {name:<16} {1000 * seconds / steps:.3f}")
    total = sum(value for name, value in spent.items() if name != "client")
    print(f"  {'all but client':<16} {1000 * total / steps:.3f}")


def needs(number: int) -> list[str]:
    """Name the step before."""
    return [f"step_{number - 1}"] if number else []


async def keep_in_flight(stack: RunningStack, endings: Endings, runs: int, in_flight: int) -> None:
    """Start a run whenever one ends, until `runs` have ended."""
    started = 0
    while started < runs:
        ended = endings.count - WARM_UP
        room = min(in_flight - (started - ended), runs - started)
        if room > 0:
            first = WARM_UP + started
            await start(stack, CHAIN_WORKFLOW, range(first, first + room))
            started += room
        else:
            await endings.reach(WARM_UP + ended + 1)
    await endings.reach(WARM_UP + runs)


async def latency(home: Path, probes: int) -> None:
    """Measure from the publish of a trigger to the probe's first instruction."""
    agents = home / "agents"
    kind = make_probe(agents / PROBE_WORKFLOW)
    async with RunningStack.started(home / "state", PENSTOCK_AGENT_ROOTS=str(agents)) as stack:
        await stack.register_bundle(agents / PROBE_WORKFLOW)
        await stack.apply(PROBE_WORKFLOW, {"probe": {"agent": PROBE_WORKFLOW}})
        samples = [await one_probe(stack, number) for number in range(probes + 5)][5:]
    cuts = statistics.quantiles(samples, n=100)
    print(
        f"trigger published to first instruction of a {kind} in the sandbox, "
        f"{probes} times: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, min {min(samples):.1f} ms"
    )


async def one_probe(stack: RunningStack, number: int) -> float:
    """Give the milliseconds of one trigger."""
    async with counted(stack) as endings:
        await endings.reach(number)
        published = time.time_ns()
        await start(stack, PROBE_WORKFLOW, range(number, number + 1))
        await endings.reach(number + 1)
    run = probe_run(number)
    shown = await stack.ended(run)
    return (int(shown["nodes"]["probe"]["output"]["at"]) * 1000 - published) / 1e6


def probe_run(number: int) -> str:
    """Give the id of the run that probe `number` has started."""
    return run_id("default", PROBE_WORKFLOW, f"msg:{PROBE_WORKFLOW}-{number}")


async def main(arguments: argparse.Namespace) -> None:
    """Run the measurements, each on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        if arguments.runs:
            await throughput(Path(folder) / "throughput", arguments.runs, arguments.in_flight)
        if arguments.probes:
            await latency(Path(folder) / "latency", arguments.probes)
        if arguments.decisions:
            await decisions(Path(folder) / "decisions", arguments.decisions)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--decisions", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run_loop(main(parsed())))
