"""`penstock doctor`: what is in the way, and how to mend it."""

from __future__ import annotations

import asyncio

import typer
from rich.markup import escape

from penstock_adapters.embedded.home import StateFolder
from penstock_cli import health_checks
from penstock_cli.access import access_of
from penstock_cli.faults import ExitCode
from penstock_cli.health_checks import Finding, Grade
from penstock_cli.terminal import out, print_json, table
from penstock_cli.version import version

app = typer.Typer()
_STYLE = {Grade.OK: "green", Grade.WEAK: "yellow", Grade.BROKEN: "bold red"}


@app.command()
def doctor(context: typer.Context) -> None:
    """Look at this machine, the state folder and the stack, and say how to mend what is not well.

    Exit code 1 when something is broken; what is only degraded keeps working.
    """
    access = access_of(context)
    findings = asyncio.run(_look(StateFolder.at(access.home)))
    broken = [finding for finding in findings if finding.grade is Grade.BROKEN]
    if access.json:
        print_json({"ok": not broken, "findings": [_document(item) for item in findings]})
    else:
        _show(findings, broken)
    raise typer.Exit(ExitCode.REFUSED if broken else ExitCode.OK)


async def _look(folder: StateFolder) -> list[Finding]:
    findings = [*health_checks.machine(), *await health_checks.sandbox()]
    findings += [health_checks.ports(), *health_checks.state_folder(folder)]
    return findings + await health_checks.stack(folder, version())


def _document(finding: Finding) -> dict[str, str]:
    mend = finding.mend if finding.grade is not Grade.OK else ""
    return {
        "subject": finding.subject, "grade": finding.grade.value,
        "detail": finding.detail, "mend": mend,
    }  # fmt: skip


def _show(findings: list[Finding], broken: list[Finding]) -> None:
    drawn = table("", "looked at", "found")
    for item in findings:
        mend = (
            f"\n[bold]mend:[/] {escape(item.mend)}"
            if item.mend and item.grade is not Grade.OK
            else ""
        )
        mark = f"[{_STYLE[item.grade]}]{item.grade.value}[/]"
        drawn.add_row(mark, item.subject, escape(item.detail) + mend)
    out.print(drawn)
    out.print(f"[bold red]{len(broken)} broken[/]" if broken else "[green]nothing is broken[/]")
