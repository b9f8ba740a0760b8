"""What a task notices of another one on the same executor that takes all it can get."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from penstock_runtime.ports.sandbox import ExitReason, Limits, Sandbox, SandboxSpec
from penstock_testkit.bombs import LIMITS, Bomb

SAMPLES = 5
"""Neighbours that run alone, before and after, and at least so many beside a bomb."""

NEIGHBOUR_S = 20.0
"""Time of a neighbour, far more than it ever needs."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the start to the end of neighbours, each a shell that ends at once.

    Attributes:
        alone: with nothing beside them, half of them before the bombs and half after.
        beside: while a bomb was going off.
        bombs: how many went off.
    """

    alone: Sequence[float]
    beside: Sequence[float]
    bombs: int

    @property
    def alone_s(self) -> float:
        """The middle one of those alone."""
        return median(self.alone)

    @property
    def beside_s(self) -> float:
        """The middle one of those beside a bomb."""
        return median(self.beside)


async def neighbours_of(
    sandbox: Sandbox, bundle: Path, bomb: Bomb, samples: int = SAMPLES
) -> Measured:
    """Let a bomb go off, again and again, until enough neighbours have run beside it."""
    alone = [await neighbour_s(sandbox, bundle) for _ in range(samples)]
    beside: list[float] = []
    bombs = 0
    while len(beside) < samples:
        bombs += 1
        up = asyncio.Event()
        spec = SandboxSpec("bomb", bundle, ("python", "-S", "-c", bomb.program()), b"{}", LIMITS)
        going = asyncio.create_task(sandbox.run(spec, lambda _, up=up: up.set()))
        seen = asyncio.create_task(up.wait())
        await asyncio.wait({going, seen}, return_when=asyncio.FIRST_COMPLETED)
        seen.cancel()
        beside.append(await neighbour_s(sandbox, bundle))  # it may be over sooner than one is
        while not going.done():
            beside.append(await neighbour_s(sandbox, bundle))
        result = await going
        if result.reason not in bomb.ends:
            raise AssertionError(f"{bomb.name}: {result}")
    alone += [await neighbour_s(sandbox, bundle) for _ in range(samples)]
    return Measured(alone, beside, bombs)


async def neighbour_s(sandbox: Sandbox, bundle: Path) -> float:
    """Run one, and say how long it took.

    Raises:
        AssertionError: It did not end well.
    """
    limits = Limits(
        memory_bytes=LIMITS.memory_bytes,
        processes=LIMITS.processes,
        cpu_s=NEIGHBOUR_S,
        wall_s=NEIGHBOUR_S,
        output_bytes=LIMITS.output_bytes,
        log_bytes=LIMITS.log_bytes,
        disk_bytes=LIMITS.disk_bytes,
    )
    spec = SandboxSpec("neighbour", bundle, ("sh", "-c", "exit 0"), b"{}", limits)
    began = time.perf_counter()
    result = await sandbox.run(spec, lambda _: None)
    if (result.reason, result.exit_code) != (ExitReason.EXITED, 0):
        raise AssertionError(f"a neighbour did not end well: {result}")
    return time.perf_counter() - began
