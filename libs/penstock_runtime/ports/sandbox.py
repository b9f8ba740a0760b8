"""The sandbox port: run one agent command under limits, isolated as far as the adapter can.

The protocol towards the agent is language-neutral: `/penstock/input.json` holds the input,
`/penstock/output.json` receives the output, stdout and stderr are logs, exit code 0 means done,
10 a declared failure, anything else a crash (129 to 192: ended by signal code - 128, as shells
report it). The output is written in place: under isolation a rename onto it is refused.

An adapter that cannot mount (no isolation) tells the agent the real places through the
environment: `PENSTOCK_INPUT`, `PENSTOCK_OUTPUT` and `PENSTOCK_WORK` are set by every adapter, and
an agent that reads them works under all of them. `PENSTOCK_ARTIFACTS` names the folder for what is
too large for the output, and is set only where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

LOG_KILL_FACTOR = 16
"""A task that prints more than this many times its `log_bytes` is killed."""

LOG_LINE_BYTES = 8 * 1024
"""Longest log line delivered; a longer one arrives in several pieces."""

INSIDE_ROOT = "/penstock"
"""Folder inside a sandbox below which everything of ours lives."""

ARTIFACTS_PLACE = f"{INSIDE_ROOT}/artifacts"
"""Where a sandbox with mounts shows the folder for artifacts."""

ARTIFACT_ENTRIES_MAX = 1_000
"""Files and folders that an agent may make in its folder for artifacts."""

ENV_INPUT = "PENSTOCK_INPUT"
ENV_OUTPUT = "PENSTOCK_OUTPUT"
ENV_WORK = "PENSTOCK_WORK"
ENV_ARTIFACTS = "PENSTOCK_ARTIFACTS"
ENV_EGRESS_SOCKET = "PENSTOCK_EGRESS_SOCKET"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one task. Bytes and seconds; every one is enforced or reported as degraded.

    Attributes:
        memory_bytes: Memory of the whole process tree, tmpfs contents included.
        processes: Processes and threads alive at once in the tree.
        cpu_s: CPU seconds of any single process of the tree.
        wall_s: Seconds from start to kill.
        output_bytes: Largest output document that is read back.
        log_bytes: Bytes of stdout and stderr together that are delivered; the rest is dropped,
            and beyond `LOG_KILL_FACTOR` times as much the task is killed.
        disk_bytes: Size of each writable scratch area, and of any one file written.
        open_files: File descriptors per process.
        artifacts_bytes: All files together in the folder for artifacts, while it is written.
            Where there is one, a single file may be as large wherever it is.
    """

    memory_bytes: int
    processes: int
    cpu_s: float
    wall_s: float
    output_bytes: int
    log_bytes: int
    disk_bytes: int
    open_files: int = 256
    artifacts_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path shown inside the sandbox; `target` is absolute and below `/penstock/`.

    A writable source is private to the task: an executor that runs as root hands what it owns
    there to the agent's uid for the time of the task, and takes it back afterwards.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class EgressRule:
    """A destination a task may reach: an exact name, an IP literal or `*.suffix`, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One task to run.

    Attributes:
        task_id: Names the task in temporaries and log lines; never trusted as a path.
        bundle: Folder of the agent, shown read-only at `/penstock/agent`.
        command: Program and arguments; the program is found through the sandbox's PATH.
        input: Bytes of `/penstock/input.json`.
        limits: Bounds of the task.
        mounts: Further host paths to show.
        env: Plain environment variables, added to the sandbox's own small set.
        secrets: Secret environment variables; never logged, never on a command line.
        egress: Destinations reachable through the proxy socket; empty means no network at all.
        image: File system the command runs in, as the manifest names it; None for the adapter's
            own. An adapter without images refuses a task that names one.
        artifacts: Empty folder, private to the task, that the agent may leave artifacts in; the
            caller looks at them once the task has ended. None: it is given none.
        memo: Digest of everything the result depends on, where an equal task may be answered
            with the result of an earlier one; None runs it afresh.
    """

    task_id: str
    bundle: Path
    command: tuple[str, ...]
    input: bytes
    limits: Limits
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    egress: tuple[EgressRule, ...] = ()
    image: str | None = None
    artifacts: Path | None = None
    memo: str | None = None

    @property
    def file_bytes(self) -> int:
        """Size of any one file that the agent writes."""
        artifacts = 0 if self.artifacts is None else self.limits.artifacts_bytes
        return max(self.limits.disk_bytes, self.limits.output_bytes, artifacts)


class ExitReason(StrEnum):
    """Why a task ended.

    `START_FAILED`: it cannot be started as it is, and trying again alike is of little use.
    `ARTIFACTS_TOO_LARGE`: it left, or was about to leave, more in its folder for artifacts than it
    may.
    `UNAVAILABLE`: nothing was started, through no fault of the task: what runs it is away.
    `LOST`: it was started, and what ran it went away: what the agent did is not known.
    """

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_TOO_LARGE = "output_too_large"
    ARTIFACTS_TOO_LARGE = "artifacts_too_large"
    LOG_LIMIT = "log_limit"
    CANCELLED = "cancelled"
    START_FAILED = "start_failed"
    UNAVAILABLE = "unavailable"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """What became of a task.

    Attributes:
        reason: Why it ended; the other fields are read in its light.
        exit_code: The agent's exit code (137 and the like included), None if it has none.
        signal: Signal that ended the agent, where one is known.
        output: Raw bytes of the output document; None if it is missing, refused or too large.
        detail: One sentence for a person, free of payload and secrets.
        wall_s: Seconds from start to end.
        cpu_s: CPU seconds of the tree as far as the adapter can account for them.
        max_rss_bytes: Peak memory of the tree, or of its largest process (see the adapter).
        log_truncated: True if log output was dropped.
    """

    reason: ExitReason
    exit_code: int | None
    signal: int | None
    output: bytes | None
    detail: str
    wall_s: float
    cpu_s: float
    max_rss_bytes: int
    log_truncated: bool


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line an agent printed, without its newline; `at_us` is microseconds since the epoch."""

    stream: Literal["stdout", "stderr"]
    text: str
    at_us: int


@dataclass(frozen=True, slots=True)
class SandboxHealth:
    """Whether an adapter can run tasks here, and how well.

    Attributes:
        adapter: Name of the adapter.
        isolation: What separates a task from the host, in a few words.
        available: True if tasks can run.
        degraded: What holds less firmly than it should, one sentence each.
        obstacle: The setting in the way, if not available.
        mend: What to do about it, if not available.
    """

    adapter: str
    isolation: str
    available: bool
    degraded: tuple[str, ...]
    obstacle: str | None
    mend: str | None


class Sandbox(Protocol):
    """Runs agents' commands, each isolated from the host and from one another."""

    async def check(self) -> SandboxHealth:
        """Say whether tasks can run here, by trying it."""
        ...

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run one task to its end.

        Lines are handed to `on_log` on the event loop while the task runs. Whatever the agent
        does becomes a `SandboxResult`; a task that cannot be started is `START_FAILED`. When the
        calling asyncio task is cancelled, the agent is asked to end (SIGTERM) and has a second;
        then the whole process tree is killed and every temporary is removed before
        CancelledError propagates. What it prints in that second still arrives.
        """
        ...

    async def close(self) -> None:
        """End every running task and release what the adapter holds."""
        ...
