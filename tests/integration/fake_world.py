"""A sandbox on an engine that is played, and the switches of its faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_adapters.dagger import DaggerSandbox, Waits
from penstock_runtime.ports.sandbox import ExitReason, SandboxResult, SandboxSpec
from penstock_testkit.sandbox_probes import LIMITS, PRELUDE, Log
from tests.integration.fake_engine import FAULTS

ROOT = Path(__file__).parents[2]
WAIT_S = 40.0
WAITS = Waits(ping_every_s=0.3, ping_s=10, kill_s=1, finish_s=5, image_s=60, upload_s=20)

SLEEP = (
    "\nhome = os.getppid(); print('up', flush=True)\nwhile os.getppid() == home: time.sleep(0.05)"
)
"""Runs until it is ended, or its engine is."""


@dataclass(frozen=True)
class World:
    """A sandbox, and the state folder of its engine."""

    sandbox: DaggerSandbox
    state: Path

    async def ran(self, spec: SandboxSpec, log: Log | None = None) -> SandboxResult:
        """Run a task."""
        async with asyncio.timeout(WAIT_S):
            return await self.sandbox.run(spec, log or Log())

    @contextmanager
    def fault(self, *names: str, text: str = "") -> Iterator[None]:
        """Switch faults on for a while."""
        for name in names:
            assert name in FAULTS
            (self.state / name).write_text(text)
        try:
            yield
        finally:
            for name in names:
                (self.state / name).unlink(missing_ok=True)

    def end_cli(self) -> None:
        """Kill the CLI."""
        os.kill(int((self.state / "pid").read_text()), signal.SIGKILL)

    def requests(self) -> list[str]:
        """Give all the documents that were asked for."""
        return (self.state / "requests").read_text().splitlines()


def played_cli(folder: Path, state: Path) -> Path:
    """Write a program that plays the CLI."""
    cli = folder / "dagger"
    run = f"exec '{sys.executable}' -m tests.integration.fake_engine '{state}'"
    cli.write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' {run}\n")
    cli.chmod(0o755)
    return cli


@asynccontextmanager
async def played(folder: Path, **options: Any) -> AsyncIterator[World]:
    """Open a sandbox on an engine that is played."""
    state = folder / "state"
    state.mkdir(parents=True)
    scratch = options.pop("scratch", folder / "scratch")
    options = {"cli": played_cli(folder, state), "waits": WAITS, "grace_s": 1.0, **options}
    sandbox = DaggerSandbox(scratch, **options)
    try:
        yield World(sandbox, state)
    finally:
        async with asyncio.timeout(WAIT_S):
            await sandbox.close()


def task(bundle: Path, code: str, *arguments: str) -> SandboxSpec:
    """A task that runs some Python."""
    command = ("python", "-S", "-c", PRELUDE + code, *arguments)
    return SandboxSpec("task-1", bundle, command, b'{"given": 1}', LIMITS)


def output(result: SandboxResult) -> object:
    """Read what an agent gave."""
    assert result.reason is ExitReason.EXITED, result
    return json.loads(result.output or b"null")
