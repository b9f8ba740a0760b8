"""A bench to try agents on: an executor of this process' own, with real sandbox and git.

The executor is the one that runs tasks in a stack; here it has no bus. What it is told and what
it answers are the messages of `penstock_contracts`, so nothing of its code is known here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bundles import sdk_folder
from penstock_adapters.dagger import DaggerSandbox, cli_program, engine_host
from penstock_adapters.git import GitRepositories
from penstock_adapters.memory.artifacts import MemoryShelf
from penstock_adapters.process import ProcessSandbox
from penstock_adapters.process.scratch import Scratch
from penstock_adapters.signing.ed25519 import Ed25519Signer, Ed25519Verifier, make_key, open_signer
from penstock_adapters.system.clock import SystemClock
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.services import part_of_service
from penstock_cli.stack_view import ALLOW_VARIABLE, SANDBOX_VARIABLE
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import LogLines, TaskMessage
from penstock_runtime.bundles import Bundle, Discovery
from penstock_runtime.faults import PenstockFault
from penstock_runtime.ports.sandbox import (
    EgressRule,
    LogLine,
    Sandbox,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)
from penstock_runtime.ports.secrets import Secrets

PROCESS, DAGGER = "process", "dagger"
OnLines = Callable[[LogLines], None]


class Runs(Protocol):
    """What runs tasks."""

    async def execute(self, task: TaskMessage) -> ReportResult:
        """Run a task to its end."""
        ...


@dataclass(frozen=True, slots=True)
class BenchTerms:
    """What agents on the bench are given.

    Attributes:
        roots: folders inside which their workspaces lie.
        egress: what an agent with `network: egress` may reach.
    """

    secrets: Secrets
    roots: Sequence[Path] = ()
    egress: tuple[EgressRule, ...] = ()


@dataclass(slots=True)
class Bench:
    """An open bench.

    Attributes:
        signer: stands for the approval service; its key is drawn for this bench alone.
        clock: the machine's.
        folders: private folders that are gone when the bench is closed.
    """

    signer: Ed25519Signer
    clock: SystemClock
    folders: Scratch
    _runs: Runs
    _artifacts: _WithArtifacts

    async def execute(self, task: TaskMessage, artifacts: Path | None = None) -> ReportResult:
        """Run a task; its artifacts are left in a folder that exists.

        Raises:
            CliFault: it was not run.
        """
        self._artifacts.folders[task.task_id] = artifacts or self.folders.task_folder()
        try:
            return await self._runs.execute(task)
        except PenstockFault as fault:
            raise CliFault(str(fault), "`penstock doctor` looks at the sandbox") from fault
        finally:
            del self._artifacts.folders[task.task_id]


class KnownBundles:
    """Fulfils the port `Bundles` with the agents that are tried."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        self._bundles = {bundle.manifest.name: bundle for bundle in bundles}

    async def find(self, agent: str, digest: str) -> Bundle | None:
        """Give it; `digest` is compared by who asks."""
        del digest
        return self._bundles.get(agent)

    async def discover(self) -> Discovery:
        """Give all."""
        return Discovery(self._bundles)


@dataclass(slots=True)
class _WithArtifacts:
    """Shows each task a folder for its artifacts, unless the executor does."""

    sandbox: Sandbox
    folders: dict[str, Path] = field(default_factory=dict[str, Path])

    async def check(self) -> SandboxHealth:
        return await self.sandbox.check()

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        folder = self.folders.get(spec.task_id)
        if folder is None or spec.artifacts is not None:
            return await self.sandbox.run(spec, on_log)
        return await self.sandbox.run(replace(spec, artifacts=folder), on_log)

    async def close(self) -> None:
        await self.sandbox.close()


class _Temporaries:
    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def task_folder(self) -> Path:
        return self._scratch.task_folder()

    async def remove(self, folder: Path) -> None:
        self._scratch.remove(folder)


@asynccontextmanager
async def bench(
    bundles: Sequence[Bundle],
    terms: BenchTerms,
    on_lines: OnLines,
    environ: Mapping[str, str] = os.environ,
) -> AsyncGenerator[Bench]:
    """Set up a bench; everything on it is gone at the end.

    Raises:
        CliFault: no sandbox works here, or the executor is not installed.
    """
    solo: Any = part_of_service("executor", "solo")
    if solo is None:
        raise CliFault("no executor is installed here", "install penstock", ExitCode.USAGE)
    with tempfile.TemporaryDirectory(prefix="penstock-agent-") as name:
        scratch = Path(name) / "tasks"
        sandbox = _WithArtifacts(_sandbox(scratch, environ))
        folders = Scratch(scratch)
        try:
            await _look(sandbox)
            signer, clock = open_signer(make_key()), SystemClock()
            ports = solo.SoloPorts(
                sandbox=sandbox, bundles=KnownBundles(bundles), secrets=terms.secrets,
                verifier=Ed25519Verifier([signer.key]), repositories=GitRepositories(),
                temporaries=_Temporaries(folders), clock=clock, artifacts=MemoryShelf(),
            )  # fmt: skip
            allowed = solo.SoloTerms(
                roots=terms.roots, rewrite=_mounts(environ), egress=terms.egress
            )
            opened = cast(
                "AbstractAsyncContextManager[Runs]", solo.opened(ports, allowed, on_lines)
            )
            async with opened as runs:
                yield Bench(signer, clock, folders, runs, sandbox)
        finally:
            await sandbox.close()
            folders.close()


async def _look(sandbox: Sandbox) -> None:
    health = await sandbox.check()
    if not health.available:
        raise CliFault(f"no agent can be run here: {health.obstacle}", health.mend or "")


def _mounts(environ: Mapping[str, str]) -> bool:
    return environ.get(SANDBOX_VARIABLE) != PROCESS


def _sandbox(scratch: Path, environ: Mapping[str, str]) -> Sandbox:
    kind = environ.get(SANDBOX_VARIABLE)
    sdk = sdk_folder()
    readable = () if sdk is None else (sdk,)
    if kind == PROCESS:
        allowed = environ.get(ALLOW_VARIABLE) == "1"
        if not allowed:
            raise CliFault(f"{PROCESS} isolates nothing", f"set {ALLOW_VARIABLE}=1 to allow it")
        return ProcessSandbox(scratch, allow_unsandboxed=True)
    if kind == DAGGER:
        return DaggerSandbox(
            scratch, readable=readable,
            cli=cli_program(environ.get("PENSTOCK_DAGGER_CLI"), environ),
            engine=engine_host(environ.get("PENSTOCK_DAGGER_ENGINE"), environ),
        )  # fmt: skip
    return BubblewrapSandbox(scratch, readable=readable)
