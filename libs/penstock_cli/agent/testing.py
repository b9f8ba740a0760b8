"""`penstock agent test`: every case of an agent in the sandbox, compared with what is expected."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from penstock_cli.agent.bench import Bench, BenchTerms, bench
from penstock_cli.agent.cases import Case, Expected
from penstock_cli.agent.comparing import Seen, differences
from penstock_cli.agent.inputs import field_of, folders_of, with_folders
from penstock_cli.agent.leftovers import left_in
from penstock_cli.agent.receiver import Listening, listening
from penstock_cli.agent.showing import LiveView
from penstock_cli.agent.tasks import Asked, ask, first_phase, granted, needs_leave, task_of
from penstock_cli.faults import CliFault
from penstock_contracts.agent.v1 import AgentManifest, Network
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import JsonObject, Phase
from penstock_runtime.bundles import Bundle
from penstock_runtime.ports.sandbox import EgressRule

RECEIVER = "{{receiver}}"
GIT_S = 60
_GIT = (
    "git", "-c", "core.hooksPath=/dev/null", "-c", "user.name=case", "-c",
    "user.email=case@localhost", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case went.

    Attributes:
        faults: every difference; none: it passed.
        output: what the agent gave.
    """

    name: str
    faults: tuple[str, ...]
    wall_s: float
    printed: tuple[str, ...] = ()
    output: JsonObject | None = None

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.faults


@dataclass(slots=True)
class _CaseSecrets:
    """Fulfils the port `Secrets` with what the present case makes up."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])

    async def find(self, name: str) -> str | None:
        return self.values.get(name) or None

    def places(self, name: str) -> str:
        return f"{name} in `secrets` of the case"


async def run_cases(bundle: Bundle, cases: Sequence[Case]) -> AsyncIterator[Verdict]:
    """Run cases one after another; gives a verdict as soon as it stands.

    Raises:
        CliFault: no sandbox works here.
    """
    async with _prepared(bundle, cases) as trials:
        for case in cases:
            yield await trials.judge(case)


@asynccontextmanager
async def _prepared(bundle: Bundle, cases: Sequence[Case]) -> AsyncIterator[_Trials]:
    secrets, view = _CaseSecrets(), LiveView(quiet=True)
    async with AsyncExitStack() as stack:
        receiver: Listening | None = None
        rules: tuple[EgressRule, ...] = ()
        if any(case.file.receiver is not None for case in cases):
            receiver = await stack.enter_async_context(listening())
            if bundle.manifest.network is Network.EGRESS:
                rules = (EgressRule("127.0.0.1", receiver.port),)
        copies = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-cases-")))
        terms = BenchTerms(secrets=secrets, roots=(copies,), egress=rules)
        place = await stack.enter_async_context(bench([bundle], terms, view.take))
        yield _Trials(bundle, place, view, secrets, copies, receiver)


class _Trials:
    def __init__(
        self, bundle: Bundle, place: Bench, view: LiveView, secrets: _CaseSecrets, copies: Path,
        receiver: Listening | None,
    ) -> None:  # fmt: skip
        self._bundle = bundle
        self._bench = place
        self._view = view
        self._secrets = secrets
        self._copies = copies
        self._receiver = receiver

    async def judge(self, case: Case) -> Verdict:
        """Run one case on a copy of its folders."""
        folder = self._copies / case.name
        try:
            await asyncio.to_thread(shutil.copytree, case.folder, folder, symlinks=True)
            given = self._input(case, folder)
        except (OSError, shutil.Error, CliFault) as error:
            return Verdict(case.name, (f"it cannot be prepared: {error}",), 0.0)
        self._view.lines.clear()
        self._secrets.values = case.file.secrets
        if self._receiver is not None:
            self._receiver.begin(case.file.receiver.answers if case.file.receiver else ())
        seen, wall_s = await self._run(case, given, folder)
        faults = tuple(differences(_placed(case.file.expect, self._receiver), seen))
        output = seen.result.output
        return Verdict(case.name, faults, wall_s, tuple(self._view.lines), output)

    def _input(self, case: Case, folder: Path) -> JsonObject:
        given = cast("JsonObject", _filled(case.file.input, self._receiver))
        manifest = self._bundle.manifest
        given = with_folders(given, manifest, None, folder)
        for path in folders_of(given, manifest):
            if not path.is_relative_to(folder.resolve()):
                raise CliFault(f"{path} lies outside the case's folder")
            path.mkdir(parents=True, exist_ok=True)
        for path in _repositories(manifest, given):
            _make_repository(path)
        return given

    async def _run(self, case: Case, given: JsonObject, folder: Path) -> tuple[Seen, float]:
        asked = ask(self._bundle, given, case.file.feedback)
        left: list[str] = []
        result = planned = await self._first(asked, left)
        wall_s = result.usage.wall_s
        if planned.plan is not None and case.file.apply:
            clock, signer = self._bench.clock, self._bench.signer
            task = granted(asked, Phase.APPLY, clock, signer, planned.plan)
            result = await self._execute(task, left)
            wall_s += result.usage.wall_s
        received = list(self._receiver.requests) if self._receiver is not None else []
        printed = tuple(self._view.lines)
        return Seen(result, planned.plan, printed, left, received, folder), wall_s

    async def _first(self, asked: Asked, left: list[str]) -> ReportResult:
        phase, manifest = first_phase(self._bundle.manifest), self._bundle.manifest
        if needs_leave(manifest):
            task = granted(asked, phase, self._bench.clock, self._bench.signer)
        else:
            task = task_of(asked, phase, self._bench.clock)
        return await self._execute(task, left)

    async def _execute(self, task: TaskMessage, left: list[str]) -> ReportResult:
        folder = self._bench.folders.task_folder()
        result = await self._bench.execute(task, folder)
        left += sorted(left_in(folder))
        return result


def _filled(value: JsonValue, receiver: Listening | None) -> JsonValue:
    """Put the receiver's URL in its place."""
    if receiver is None:
        return value
    if isinstance(value, str):
        return value.replace(RECEIVER, receiver.url)
    if isinstance(value, list):
        return [_filled(item, receiver) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, receiver) for name, item in value.items()}
    return value


def _placed(expected: Expected, receiver: Listening | None) -> Expected:
    """Put it into what is expected as well."""
    if receiver is None:
        return expected
    changed = {
        name: _filled(cast("JsonValue", getattr(expected, name)), receiver)
        for name in ("output", "includes", "plan", "error")
    }
    return expected.model_copy(update=changed)


def _repositories(manifest: AgentManifest, given: JsonObject) -> list[Path]:
    names = [field_of(each.input, given) for each in manifest.workspaces if each.mode == "git"]
    return [Path(str(given[name])) for name in names if name is not None]


def _make_repository(folder: Path) -> None:
    """Make a folder of a case the one commit of a repository."""
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "case"]):
        try:
            ended = subprocess.run(
                [*_GIT, *words], cwd=folder, check=False, capture_output=True, text=True,
                timeout=GIT_S,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CliFault(f"git: {error}") from None
        if ended.returncode:
            raise CliFault(f"git {words[0]}: {ended.stderr.strip()}")
