"""How far a tool is: a bar for people at a terminal, nothing for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from penstock_cli.access import Access
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import err, out, somebody_is_there
from penstock_runtime.recovering_events import Told


@contextmanager
def progress(access: Access) -> Iterator[Told]:
    """Give what hears of progress."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    hidden = access.json or not err.is_terminal
    bar = Progress(*columns, console=err, transient=True, disable=hidden)
    with bar:
        task = bar.add_task("looking", total=None)

        def told(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of or None)

        yield told


def agreed(question: str, *, yes: bool) -> None:
    """Ask, unless `--yes` has answered.

    Raises:
        CliFault: nobody is there to be asked, or the answer is no.
    """
    if yes:
        return
    if not somebody_is_there():
        raise CliFault(f"{question} nobody is there to be asked", "give --yes", ExitCode.USAGE)
    if not typer.confirm(question):
        out.print("nothing was changed")
        raise typer.Exit(ExitCode.REFUSED)
