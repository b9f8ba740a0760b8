"""A sandbox whose agents are what a test says."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

AVAILABLE = SandboxHealth("scripted", "none", True, (), None, None)
DONE = SandboxResult(
    reason=ExitReason.EXITED,
    exit_code=0,
    signal=None,
    output=b"{}",
    detail="",
    wall_s=0.5,
    cpu_s=0.25,
    max_rss_bytes=1024,
    log_truncated=False,
)


class ScriptedSandbox:
    """Fulfils the port `Sandbox`: prints `lines`, waits while `hold` is unset, gives `result`.

    Where there is a folder for artifacts, it leaves `leaves` there, and calls `plant`.

    Looks at it are counted, and wait while `answers` is unset.
    """

    def __init__(self) -> None:
        self.health = AVAILABLE
        self.result = DONE
        self.lines: list[LogLine] = []
        self.leaves: dict[str, bytes] = {}
        self.plant: Callable[[Path], object] = lambda _folder: None
        self.error: Exception | None = None
        self.ran: list[SandboxSpec] = []
        self.killed: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.looks = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.closed = False

    def ends(
        self,
        reason: ExitReason = ExitReason.EXITED,
        exit_code: int | None = None,
        output: bytes | None = None,
        detail: str = "",
        signal: int | None = None,
    ) -> None:
        """Say how the next tasks end."""
        self.result = replace(
            DONE, reason=reason, exit_code=exit_code, output=output, detail=detail, signal=signal
        )

    async def check(self) -> SandboxHealth:
        """Give `health`, once `answers` is set."""
        self.looks += 1
        _ = await self.answers.wait()
        return self.health

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Do as told."""
        self.ran.append(spec)
        for line in self.lines:
            on_log(line)
        if spec.artifacts is not None:
            _leave(spec.artifacts, self.leaves)
            self.plant(spec.artifacts)
        try:
            _ = await self.hold.wait()
        except asyncio.CancelledError:
            self.killed.append(spec.task_id)
            raise
        if self.error is not None:
            raise self.error
        return self.result

    async def close(self) -> None:
        """Note it."""
        self.closed = True


def _leave(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
