"""`penstock agent run`: one agent, once, against folders of this machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_cli.agent.bench import Bench, BenchTerms, bench
from penstock_cli.agent.inputs import egress_from, folders_of, secrets_from
from penstock_cli.agent.leftovers import keep, left_in
from penstock_cli.agent.showing import LiveView, show_artifacts, show_end, show_plan
from penstock_cli.agent.tasks import Asked, ask, first_phase, granted, needs_leave, task_of
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import err, print_json, say
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import Outcome, TaskMessage
from penstock_contracts.values import JsonObject, Phase
from penstock_runtime.bundles import Bundle


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        apply: go on to the effect, as if a person had allowed it.
        artifacts: folder to keep them in; None: they are only named.
        output: file for the output; None: standard output.
    """

    input: JsonObject
    apply: bool = False
    feedback: str = ""
    egress: tuple[str, ...] = ()
    secrets: Path | None = None
    artifacts: Path | None = None
    output: Path | None = None
    json: bool = False


async def run_agent(bundle: Bundle, wanted: Wanted) -> ExitCode:
    """Run an agent, show what it does, and give the exit code.

    Raises:
        CliFault: it cannot be run.
    """
    manifest = bundle.manifest
    if needs_leave(manifest) and not wanted.apply:
        mend = "--apply gives it, for this one run"
        raise CliFault(f"{manifest.name} acts only with a person's leave", mend, ExitCode.USAGE)
    terms = BenchTerms(
        secrets=secrets_from(os.environ, wanted.secrets),
        roots=folders_of(wanted.input, manifest),
        egress=egress_from(wanted.egress, manifest),
    )
    view = LiveView(quiet=wanted.json)
    async with bench([bundle], terms, view.take) as place:
        return await _Trial(place, view, bundle, wanted).run()


class _Trial:
    def __init__(self, place: Bench, view: LiveView, bundle: Bundle, wanted: Wanted) -> None:
        self._bench = place
        self._view = view
        self._wanted = wanted
        self._name = bundle.manifest.name
        self._asked: Asked = ask(bundle, wanted.input, wanted.feedback)
        self._left: dict[str, int] = {}

    async def run(self) -> ExitCode:
        manifest = self._asked.bundle.manifest
        phase = first_phase(manifest)
        clock, signer = self._bench.clock, self._bench.signer
        if needs_leave(manifest):
            task = granted(self._asked, phase, clock, signer)
        else:
            task = task_of(self._asked, phase, clock)
        result = planned = await self._execute(task)
        if planned.plan is not None and not self._wanted.json:
            show_plan(planned.plan)
        if planned.plan is not None and self._wanted.apply:
            task = granted(self._asked, Phase.APPLY, clock, signer, planned.plan)
            result = await self._execute(task)
        self._say(planned, result)
        return ExitCode.OK if result.outcome is Outcome.SUCCEEDED else ExitCode.RUN_FAILED

    async def _execute(self, task: TaskMessage) -> ReportResult:
        folder = self._bench.folders.task_folder()
        with self._view:
            result = await self._bench.execute(task, folder)
        self._left |= left_in(folder)
        if self._wanted.artifacts is not None:
            keep(left_in(folder), folder, self._wanted.artifacts)
        if not self._wanted.json:
            show_end(self._name, result)
        return result

    def _say(self, planned: ReportResult, result: ReportResult) -> None:
        wanted = self._wanted
        text = json.dumps(result.output, indent=2, ensure_ascii=False)
        if wanted.output is not None and result.output is not None:
            _write(wanted.output, text)
        if wanted.json:
            print_json(self._document(planned, result))
            return
        show_artifacts(self._left, str(wanted.artifacts or ""))
        if result.output is not None and wanted.output is None:
            print_json(result.output)
        if planned.plan is not None and not wanted.apply:
            say("[yellow]nothing was changed[/]: --apply does exactly this")
        if wanted.output is not None and result.output is not None:
            err.print(f"output in {wanted.output}", markup=False, soft_wrap=True)

    def _document(self, planned: ReportResult, result: ReportResult) -> JsonObject:
        def data(part: Any) -> Any:  # noqa: ANN401 - a part of a result, or none
            return None if part is None else part.model_dump(mode="json")

        return {
            "agent": self._name,
            "digest": self._asked.bundle.digest,
            "phase": result.phase.value,
            "outcome": result.outcome.value,
            "output": result.output,
            "plan": data(planned.plan),
            "error": data(result.error),
            "usage": data(result.usage),
            "artifacts": [{"name": name, "bytes": size} for name, size in self._left.items()],
        }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CliFault(f"{path} cannot be written: {error.strerror}") from None
