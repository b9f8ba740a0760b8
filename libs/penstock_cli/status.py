"""`penstock status`: what runs, and how it is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import typer
from rich.markup import escape
from rich.text import Text

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.status import StackState, StackStatus, read_status
from penstock_cli.access import Access, access_of
from penstock_cli.client import HttpApi
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.stack_view import told
from penstock_cli.terminal import MICROSECONDS, out, plain, print_json, say, span, styled, table

app = typer.Typer()


@app.command()
def status(context: typer.Context) -> None:
    """Show the stack of the state folder and whether its gateway answers.

    Exit code 4 when nothing runs.
    """
    access = access_of(context)
    folder = StateFolder.at(access.home)
    with told(folder):
        found = read_status(folder)
    served = asyncio.run(_served(access))
    if access.json:
        print_json(_document(folder, found, served))
    else:
        _show(folder, found, served, access.given_url)
    up = "fault" not in served
    raise typer.Exit(ExitCode.OK if up else ExitCode.UNREACHABLE)


async def _served(access: Access) -> dict[str, Any]:
    try:
        async with HttpApi(access.url(), access.token()) as api:
            return await api.get("status")
    except CliFault as fault:
        return {"fault": fault.message, "mend": fault.mend}


def _document(folder: StateFolder, found: StackStatus, served: dict[str, Any]) -> dict[str, Any]:
    return {
        "home": str(folder.root),
        "state": found.state.value,
        "gateway_url": found.gateway_url,
        "fault": found.fault,
        "children": [
            {"name": c.name, "state": c.state, "pid": c.pid, "restarts": c.restarts,
             "detail": c.detail, "since_us": c.since_us}
            for c in found.children
        ],
        "gateway": served,
    }  # fmt: skip


def _show(folder: StateFolder, found: StackStatus, served: dict[str, Any], given: str) -> None:
    if not given:
        out.print("stack ", styled(found.state.value), f" in {folder.root}", sep="")
        if found.fault:
            out.print(Text(found.fault, style="red"))
        if found.state is not StackState.STOPPED:
            _show_children(found)
    if "fault" in served:
        if given or found.state is StackState.READY:
            say(f"[red]gateway:[/] {escape(served['fault'])}")
        plain(served.get("mend", ""))
        return
    projection = served.get("projection") or {}
    seen = projection.get("seen") or {}
    places = ", ".join(f"{name} {n}" for name, n in sorted(seen.items())) or "nothing yet"
    say(f"gateway {given or found.gateway_url}, version {served.get('version', '?')}")
    say(f"read model: events seen: {places}")


def _show_children(found: StackStatus) -> None:
    drawn = table("process", "state", "pid", "restarts", "for", "")
    now_us = time.time_ns() // 1000
    for child in found.children:
        drawn.add_row(
            child.name, styled(child.state), str(child.pid or "-"), str(child.restarts),
            span((now_us - child.since_us) / MICROSECONDS), child.detail,
        )  # fmt: skip
    out.print(drawn)
