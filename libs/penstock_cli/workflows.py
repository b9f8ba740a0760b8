"""`penstock workflows`: which definitions are in use."""

from __future__ import annotations

import typer

from penstock_cli.access import access_of
from penstock_cli.client import with_api
from penstock_cli.terminal import moment, out, print_json, say, table

app = typer.Typer(no_args_is_help=True, help="List, show and remove workflows.")


@app.command("list")
def list_workflows(context: typer.Context) -> None:
    """List workflows."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("workflows"))
    if access.json:
        print_json(answer)
        return
    drawn = table("workflow", "nodes", "triggers", "applied", "digest", "")
    for item in answer["items"]:
        document = item["document"]
        triggers = ", ".join(rule["on"] for rule in document.get("triggers", []))
        drawn.add_row(
            item["name"], str(len(document.get("nodes", {}))), triggers or "by hand",
            moment(item.get("applied_us")), item["digest"][:19], document.get("description", ""),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("no workflows yet: `penstock apply -f FILE`")


@app.command("show")
def show_workflow(context: typer.Context, name: str) -> None:
    """Show a workflow's definition."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("workflows", name))
    if not access.json:
        say(f"[bold]{name}[/]  [dim]{answer['digest']}[/]")
    print_json(answer if access.json else answer["document"])


@app.command("remove")
def remove(context: typer.Context, name: str) -> None:
    """Take a workflow out of use; runs that have started go on."""
    access = access_of(context)
    _, answer = with_api(access, lambda api: api.send("DELETE", "workflows", name))
    if access.json:
        print_json(answer)
    else:
        say(f"removed {name}")
