"""`penstock executors`: who runs tasks, how well isolated, and whether its sandbox works."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.text import Text

from penstock_cli.access import access_of
from penstock_cli.client import with_api
from penstock_cli.terminal import (
    MICROSECONDS,
    out,
    plain,
    print_json,
    say,
    short_digest,
    span,
    styled,
    table,
)
from penstock_cli.visible import one_line

app = typer.Typer()
BREAKER_STYLES = {"CLOSED": "succeeded", "OPEN": "failed", "HALF_OPEN": "pending"}


@app.command()
def executors(
    context: typer.Context,
    agents: Annotated[
        bool, typer.Option("--agents", help="Also which agents each has, and their digests.")
    ] = False,
) -> None:
    """List executors: pool, sandbox, slots, circuit breaker, and what isolation they lack."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("executors"))
    if access.json:
        print_json(answer)
        return
    drawn = table(
        "name", "pool", "adapter", "isolation", "running", "free", "agents", "breaker", "lacks",
        "version", "seen",
    )  # fmt: skip
    for item in answer["items"]:
        drawn.add_row(
            one_line(item["name"]), one_line(item["pool"]), one_line(item["adapter"]),
            one_line(item["isolation"]) or "-", _load(item),
            str(item["free"]) if item["alive"] else "-", str(len(item["agents"])),
            _breaker(item.get("breaker")),
            str(len(item["degraded"])) if item["degraded"] else "-",
            one_line(item["version"]) or "-", _seen(item),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("no executor is known")
    for item in answer["items"]:
        _explain(item)
        for agent in item["agents"] if agents else ():
            told = f"{agent['name']} {agent['version']}  {short_digest(agent['digest'])}"
            plain(f"{one_line(item['name'])}: {one_line(told)}")


def _load(item: dict[str, Any]) -> str:
    return f"{item['running']}/{item['capacity']}" if item["alive"] else "-"


def _breaker(breaker: dict[str, Any] | None) -> Text:
    if breaker is None:
        return Text("-")
    state = str(breaker["state"])
    return styled(state, BREAKER_STYLES.get(state, ""))


def _seen(item: dict[str, Any]) -> str:
    if item["alive"] is None:
        return "not to be found out now"
    if not item["alive"]:
        return "gone"
    return f"{_span_since(item['seen_us'])} ago"


def _span_since(at_us: int) -> str:
    return span(max(time.time() - at_us / MICROSECONDS, 0.0))


def _explain(item: dict[str, Any]) -> None:
    name, breaker = one_line(item["name"]), item.get("breaker")
    if breaker is not None and breaker["state"] != "CLOSED":
        since = _span_since(breaker["since_us"])
        plain(f"{name}: {breaker['state']} for {since}: {one_line(breaker['reason'])}")
    for text in item["degraded"]:
        plain(f"{name}: {one_line(text)}")
