"""`penstock apply`: store the definitions of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock_cli.access import access_of
from penstock_cli.client import Api, Refused, with_api
from penstock_cli.documents import (
    Definition,
    drawn,
    manifest_of,
    problems_from,
    read_definitions,
)
from penstock_cli.faults import CliFault
from penstock_cli.terminal import print_json, say

app = typer.Typer()


@app.command()
def apply(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Option("--file", "-f", help="YAML or JSON, several documents allowed; - stdin."),
    ],
) -> None:
    """Store agents and workflows; the same definition again changes nothing.

    Everything is validated before anything is stored; agents are stored first.
    """
    access = access_of(context)
    definitions = [item for file in files for item in read_definitions(file)]
    results = with_api(access, lambda api: store(api, definitions))
    if access.json:
        print_json({"applied": results})
        return
    for result in results:
        changed = "[green]applied[/]  " if result["changed"] else "[dim]unchanged[/]"
        say(f"{changed} {result['kind']} {result['name']}  [dim]{result['digest']}[/]")


async def store(api: Api, definitions: list[Definition]) -> list[dict[str, Any]]:
    """Store definitions, agents first; gives what became of each.

    Raises:
        CliFault: one is faulty; the message has every place.
    """
    agents = [(item, manifest_of(item)) for item in definitions if item.kind == "Agent"]
    results: list[dict[str, Any]] = []
    for item, manifest in agents:
        _, answer = await api.send("PUT", "agents", manifest.name, body=manifest.to_data())
        results.append({"kind": item.kind, **answer})
    workflows = [item for item in definitions if item.kind == "Workflow"]
    for item in workflows:
        _, answer = await api.send("POST", "workflows", "validate", body=item.value)
        _refuse(item, answer.get("problems", []))
    for item in workflows:
        try:
            _, answer = await api.send("PUT", "workflows", item.name, body=item.value)
        except Refused as refusal:
            _refuse(item, refusal.problems)
            raise
        results.append({"kind": item.kind, **answer})
    return results


def _refuse(item: Definition, found: Any) -> None:  # noqa: ANN401 - as it came over HTTP
    problems = problems_from(found)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise CliFault(f"{count}, no workflow was stored\n{drawn(item, problems)}")
