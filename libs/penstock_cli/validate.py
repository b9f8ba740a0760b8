"""`penstock validate`: every fault of a definition, without storing it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.bundles import default_roots, discover
from penstock_cli.access import Access, access_of
from penstock_cli.client import HttpApi
from penstock_cli.documents import (
    Definition,
    drawn,
    manifest_of,
    placed,
    problems_from,
    read_definitions,
)
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import err, plain, print_json, say
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.workflow.v1 import Problem

app = typer.Typer()
OUT_OF_REACH = (ExitCode.UNREACHABLE, ExitCode.TIMED_OUT)


@app.command()
def validate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="YAML or JSON, several documents allowed; - stdin.")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Check against local agents without a gateway.")
    ] = False,
    agents: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of agents to check against, offline (repeatable)."),
    ] = None,
) -> None:
    """Show every fault of a definition at once: file, line, column, suggestion.

    Asks the gateway, which knows the registered agents; without one (or with --offline) the
    manifests of the agents on this machine are taken. Exit code 1 when there is a fault.
    """
    access = access_of(context)
    definitions = read_definitions(file)
    local = offline or bool(agents)
    found = [] if local else asyncio.run(_asked(access, definitions))
    if found is None or local:
        found = checked_here(definitions, tuple(agents or default_roots()))
        if not access.json:
            err.print("[dim]checked against the agents on this machine, no gateway was asked[/]")
    faulty = [pair for pair in found if pair[1]]
    if access.json:
        print_json({"ok": not faulty, "problems": [p for d, ps in faulty for p in placed(d, ps)]})
    else:
        _show(found)
    raise typer.Exit(ExitCode.REFUSED if faulty else ExitCode.OK)


Checked = list[tuple[Definition, tuple[Problem, ...]]]


async def _asked(access: Access, definitions: list[Definition]) -> Checked | None:
    """Ask the gateway; None: there is none."""
    found: Checked = []
    try:
        async with HttpApi(access.url(), access.token()) as api:
            for definition in definitions:
                if definition.kind == "Agent":
                    manifest_of(definition)
                    found.append((definition, ()))
                    continue
                _, answer = await api.send("POST", "workflows", "validate", body=definition.value)
                found.append((definition, problems_from(answer.get("problems", []))))
    except CliFault as fault:
        if fault.code in OUT_OF_REACH:
            return None
        raise
    return found


def checked_here(definitions: list[Definition], roots: tuple[Path, ...]) -> Checked:
    """Check against the agents below `roots` and those that the file itself defines."""
    from penstock_core.workflow.validation import validate as check  # noqa: PLC0415 - loads CEL

    discovery = discover(roots)
    known: dict[str, AgentManifest] = {n: b.manifest for n, b in discovery.bundles.items()}
    known |= _own(definitions)
    return [
        (item, check(item.value, known) if item.kind == "Workflow" else ()) for item in definitions
    ]


def _own(definitions: list[Definition]) -> Mapping[str, AgentManifest]:
    manifests = (manifest_of(item) for item in definitions if item.kind == "Agent")
    return {manifest.name: manifest for manifest in manifests}


def _show(found: Checked) -> None:
    for definition, problems in found:
        if problems:
            plain(drawn(definition, problems))
        else:
            say(f"[green]valid[/] {definition.kind} {definition.name}")
    total = sum(len(problems) for _, problems in found)
    if total:
        say(f"[red]{total} problem{'s' if total > 1 else ''}[/]")
