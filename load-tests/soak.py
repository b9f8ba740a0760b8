"""Soak: hours at 70 % of what the stack can do; nothing may grow, and everything has to end.

    python load-tests/soak.py [--minutes 60] [--share 0.7] [--home FOLDER]

Capacity is measured first, on the very stack that is then loaded, with as many runs as fill its
caches to their bounds. Triggers go in by plain publishes
at an even rate, whatever has ended meanwhile. Memory of every process, runs in flight, queued tasks
and messages not yet decided on are looked at every few seconds. They are said to grow when the
slope is certainly above zero (Theil and Sen, 95 %) and what it comes to is worth speaking of.

EVENTS keeps a year, and nats-server an index of what it keeps in memory, which grows until that
year is full (what each run adds: `micro/subjects.py`). So that a leak can be told from it, EVENTS
keeps a tenth of the time here, which is full before anything is judged. RUNS keeps a quarter of an
hour of what was decided on; only behind that nats-server can be judged, in a soak of an hour, say.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from chains import STEPS, WARM_UP, WORKFLOW, Chains, Endings, counted, start
from soak_slopes import Slope, slope_of

from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.streams import SECOND_NS
from penstock_adapters.system.process import run_loop
from penstock_contracts.subjects import Stream
from penstock_testkit.stack import SERVICES, RunningStack

FILL_RUNS: Final = 21_000  # a partition keeps the states of 20,000 runs: its cache is full then
PIECE_RUNS: Final = 3_000  # of one measurement of capacity
IN_FLIGHT: Final = 100
TICK_S: Final = 0.05
LOOK_S: Final = 5.0
WARM_UP_SHARE: Final = 0.15  # what finds its size anew at another rate
SETTLES_S: Final[Mapping[str, float]] = {"memory of nats": 20 * 60.0}
"""What finds its size later than by that share: RUNS is purged 15 minutes behind, once a minute."""
EVENTS_SHARE: Final = 0.1  # of the time that EVENTS keeps what happened
FIRST_NUMBER: Final = 10_000_000  # of triggers, apart from those that measured capacity
MIB: Final = 1024 * 1024
DISK_RESERVE: Final = 1.3
DISK_BLOCK: Final = 512  # bytes, of what stat counts in
WRITE_AHEAD: Final = "pg_wal"
MEMORY_LIMITS: Final = (0.05, 3.0 * MIB)  # part of the median, and bytes, that it may gain
QUEUE_LIMITS: Final = (0.25, 20.0)
INBOX_METRIC: Final = "penstock_inbox_lag_messages"
MEMORY: Final = "memory of "


@dataclass(slots=True)
class Series:
    """What was seen over time, by name."""

    values: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, at_s: float, seen: Mapping[str, float]) -> None:
        """Add what was seen at one moment."""
        for name, value in seen.items():
            self.values[name].append((at_s, value))

    def slopes(self) -> dict[str, Slope]:
        """Judge each series behind its warm-up; what has not settled by the end is left out."""
        found: dict[str, Slope] = {}
        for name, series in self.values.items():
            kept = [
                one
                for one in series[int(len(series) * WARM_UP_SHARE) :]
                if one[0] >= SETTLES_S.get(name, 0.0)
            ]
            if len(kept) > 2:
                found[name] = slope_of(kept)
        return found


def memory_of(pid: int, name: str) -> int:
    """Give the bytes that a process and its children have in memory.

    What PostgreSQL's processes share, its buffers, fills up to its set size and counts again for
    each of them; so theirs are only the pages that no other has.
    """
    field = "RssAnon:" if name == "postgres" else "VmRSS:"
    total = 0
    for one in (pid, *_children_of(pid)):
        try:
            text = Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(field)
        )
    return total


def _children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


class Watch:
    """Looks at the stack at even distances."""

    def __init__(self, stack: RunningStack, endings: Endings) -> None:
        """Look at `stack`; `endings` counts what has ended."""
        self.series = Series()
        self.started = 0
        self._stack = stack
        self._endings = endings
        self._already = endings.count
        self._began = time.monotonic()

    @property
    def in_flight(self) -> int:
        """Runs that were started and have not ended."""
        return self.started - (self._endings.count - self._already)

    @property
    def last(self) -> int:
        """Count of `endings` once everything has ended."""
        return self._already + self.started

    async def look(self) -> None:
        """Take one look."""
        names = (*SERVICES, "nats", "postgres")
        seen = {f"{MEMORY}{name}": float(memory_of(self._stack.pid(name), name)) for name in names}
        tasks = await JetStreamApi(await self._stack.bus()).stream_info(Stream.TASKS)
        seen |= {
            "runs in flight": float(self.in_flight),
            "tasks queued": float(tasks.messages),
            "messages not decided on": await self._undecided(),
        }
        self.series.add(time.monotonic() - self._began, seen)

    async def _undecided(self) -> float:
        total = 0.0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
            for name in ("scheduler", "approval"):
                async with http.get(f"{self._stack.endpoints.ops_urls[name]}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
                total += sum(
                    float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(INBOX_METRIC)
                )
        return total


@contextlib.asynccontextmanager
async def watching(watch: Watch) -> AsyncGenerator[None]:
    """Look every `LOOK_S` seconds."""

    async def again() -> None:
        while True:
            await watch.look()
            await asyncio.sleep(LOOK_S)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        if not task.done():
            _ = task.cancel()
        _ = await asyncio.gather(task, return_exceptions=True)


async def capacity(chains: Chains, fill: int) -> float:
    """Fill caches to their bounds; gives the median of the runs a second meanwhile."""
    rates: list[float] = []
    for done in range(0, fill, PIECE_RUNS):
        loaded = await chains.load(min(PIECE_RUNS, fill - done), IN_FLIGHT)
        rates.append(loaded.rate / STEPS)
        print(
            f"  filling: {done + loaded.steps // STEPS} runs, {loaded.rate:.0f} steps/s", flush=True
        )
    return statistics.median(rates)


async def soak(home: Path, minutes: float, share: float, fill: int) -> bool:
    """Measure capacity, load at a share of it, and judge; gives whether it held."""
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack:
        before = kept_in(home)
        async with Chains.opened(stack) as chains:
            most = await capacity(chains, fill)
        rate = share * most
        used = (kept_in(home) - before) / fill
        if not _fits(home, used * rate * minutes * 60):
            return False
        print(f"{minutes:g} minutes at {rate * STEPS:.0f} steps/s, {rate:.1f} runs/s", flush=True)
        async with counted(stack) as endings:
            await endings.reach(WARM_UP + fill)  # it counts from the beginning
            await keep_events(stack, minutes * 60 * EVENTS_SHARE)
            watch = Watch(stack, endings)
            async with watching(watch):
                await _load(stack, watch, rate, minutes * 60)
            with contextlib.suppress(TimeoutError):
                await endings.reach(watch.last)
    return _judged(watch)


async def keep_events(stack: RunningStack, lasts_s: float) -> None:
    """Set the age at which EVENTS lets go of what it holds."""
    api = JetStreamApi(await stack.bus())
    found = await api.stream_info(Stream.EVENTS)
    age = {"max_age": int(lasts_s * SECOND_NS)}
    _ = await api.call(f"STREAM.UPDATE.{Stream.EVENTS}", {**found.config, **age})


def kept_in(home: Path) -> int:
    """Give the bytes on disk below `home`, without the log that PostgreSQL uses again."""
    total = 0
    for folder, folders, names in os.walk(home):
        if WRITE_AHEAD in folders:
            folders.remove(WRITE_AHEAD)
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += Path(folder, name).lstat().st_blocks * DISK_BLOCK
    return total


def _fits(home: Path, needed: float) -> bool:
    free = shutil.disk_usage(home).free
    gib, room = needed / MIB / 1024, free / MIB / 1024
    print(f"the store will take some {gib:.1f} GiB; {room:.1f} are free", flush=True)
    if needed * DISK_RESERVE > free:
        print("that is too little room: fewer --minutes, or another --home")
        return False
    return True


async def _load(stack: RunningStack, watch: Watch, rate: float, lasts_s: float) -> None:
    """Start runs at an even rate, whatever has ended."""
    began, said = time.monotonic(), 0.0
    while (gone_s := time.monotonic() - began) < lasts_s:
        due = int(gone_s * rate)
        if due > watch.started:
            first = FIRST_NUMBER + watch.started
            await start(stack, WORKFLOW, range(first, first + due - watch.started))
            watch.started = due
        if gone_s - said >= 60:
            said = gone_s
            print(f"  {gone_s / 60:4.0f} min: {due} runs, {watch.in_flight} in flight", flush=True)
        await asyncio.sleep(TICK_S)


def _judged(watch: Watch) -> bool:
    held = watch.in_flight == 0
    print("| what | median | an hour (95 % confidence) | grows |")
    print("| --- | --- | --- | --- |")
    for name, slope in watch.series.slopes().items():
        memory = name.startswith(MEMORY)
        unit = MIB if memory else 1.0
        limits = MEMORY_LIMITS if memory else QUEUE_LIMITS
        grows = slope.grows(*limits)
        held = held and not grows
        ends = (slope.a_second, slope.least, slope.most)
        hour, least, most = (value * 3_600 / unit for value in ends)
        print(
            f"| {name}{' (MiB)' if memory else ''} | {slope.median / unit:.1f} "
            f"| {hour:+.1f} ({least:+.1f} to {most:+.1f}) | {'YES' if grows else 'no'} |"
        )
    for name in SETTLES_S.keys() - watch.series.slopes().keys():
        print(f"{name}: not judged, it settles later than this has lasted")
    done = watch.started - watch.in_flight
    print(f"{done} of {watch.started} runs ended; {'held' if held else 'NOT HELD'}")
    return held


def main() -> int:
    """Run the command; gives its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    _ = parser.add_argument("--minutes", type=float, default=60.0)
    _ = parser.add_argument("--share", type=float, default=0.7, help="of capacity")
    _ = parser.add_argument(
        "--fill", type=int, default=FILL_RUNS, help="runs that measure capacity"
    )
    _ = parser.add_argument("--home", type=Path, help="folder for the state; kept")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-soak-") as temporary:
        home = (told.home or Path(temporary)) / "state"
        return 0 if run_loop(soak(home, told.minutes, told.share, told.fill)) else 1


if __name__ == "__main__":
    sys.exit(main())
