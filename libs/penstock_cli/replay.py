"""`penstock replay`: a run's state rebuilt from the event store, at any of its events."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.text import Text

from penstock_cli.access import Access, access_of
from penstock_cli.client import HttpApi
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.history import Change, Step, document_of, history_of
from penstock_cli.run_picture import failure_of, picture_of
from penstock_cli.terminal import out, plain, print_json, say
from penstock_contracts.records import time_text

app = typer.Typer()
SHOWN_CHARS = 100  # of a value in a change
CATCH_UP_TRIES = 20
CATCH_UP_WAIT_S = 0.1


@app.command()
def replay(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Run id, or its beginning.")],
    at: Annotated[int | None, typer.Option(min=1, help="Stop after this event of the run.")] = None,
) -> None:
    """Rebuild a run from the event store and show what each event changed.

    Reads PostgreSQL as the auditor (SELECT only); no service takes part. When a gateway answers,
    the state hash it serves is compared: exit code 1 when they differ.
    """
    access = access_of(context)
    steps = history_of(access, run, at)
    whole = at is None
    served = asyncio.run(served_hash(access, steps[-1])) if whole else None
    if access.json:
        print_json(_document(steps, served))
    else:
        show_steps(steps)
        show_end(steps[-1], served, whole=whole)
    if served is not None and served != steps[-1].hash:
        raise typer.Exit(ExitCode.REFUSED)


async def served_hash(access: Access, last: Step) -> str | None:
    """Give the hash that the gateway serves once it has seen as much; None: no answer."""
    run_id, version = last.state.run_id, last.state.version
    try:
        async with HttpApi(access.url(), access.token()) as api:
            for _ in range(CATCH_UP_TRIES):
                served = await api.get("runs", run_id)
                seen = int(served["run"].get("version", 0))
                if seen == version:
                    return str(served["state_hash"])
                if seen > version:
                    return None  # it has moved on: no comparison would be fair
                await asyncio.sleep(CATCH_UP_WAIT_S)
    except CliFault:
        pass
    return None


def _document(steps: list[Step], served: str | None) -> dict[str, Any]:
    last = steps[-1]
    return {
        "run_id": last.state.run_id,
        "version": last.state.version,
        "events": [
            {
                "version": step.event.version, "partition": step.event.partition,
                "n": step.event.n, "type": step.event.topic,
                "time": time_text(step.event.meta.time_us), "actor": step.event.meta.actor,
                "changes": [
                    {"path": c.path, "before": c.before, "after": c.after} for c in step.changes
                ],
            }
            for step in steps
        ],
        "state": document_of(last.state),
        "state_hash": last.hash,
        "served_state_hash": served,
    }  # fmt: skip


def show_steps(steps: list[Step], *, brief: bool = False) -> None:
    """Print each event with what it changed; `brief`: only statuses."""
    for step in steps:
        event = step.event
        head = Text(f"{event.version:>3} ")
        head.append(f"{time_text(event.meta.time_us)[11:23]}  ", style="dim")
        head.append(step.name, style="bold cyan")
        if event.data.get("node"):
            head.append(f"  {event.data['node']}")
        head.append(f"  {event.partition}/{event.n}  {event.meta.actor}", style="dim")
        out.print(head, soft_wrap=True)
        for change in step.changes:
            if brief and not change.path.endswith("status"):
                continue
            out.print(_line(change), soft_wrap=True)


def _line(change: Change) -> Text:
    text = Text.assemble((f"      {change.path.removeprefix('nodes.')}: ", "dim"))
    if change.before not in (None, ""):
        text.append(_shown(change.before), style="red").append(" → ", style="dim")
    return text.append(_shown(change.after), style="green")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... ({len(text)} characters)"


def show_end(last: Step, served: str | None, *, whole: bool) -> None:
    """Print the state that the events led to, its hash, and how it compares."""
    state = last.state
    document = document_of(state)
    plan = state.plan
    picture = picture_of({
        "run": document,
        "nodes": document["nodes"],
        "order": list(plan.nodes) if plan else [],
        "edges": {name: list(node.needs) for name, node in plan.nodes.items()} if plan else {},
        "agents": {name: node.agent for name, node in plan.nodes.items()} if plan else {},
    })  # fmt: skip
    say(f"\nstate after event {state.version}:")
    out.print(picture.tree(last.event.meta.time_us))
    if state.cause is not None:
        plain(f"cause: {failure_of(state.cause.error.to_data())}")
    own = last.hash
    say(f"state hash rebuilt from the store  {own}")
    if served is None:
        say("[dim]not compared: " + ("no gateway serves this version[/]" if whole else "--at[/]"))
    elif served == own:
        say(f"state hash served by the gateway   {served}")
        say("[bold green]equal[/]: the served state is what the stored events give")
    else:
        say(f"state hash served by the gateway   {served}")
        say("[bold red]they differ[/]: the read model is damaged; see docs")
