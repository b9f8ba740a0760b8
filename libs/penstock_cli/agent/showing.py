"""What an agent prints, says of its progress, plans and gives, as it is shown to people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast

from rich.console import Console
from rich.status import Status
from rich.text import Text

from penstock_cli.approval_picture import plan_parts
from penstock_cli.client import Json
from penstock_cli.run_picture import progress_of
from penstock_cli.terminal import counted, err, out, span, styled, symbol
from penstock_cli.visible import one_line, untricked
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import LogLines, Outcome, PlannedChange
from penstock_contracts.values import Failure

SHOWN_CHARS = 300  # of a partial result
MIB = 1024 * 1024


@dataclass(slots=True)
class LiveView:
    """Shows lines as they come; on a terminal with the progress below them.

    Attributes:
        quiet: only the result is wanted.
        partial: what the agent said last that it has so far.
        lines: everything it has printed, for who compares.
    """

    console: Console = err
    quiet: bool = False
    partial: str = ""
    lines: list[str] = field(default_factory=list[str])
    _status: Status | None = None

    def __enter__(self) -> Self:
        """Begin to show progress."""
        if self.console.is_terminal and not self.quiet:
            self._status = self.console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the progress away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def take(self, lines: LogLines) -> None:
        """Show what has come."""
        for stream, text in lines.lines:
            if stream == "partial":
                self.partial = text
            if stream in ("stdout", "stderr"):
                self.lines.append(text)
            if not self.quiet:
                self._show(stream, text)

    def _show(self, stream: str, text: str) -> None:
        if stream == "progress":
            told = one_line(progress_of(json.loads(text)), "cyan")
            if self._status is not None:
                self._status.update(told)
            else:
                self.console.print(told, soft_wrap=True)
        elif stream == "partial":
            self.console.print(one_line(f"so far: {cut(text)}", "dim"), soft_wrap=True)
        else:
            style = "red" if stream == "stderr" else ""
            self.console.print(untricked(text, style), soft_wrap=True)


def cut(text: str, limit: int = SHOWN_CHARS) -> str:
    """Shorten a text, and say so."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def show_end(name: str, result: ReportResult, console: Console = err) -> None:
    """Say how an agent ended, and what it cost."""
    status = "succeeded" if result.outcome is Outcome.SUCCEEDED else "failed"
    usage = result.usage
    cost = f"{span(usage.wall_s)}, {usage.cpu_s:.2f} s CPU, {usage.max_rss_bytes // MIB} MiB"
    line = Text.assemble(symbol(status), " ", (name, "bold"), "  ", styled(status))
    if result.phase != "run":
        line.append(f"  {result.phase}", "cyan")
    console.print(line.append(f"  {cost}", "dim"), soft_wrap=True)
    if result.error is not None:
        show_failure(result.error, console)


def show_failure(error: Failure, console: Console = err) -> None:
    """Say why, and what the agent had so far."""
    again = "  (again may help)" if error.retryable else ""
    console.print(one_line(f"{error.code}: {error.message}{again}", "red"), soft_wrap=True)
    if error.partial is not None:
        told = cut(json.dumps(error.partial, ensure_ascii=False))
        console.print(one_line(f"so far: {told}  (unchecked)", "yellow"), soft_wrap=True)


def show_plan(plan: PlannedChange, console: Console = out) -> None:
    """Show a plan as approvers see it."""
    columns = console.width if console.is_terminal else 0
    for part in plan_parts(cast("Json", plan.model_dump(mode="json")), columns):
        console.print(part, soft_wrap=isinstance(part, Text))


def show_artifacts(found: dict[str, int], kept: str, console: Console = err) -> None:
    """Say which files an agent has left, and where they are."""
    if not found:
        return
    names = ", ".join(f"{name} ({size} bytes)" for name, size in sorted(found.items()))
    where = f"in {kept}" if kept else "not kept: --artifacts DIR"
    told = f"{counted(len(found), 'artifact')} {where}: {cut(names, 600)}"
    console.print(one_line(told, "dim"), soft_wrap=True)
