"""`penstock dead`: messages that could not be processed."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import typer

from penstock_cli.access import access_of
from penstock_cli.client import with_api
from penstock_cli.terminal import moment, out, plain, print_json, say, styled, table
from penstock_cli.visible import one_line

app = typer.Typer(no_args_is_help=True, help="List, show and put back parked messages.")
Parked = Annotated[str, typer.Argument(help="Its id, or the beginning.", metavar="ID")]
SHOWN_CHARS = 2_000


@app.command("list")
def list_dead(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="parked, redriven, or all.")] = "parked",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
) -> None:
    """List messages that could not be processed, newest first."""
    access = access_of(context)
    query = {"limit": str(limit)} if status == "all" else {"status": status, "limit": str(limit)}
    answer = with_api(access, lambda api: api.get("dead", query=query))
    if access.json:
        print_json(answer)
        return
    drawn = table("id", "status", "stream", "subject", "parked", "code", "why")
    for item in answer["items"]:
        drawn.add_row(
            item["id"], styled(item["status"]), item.get("stream", ""),
            one_line(item.get("subject", "")), moment(item.get("parked_us")),
            item.get("code", ""), one_line(item.get("detail", "")),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("nothing is parked" if status == "parked" else "none")


@app.command("show")
def show_dead(context: typer.Context, parked: Parked) -> None:
    """Show one message: why it was parked, its headers and its bytes."""
    access = access_of(context)
    item = with_api(access, lambda api: api.get("dead", parked))
    if access.json:
        print_json(item)
        return
    for name in ("id", "status", "stream", "sequence", "subject", "code", "detail", "holder"):
        plain(f"{name:<9} {item.get(name, '')}")
    for name, value in (item.get("headers") or {}).items():
        plain(f"header    {name}: {value}")
    plain(_readable(str(item.get("raw", ""))))


def _readable(raw: str) -> str:
    try:
        text = base64.b64decode(raw).decode("utf-8", "backslashreplace")
    except (ValueError, binascii.Error):
        text = raw
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... (all of it: --json)"


@app.command("redrive")
def redrive(context: typer.Context, parked: Parked) -> None:
    """Put it, and all that are parked with it, back on their streams in their order."""
    access = access_of(context)
    _, answer = with_api(access, lambda api: api.send("POST", "dead", parked, "redrive"))
    if access.json:
        print_json(answer)
        return
    for item in answer["redriven"]:
        out.print(styled(item["status"]), item["id"], one_line(item.get("subject", "")))
