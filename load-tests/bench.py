"""Benchmark of the whole stack: no-op workflows, and how soon triggers and decisions act.

    python load-tests/bench.py [--runs 1500] [--in-flight 100] [--probes 100] [--decisions 100]
    python load-tests/bench.py --tracing [--runs 400] [--rounds 5] [--in-flight 100]
    python load-tests/bench.py --burst 15000 [--in-flight 100]

All four services, nats-server and PostgreSQL (fsync on) run as in `penstock up`; triggers go in by
a plain publish on NATS and completion is read from EVENTS. Steps run in the inline adapter, so
that what is measured is the orchestration; the probe is a native program in the bubblewrap
sandbox that prints the time of its first instruction. With `--tracing` only the cost of tracing is
measured, with `--burst` only how fast runs are that were all started at once, beside those of which
a few are kept in flight. Figures depend on the machine: compare ratios within one run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from chains import STEPS, Chains, counted, start
from decisions import decisions
from probes import make_probe
from tracing import tracing

from penstock_adapters.system.process import run_loop
from penstock_contracts.ids import run_id
from penstock_testkit.stack import RunningStack

PROBE_WORKFLOW = "bench-probe"
BURST_PARTS = 10  # of a burst that an even load before and after it is as long as


async def throughput(home: Path, runs: int, in_flight: int) -> None:
    """Measure steps a second and CPU seconds per 1,000 steps."""
    async with (
        RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack,
        Chains.opened(stack) as chains,
    ):
        loaded = await chains.load(runs, in_flight)
    print(f"{runs} runs of {STEPS} steps, {in_flight} in flight: {loaded.rate:.0f} steps/s")
    print("CPU seconds per 1,000 steps:")
    for name, seconds in loaded.spent.items():
        print(f"  {name:<16} {seconds:.3f}")
    print(f"  {'all but client':<16} {loaded.cost:.3f}")


async def burst(home: Path, runs: int, in_flight: int) -> None:
    """Measure steps a second of runs that all begin at once, beside an even load before and after.

    Each commit reaches all that are open, if anything does: what costs too much there shows here.
    """
    async with (
        RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack,
        Chains.opened(stack) as chains,
    ):
        few = max(runs // BURST_PARTS, 1)
        before = await chains.load(few, in_flight)
        at_once = await chains.load(runs, runs)
        after = await chains.load(few, in_flight)
    even = statistics.fmean((before.rate, after.rate))
    print(f"{in_flight} in flight: {before.rate:.0f} steps/s before, {after.rate:.0f} after")
    print(f"{runs} runs at once: {at_once.rate:.0f} steps/s, {at_once.rate / even:.2f} times that")


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
        if arguments.tracing:
            await tracing(Path(folder), arguments.runs, arguments.in_flight, arguments.rounds)
            return
        if arguments.burst:
            await burst(Path(folder), arguments.burst, arguments.in_flight)
            return
        if arguments.runs:
            await throughput(Path(folder) / "throughput", arguments.runs, arguments.in_flight)
        if arguments.probes:
            await latency(Path(folder) / "latency", arguments.probes)
        if arguments.decisions:
            await decisions(Path(folder) / "decisions", arguments.decisions)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracing", action="store_true", help="only what tracing costs")
    parser.add_argument("--burst", type=int, default=0, help="only so many runs at once")
    parser.add_argument("--rounds", type=int, default=5, help="of --tracing")
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--decisions", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run_loop(main(parsed())))
