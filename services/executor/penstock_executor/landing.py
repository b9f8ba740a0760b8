"""Repositories of tasks: cloned for the agent, and changed by nobody but this executor.

The agent works on a private clone below a private folder, which is removed whatever happens.
What it proposes there becomes a plan; what a person has approved is landed from there. Whatever
ends a task before `land` is called, has changed nothing.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import Failure, JsonObject, Phase
from penstock_executor.outcomes import Ending, failed
from penstock_executor.planning import plan_fault
from penstock_executor.preparing import Prepared
from penstock_executor.workspaces import Source
from penstock_runtime.ports.repositories import (
    BACKUP_REFS,
    BaseChanged,
    EffectDiffers,
    Landed,
    Opened,
    OutOfTime,
    ProposedFiles,
    Repositories,
    RepositoryRefused,
)

COMMIT, BACKUP, ROLLBACK = "commit", "backup_path", "rollback"
NOTHING_LANDED = "nothing was landed in the repository"
LANDING_ROOM_BYTES = 1_024  # of an output, for what the executor says in it
_TRAILER_RUN = "Penstock-Run"
_log = logging.getLogger(__name__)


class Temporaries(Protocol):
    """Private folders of running tasks; what a killed executor left, its successor removes."""

    def task_folder(self) -> Path:
        """Make a fresh private folder."""
        ...

    async def remove(self, folder: Path) -> None:
        """Remove a task's folder, whatever the agent put there."""
        ...


class Refused(Exception):
    """The task ends here, and nothing has happened."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Landings:
    """Opens, plans and lands for tasks; failures of repositories become failures of tasks."""

    def __init__(self, repositories: Repositories, temporaries: Temporaries) -> None:
        self._repositories = repositories
        self._temporaries = temporaries

    @asynccontextmanager
    async def opened(self, task: TaskMessage, source: Source) -> AsyncGenerator[Opened]:
        """Clone a repository for one task; of an `apply`, only if its plan still fits.

        Raises:
            Refused: it cannot be cloned, or it is not as it was when the plan was made.
        """
        folder = self._temporaries.task_folder()
        try:
            yield await self._open(task, source, folder)
        finally:
            await self._temporaries.remove(folder)

    async def _open(self, task: TaskMessage, source: Source, folder: Path) -> Opened:
        plan = task.plan if task.phase is Phase.APPLY else None
        try:
            if plan is not None:
                await self._repositories.check(source.path, plan.effect, plan.base)
            return await self._repositories.open(source.path, _branch(source, plan), folder)
        except (BaseChanged, RepositoryRefused) as refusal:
            raise Refused(_failure(refusal)) from refusal

    async def plan(
        self, prepared: Prepared, source: Source, opened: Opened, said: Ending
    ) -> Ending:
        """Put what will be landed in the place of what the agent proposes."""
        if said.plan is None:
            return said
        try:
            proposed = ProposedFiles.read(said.plan.effect)
            made = await self._repositories.plan(source.path, opened, proposed)
        except RepositoryRefused as refusal:
            error = failed(Code.INVALID_OUTPUT, f"the plan is refused: {refusal}")
            return replace(said, plan=None, error=error)
        change = PlannedChange(effect=made.effect, base=made.base, summary=said.plan.summary)
        fault = plan_fault(change, prepared.redact)
        if fault is not None:
            return replace(said, plan=None, error=fault)
        return replace(said, plan=change)

    async def land(
        self,
        prepared: Prepared,
        source: Source,
        opened: Opened,
        said: Ending,
        in_time: Callable[[], bool],
    ) -> Ending:
        """Land the approved plan, which the agent has made again in the clone.

        Once it is not `in_time` any more, nobody awaits it, and a person may have settled it.

        A failure that is returned says that nothing was landed; any other end of this call
        (an error, a cancellation) leaves open whether it was.
        """
        plan, output = prepared.task.plan, said.output
        if said.error is not None or plan is None or output is None:
            return _unlanded(said)
        size = len(to_json(output))
        if size > MAX_INLINE_BYTES - LANDING_ROOM_BYTES:
            # Found out now: once it is landed, it must be possible to say so.
            message = f"the output has {size} bytes; some less must leave room for the commit"
            error = failed(Code.OUTPUT_TOO_LARGE, message)
            return _unlanded(replace(said, output=None, error=error))
        try:
            landed = await self._repositories.land(
                source.path, opened, plan.effect, plan.base,
                key=prepared.task.idempotency_key, trailers=_trailers(prepared), in_time=in_time,
            )  # fmt: skip
        except (BaseChanged, RepositoryRefused) as refusal:
            return _unlanded(replace(said, output=None, error=_failure(refusal)))
        extra = {"commit": landed.commit, "backup": landed.backup_ref, "before": landed.before}
        _log.info("plan landed", extra=extra)
        for where in landed.unfinished:
            _log.warning("worktree left behind its branch", extra={"reason": where})
        return replace(said, output=_filled(output, landed, prepared.outputs))


def where_to_look(task: TaskMessage, source: Path) -> str:
    """Say how a person finds out whether a plan was landed."""
    return (
        f"it was if a commit in {source} carries the line `{_TRAILER_RUN}: {task.run_id}` "
        f"(git log --all --grep={task.run_id}); the tip before it is kept as "
        f"{BACKUP_REFS}{task.idempotency_key}"
    )


def _branch(source: Source, plan: PlannedChange | None) -> str | None:
    if plan is None:
        return source.ref
    ref = plan.base.get("ref")
    return ref if isinstance(ref, str) else source.ref


def _failure(refusal: BaseChanged | RepositoryRefused) -> Failure:
    if isinstance(refusal, BaseChanged):
        message = (
            f"the repository is not as it was when the plan was made: {refusal}; "
            "a new attempt plans on what is there then"
        )
        return failed(Code.BASE_CHANGED, message, retryable=True)
    if isinstance(refusal, EffectDiffers):
        message = f"apply made something else than what was approved: {refusal}"
        return failed(Code.EFFECT_DIFFERS, message, retryable=True)
    if isinstance(refusal, OutOfTime):
        return failed(Code.TIMEOUT_RUNNING, str(refusal))
    return failed(Code.WORKSPACE_REFUSED, str(refusal))


def _unlanded(said: Ending) -> Ending:
    if said.error is None:
        return said
    message = f"{said.error.message}; {NOTHING_LANDED}"
    return replace(said, error=said.error.model_copy(update={"message": message}))


def _trailers(prepared: Prepared) -> list[tuple[str, str]]:
    task, grant = prepared.task, prepared.grant
    lines = [(_TRAILER_RUN, task.run_id), ("Penstock-Node", task.node)]
    if grant is not None:
        lines.append(("Penstock-Approval", grant.approval_id))
        lines += [("Approved-By", who) for who in grant.principals]
    return lines


def _filled(output: JsonObject, landed: Landed, named: frozenset[str]) -> JsonObject:
    """Say in the output what was landed, as far as the manifest names fields for it."""
    values = {COMMIT: landed.commit, BACKUP: landed.backup_ref, ROLLBACK: landed.rollback}
    filled = {**output, **{name: text for name, text in values.items() if name in named}}
    if ROLLBACK in named and len(to_json(filled)) > MAX_INLINE_BYTES:
        # The landing stands; a result that nobody takes would hide it.
        filled[ROLLBACK] = f"too long to be kept; the tip before is {landed.backup_ref}"
    return filled
