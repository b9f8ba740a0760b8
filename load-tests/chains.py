"""Five-step no-op workflows on a running stack: kept in flight, counted, and what they cost."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_contracts import subjects
from penstock_contracts.records import read_published
from penstock_contracts.run.v1 import RunSucceeded
from penstock_contracts.subjects import Stream
from penstock_testkit.stack import SERVICES, RunningStack

STEPS: Final = 5
WARM_UP: Final = 100
LIMIT_S: Final = 600.0
AT_ONCE: Final = 500  # triggers published together
WORKFLOW: Final = "bench-chain"
CLIENT: Final = "client"
TICKS: Final = os.sysconf("SC_CLK_TCK")


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
        self._pids[CLIENT] = os.getpid()
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(pid, whole=name != CLIENT) for name, pid in self._pids.items()}

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
        pattern = subjects.events_of("default", "run", event_type="run_succeeded")
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
    async with asyncio.timeout(10):
        await ready.wait()
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load was: its steps, its seconds, and CPU seconds per 1,000 steps by process."""

    steps: int
    took_s: float
    spent: dict[str, float]

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.took_s

    @property
    def cost(self) -> float:
        """CPU seconds per 1,000 steps of everything but the client."""
        return sum(value for name, value in self.spent.items() if name != CLIENT)


class Chains:
    """The workflow on one stack, warmed up."""

    def __init__(self, stack: RunningStack, endings: Endings) -> None:
        """Count by `endings`."""
        self._stack = stack
        self._endings = endings
        self._started = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, stack: RunningStack) -> AsyncGenerator[Self]:
        """Register what is needed and run it a hundred times."""
        for manifest in builtin_manifests():
            await stack.register(manifest.to_data())
        nodes = {f"step_{n}": {"agent": "noop", "needs": _needs(n)} for n in range(STEPS)}
        await stack.apply(WORKFLOW, nodes)
        async with counted(stack) as endings:
            chains = cls(stack, endings)
            await chains._keep(WARM_UP, WARM_UP)
            yield chains

    async def load(self, runs: int, in_flight: int) -> Loaded:
        """Run it `runs` times, `in_flight` at once."""
        meter, began = Meter(self._stack), time.perf_counter()
        await self._keep(runs, in_flight)
        took_s, steps = time.perf_counter() - began, runs * STEPS
        spent = {name: 1000 * seconds / steps for name, seconds in meter.spent().items()}
        return Loaded(steps, took_s, spent)

    async def _keep(self, runs: int, in_flight: int) -> None:
        """Start a run whenever one ends, until `runs` more have ended."""
        last = self._started + runs
        while self._started < last:
            ended = self._endings.count
            room = min(in_flight - (self._started - ended), last - self._started, AT_ONCE)
            if room > 0:
                await start(self._stack, WORKFLOW, range(self._started, self._started + room))
                self._started += room
            else:
                await self._endings.reach(ended + 1)
        await self._endings.reach(last)


def _needs(number: int) -> list[str]:
    return [f"step_{number - 1}"] if number else []
