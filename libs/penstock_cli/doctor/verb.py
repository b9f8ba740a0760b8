"""`penstock doctor`: what is in the way, where, and how to mend it."""

from __future__ import annotations

import asyncio
import os

import typer
from rich.text import Text

from penstock_adapters.embedded.home import StateFolder
from penstock_cli.access import Access, access_of
from penstock_cli.doctor.codes import Grade
from penstock_cli.doctor.examine import Scene, examine
from penstock_cli.doctor.findings import Finding
from penstock_cli.doctor.machine import this_machine
from penstock_cli.faults import ExitCode
from penstock_cli.terminal import out, print_json, table
from penstock_cli.version import version
from penstock_cli.visible import one_line

app = typer.Typer()
_STYLE = {Grade.OK: "green", Grade.WEAK: "yellow", Grade.BROKEN: "bold red"}


@app.command()
def doctor(context: typer.Context) -> None:
    """Say what is not well with machine, state folder, servers and services, and how to mend it.

    Exit code 1 when something is broken; what is only degraded keeps working. Needs nothing that
    it looks at, changes nothing, prints no secret. Codes: docs/guides/doctor.md.
    """
    access = access_of(context)
    findings = asyncio.run(examine(scene_of(access)))
    broken = [finding for finding in findings if finding.grade is Grade.BROKEN]
    if access.json:
        print_json({"ok": not broken, "findings": [item.document() for item in findings]})
    else:
        _show(findings, broken)
    raise typer.Exit(ExitCode.REFUSED if broken else ExitCode.OK)


def scene_of(access: Access) -> Scene:
    """Give what this process can see of its state folder."""
    return Scene(
        folder=StateFolder.at(access.home),
        environ=dict(os.environ),
        machine=this_machine(os.environ),
        url=access.given_url.rstrip("/"),
        version=_known(version()),
    )


def _known(release: str) -> str:
    return "" if release == "unknown" else release


def _show(findings: list[Finding], broken: list[Finding]) -> None:
    drawn = table("", "looked at", "found")
    for item in findings:
        mark = Text(item.grade.value, _STYLE[item.grade])
        drawn.add_row(mark, one_line(item.subject), _told(item))
    out.print(drawn)
    out.print(f"[bold red]{len(broken)} broken[/]" if broken else "[green]nothing is broken[/]")


def _told(item: Finding) -> Text:
    text = one_line(item.detail)
    if item.code is None:
        return text
    text.append(f"  {item.code.value}", "dim")
    for name, value in (("where:", item.where), ("mend: ", item.mend)):
        text.append(f"\n{name} ", "bold").append_text(one_line(value))
    return text
