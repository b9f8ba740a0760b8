"""How much slower a task is beside one that takes all it can get, on the same executor.

    python load-tests/neighbours.py [--watchdog] [--samples 40]

Each row: a kind of bomb, the neighbours' time alone and beside it (p50, p95, milliseconds), the
ratio of the medians, and how many bombs went off meanwhile. Trust the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_testkit.bombs import BOMBS
from penstock_testkit.neighbours import neighbours_of


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="neighbours of bombs, under bubblewrap")
    parser.add_argument("--watchdog", action="store_true", help="without control groups")
    parser.add_argument("--samples", type=int, default=40, help="neighbours beside each bomb")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bundle").mkdir(mode=0o755)
        return asyncio.run(measure(folder, given.samples, use_cgroups=not given.watchdog))


async def measure(folder: Path, samples: int, *, use_cgroups: bool) -> int:
    """Measure all bombs, one after the other."""
    sandbox = BubblewrapSandbox(folder / "scratch", use_cgroups=use_cgroups)
    health = await sandbox.check()
    if not health.available:
        sys.stderr.write(f"{health.obstacle}; {health.mend}\n")
        return 1
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {health.isolation}")
    print("| bomb | alone p50 | p95 | beside p50 | p95 | ratio | bombs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for bomb in BOMBS:
        seen = await neighbours_of(sandbox, folder / "bundle", bomb, samples)
        cells = [_ms(seen.alone, 50), _ms(seen.alone, 95), _ms(seen.beside, 50)]
        cells += [_ms(seen.beside, 95), f"{seen.beside_s / seen.alone_s:.1f}", str(seen.bombs)]
        print(f"| {bomb.name} | {' | '.join(cells)} |", flush=True)
    await sandbox.close()
    return 0


def _ms(values: Sequence[float], percent: int) -> str:
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1e3:.0f}"


if __name__ == "__main__":
    sys.exit(main())
