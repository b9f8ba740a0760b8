"""What a task costs on a Dagger engine beyond a bare exec there, alternated in one run.

    python load-tests/dagger_overhead.py [--rounds N]

Needs `_EXPERIMENTAL_DAGGER_RUNNER_HOST` and the `dagger` program. Both run `/bin/true` in the same
files; the bare exec is the SDK's own, with a variable that keeps the engine from answering from
its cache. A task adds limits, supervision, an output and live lines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from penstock_adapters.bundles import sdk_folder
from penstock_adapters.dagger import DaggerSandbox
from penstock_adapters.dagger.documents import Step, chained
from penstock_runtime.ports.sandbox import ExitReason, Limits, SandboxSpec

LIMITS = Limits(
    memory_bytes=256 * 2**20,
    processes=32,
    cpu_s=10,
    wall_s=30,
    output_bytes=64 * 1024,
    log_bytes=64 * 1024,
    disk_bytes=8 * 2**20,
)
WARM_UP = 5


async def measure(rounds: int) -> None:
    """Print the two medians and their difference."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        bundle = Path(folder) / "agent"
        bundle.mkdir(mode=0o755)
        sdk = sdk_folder()
        sandbox = DaggerSandbox(
            Path(folder) / "scratch",
            cli=Path(os.environ.get("_EXPERIMENTAL_DAGGER_CLI_BIN", "dagger")),
            engine=os.environ["_EXPERIMENTAL_DAGGER_RUNNER_HOST"],
            readable=() if sdk is None else (sdk,),
        )
        try:
            await _measure(sandbox, bundle, rounds)
        finally:
            await sandbox.close()


async def _measure(sandbox: DaggerSandbox, bundle: Path, rounds: int) -> None:
    health = await sandbox.check()
    assert health.available, health.obstacle
    session, base = await sandbox.base()
    spec = SandboxSpec("overhead", bundle, ("true",), b"{}", LIMITS)
    bare: list[float] = []
    ours: list[float] = []
    for number in range(rounds + WARM_UP):
        begun = time.perf_counter()
        steps: list[Step] = [
            ("loadContainerFromID", {"id": base}),
            ("withEnvVariable", {"name": "UNCACHED", "value": str(time.time_ns())}),
            ("withExec", {"args": ["/bin/true"]}),
        ]
        await session.ask(chained(steps, "exitCode"), 60)
        between = time.perf_counter()
        result = await sandbox.run(spec, lambda _: None)
        ended = time.perf_counter()
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), result.detail
        await sandbox.settled()
        if number >= WARM_UP:
            bare.append(between - begun)
            ours.append(ended - between)
        if sys.stderr.isatty():
            print(f"\r{number + 1}/{rounds + WARM_UP}", end="", file=sys.stderr)
    for name, values in (("bare exec", bare), ("task", ours)):
        print(f"{name:10} p50 {_ms(values)} ms, p95 {_ms(values, 0.95)} ms")
    difference = statistics.median(after - before for before, after in zip(bare, ours, strict=True))
    print(f"overhead   p50 {difference * 1000:.1f} ms over {rounds} pairs")


def _ms(values: list[float], share: float = 0.5) -> str:
    return f"{sorted(values)[int(len(values) * share)] * 1000:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    asyncio.run(measure(parser.parse_args().rounds))
