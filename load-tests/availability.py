"""How long partitions stand still: instances killed, paused and stopped, and all restarted.

    python load-tests/availability.py kill --times 10 --pace 0.1
    python load-tests/availability.py rolling

`kill`, `pause` and `stop` do it to an added scheduler and tell how long it took until others had
committed to all of its partitions. `rolling` restarts two instances of every service one after the
other. Triggers come at a steady pace meanwhile, at every gateway; a request is repeated once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from penstock_testkit.instances import Client, Extra, Owners, Told, moved
from penstock_testkit.stack import SERVICES, RunningStack

SIGNALS = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "stop": signal.SIGTERM}
PARTITIONS = 4
FLOW = {"a": {"agent": "noop"}, "b": {"agent": "noop", "needs": ["a"]}}
SETTINGS = {
    "PENSTOCK_SANDBOX": "inline",
    "PENSTOCK_RUN_PARTITIONS": str(PARTITIONS),
    "PENSTOCK_RATE_PER_MINUTE": "1000000",
}


async def one_move(stack: RunningStack, owners: Owners, name: str, how: str) -> float:
    """Add a scheduler, wait until it has its share, end it, and wait until that is served."""
    async with Extra.beside(stack, "scheduler", name) as extra:

        async def shared() -> bool:
            return owners.counts().get(name, 0) >= PARTITIONS // 2

        await stack.until(shared)
        extra.send(SIGNALS[how])
        seconds = await moved(stack, owners, owners.of(name))
        if how == "pause":
            extra.send(signal.SIGCONT)
        return seconds


async def moves(how: str, times: int, pace_s: float, home: Path) -> dict[str, Any]:
    """Measure so many moves."""
    async with RunningStack.started(home, **SETTINGS) as stack:
        await stack.register_builtin()
        await stack.apply("flow", FLOW)
        client = Client(stack, "flow", pace_s)
        with Owners(stack) as owners:
            async with client.at_work() as told:
                taken = [
                    await one_move(stack, owners, f"scheduler-{number + 10}", how)
                    for number in range(times)
                ]
        return {**summary(taken), **await ended(stack, told)}


async def rolling(pace_s: float, home: Path) -> dict[str, Any]:
    """Restart everything."""
    names = [name for service in SERVICES for name in (service, f"{service}-2")]
    async with RunningStack.started(home, names, **SETTINGS) as stack:
        await stack.register_builtin()
        await stack.apply("flow", FLOW)
        client = Client(stack, "flow", pace_s)
        taken: list[float] = []
        async with client.at_work() as told:
            for name in names:
                began = time.monotonic()
                await stack.restart(name)
                taken.append(time.monotonic() - began)
        return {**summary(taken), **await ended(stack, told)}


async def ended(stack: RunningStack, told: Told) -> dict[str, Any]:
    """Wait for all runs; gives what the client saw of them."""
    states = [(await stack.ended(run))["run"]["status"] for run in told.runs]
    return {
        "runs": len(states),
        "runs_succeeded": states.count("succeeded"),
        "answered_202": len(told.delivered),
        "retried": dict(told.retried),
        "failed": told.failed,
        "slowest_request_s": round(told.longest_s, 2),
        "load_average": os.getloadavg()[0],
        "processors": os.cpu_count(),
    }


def summary(seconds: list[float]) -> dict[str, Any]:
    """Sum measurements up."""
    return {
        "times": len(seconds),
        "min_s": round(min(seconds), 2),
        "median_s": round(statistics.median(seconds), 2),
        "max_s": round(max(seconds), 2),
    }


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*SIGNALS, "rolling"))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--pace", type=float, default=0.1, help="seconds between two triggers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="availability-") as folder:
        home = Path(folder) / "state"
        if options.what == "rolling":
            told = asyncio.run(rolling(options.pace, home))
        else:
            told = asyncio.run(moves(options.what, options.times, options.pace, home))
    sys.stdout.write(json.dumps({"what": options.what, **told}, indent=1) + "\n")
    return 1 if told["failed"] or told["runs"] != told["runs_succeeded"] else 0


if __name__ == "__main__":
    sys.exit(main())
