"""The faults of agents' folders as they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock_cli.faults import ExitCode
from penstock_cli.terminal import plain, print_json, say

Folders = Annotated[list[Path], typer.Argument(help="Folders that hold an agent.yaml.")]


def check_folders(folders: list[Path], *, as_json: bool) -> None:
    """Show all faults.

    Raises:
        typer.Exit: with the exit code.
    """
    from penstock_adapters.yaml import render_problems  # noqa: PLC0415 - other verbs start faster
    from penstock_cli.agent.checking import document_of, problems_of  # noqa: PLC0415
    from penstock_core.workflow.problems import AT_KEY  # noqa: PLC0415

    found: list[dict[str, object]] = []
    for folder in folders:
        document = document_of(folder)
        if isinstance(document, str):
            found.append({"file": str(folder), "message": document})
            if not as_json:
                plain(document)
            continue
        problems = problems_of(folder, document)
        for problem in problems:
            line, column = document.locate(problem.pointer, at_key=problem.code in AT_KEY)
            found.append({"file": document.name, "line": line, "column": column, **dict(problem)})
        if as_json:
            continue
        if problems:
            plain(render_problems(document, problems))
        else:
            say(f"[green]valid[/] {document.value.get('name')}  [dim]{document.name}[/]")
    if as_json:
        print_json({"ok": not found, "problems": found})
    raise typer.Exit(ExitCode.REFUSED if found else ExitCode.OK)
