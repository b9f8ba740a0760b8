"""Command line: `python -m penstock_testkit.chaos --minutes N --seed S`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from penstock_adapters.system.process import run_loop
from penstock_testkit.chaos.campaign import Orders, Outcome, chaos, table
from penstock_testkit.chaos.schedule import EVERY, Kind, plan

BAR_WIDTH = 50
DISK_MIB_FIRST, DISK_MIB_A_MINUTE = 512, 64


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock_testkit.chaos", description="Disturb a real stack under load."
    )
    _ = parser.add_argument("--minutes", type=float, default=2.0, help="of load")
    _ = parser.add_argument("--seed", type=int, default=None, help="default: drawn from the time")
    _ = parser.add_argument("--only", nargs="*", choices=sorted(EVERY), help="kinds of faults")
    _ = parser.add_argument("--lanes", type=int, default=2, help="faults that may overlap")
    _ = parser.add_argument("--clients", type=int, default=5)
    _ = parser.add_argument("--publishers", type=int, default=2)
    _ = parser.add_argument("--heals", type=float, default=300.0, help="seconds for runs to end")
    _ = parser.add_argument("--home", type=Path, help="folder for state, logs and notes; kept")
    _ = parser.add_argument("--plan", action="store_true", help="only print the faults")
    return parser.parse_args(arguments)


def orders_of(told: argparse.Namespace) -> Orders:
    """Turn the command line into orders."""
    seed = told.seed if told.seed is not None else time.time_ns() // 1_000_000 % 1_000_000
    kinds = frozenset(map(Kind, told.only)) if told.only else EVERY
    disk = DISK_MIB_FIRST + round(DISK_MIB_A_MINUTE * told.minutes)
    return Orders(
        seed=seed,
        lasts_s=told.minutes * 60,
        kinds=kinds,
        lanes=told.lanes,
        http=told.clients,
        bus=told.publishers,
        heals_s=told.heals,
        disk_mib=disk,
    )


def run(home: Path, orders: Orders) -> Outcome:
    """Run it with a bar on a terminal, and with a line for each fault otherwise."""
    began = time.monotonic()
    bar = sys.stdout.isatty()

    def say(line: str) -> None:
        clear = "\r\033[K" if bar else ""
        print(f"{clear}{time.monotonic() - began:8.1f} s  {line}", flush=True)

    def tick(done_s: float) -> None:
        if bar:
            full = round(BAR_WIDTH * min(1.0, done_s / orders.lasts_s))
            print(f"\r[{'#' * full:<{BAR_WIDTH}}] {done_s:5.0f} s", end="", flush=True)

    return run_loop(chaos(home, orders, say, tick))


def main(arguments: list[str]) -> int:
    """Run the command; gives its exit code."""
    told = parsed(arguments)
    orders = orders_of(told)
    if told.plan:
        for fault in plan(orders.seed, orders.lasts_s, orders.kinds, orders.lanes):
            print(f"{fault.at_s:8.1f} s  {fault.line}")
        return 0
    home = told.home or Path(tempfile.mkdtemp(prefix="penstock-chaos-"))
    home.mkdir(parents=True, exist_ok=True)
    print(f"seed {orders.seed}; state, logs and notes are in {home}", flush=True)
    outcome = run(home, orders)
    print(table(outcome), flush=True)
    again = f"python -m penstock_testkit.chaos --minutes {told.minutes:g} --seed {orders.seed}"
    print(f"again: {again}")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
