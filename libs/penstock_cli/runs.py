"""`penstock runs`: list, show, watch, logs, cancel, settle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, cast

import typer
from rich.text import Text

from penstock_cli.access import access_of
from penstock_cli.client import Api, Json, ServerEvent, with_api
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.progressing import SAID, look, partial_text
from penstock_cli.run_picture import RunPicture, cause_of, picture_of, progress_of
from penstock_cli.terminal import (
    duration,
    moment,
    out,
    plain,
    print_json,
    say,
    short,
    short_digest,
    styled,
    symbol,
    table,
)
from penstock_cli.visible import one_line, untricked
from penstock_cli.watching import watch

app = typer.Typer(no_args_is_help=True, help="List, show, follow, cancel and settle runs.")
Run = Annotated[str, typer.Argument(help="Run id, or its beginning.", metavar="RUN")]
LANDED = {"commit": "commit", "backup_path": "backup"}
"""Fields of an output that say where an effect is, and how their lines begin."""

LANDED_MAX = 255  # characters of one; what is longer is no commit and no ref
NODE_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


@app.command("list")
def list_runs(
    context: typer.Context,
    workflow: Annotated[str, typer.Option(help="Only of this workflow.")] = "",
    status: Annotated[str, typer.Option(help="Only running, succeeded, failed or cancelled.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    before: Annotated[str, typer.Option(help="`next` of the page before.")] = "",
    unknown: Annotated[
        bool, typer.Option("--unknown", help="All that wait for `runs settle`, and only those.")
    ] = False,
) -> None:
    """List runs, newest first."""
    access = access_of(context)
    given = {
        "workflow": workflow, "status": status, "limit": str(limit), "before": before,
        "unknown": "1" if unknown else "",
    }  # fmt: skip
    query = {name: value for name, value in given.items() if value}
    answer = with_api(access, lambda api: api.get("runs", query=query))
    if access.json:
        print_json(answer)
        return
    drawn = table("run", "workflow", "status", "started", "took", "asked for by", "cause")
    now_us = time.time_ns() // 1000
    for run in answer["items"]:
        drawn.add_row(
            short(run["run_id"]), run["workflow"], _status_of(run),
            moment(run["started_us"]), duration(run["started_us"], run["ended_us"] or now_us),
            one_line(run.get("requested_by") or "-"), one_line(cause_of(run.get("cause"))),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("no runs")
    elif answer.get("next"):
        say(f"[dim]more: --before {answer['next']}[/]")


def _status_of(run: Json) -> Text:
    told = styled(run["status"])
    for node in run.get("unknown") or ():
        told.append("\n").append_text(one_line(f"{node}: unknown", "bold red"))
    return told


@app.command("show")
def show_run(context: typer.Context, run: Run) -> None:
    """Show a run: its nodes, what each gave, and the hash of its state."""
    access = access_of(context)

    async def work(api: Api) -> tuple[Json, RunPicture]:
        found = await api.get("runs", run)
        picture = picture_of(found)
        if not access.json and picture.unfinished:
            await look(api, picture)
        return found, picture

    document, picture = with_api(access, work)
    if access.json:
        print_json(document)
        return
    header = document["run"]
    out.print(picture.tree(time.time_ns() // 1000))
    say(f"\nrun        {header['run_id']}")
    plain(f"started    {moment(header.get('started_us'))} by {header.get('requested_by') or '-'}")
    plain(f"inputs     {_shortened(header.get('inputs'))}")
    if header.get("outputs"):
        plain(f"outputs    {_shortened(header['outputs'])}")
    for name, node in document["nodes"].items():
        if node.get("output"):
            for line in output_lines(name, node["output"], short(header["run_id"])):
                out.print(line, soft_wrap=True)
    for name, node in picture.nodes.items():
        if node.partial is not None:
            out.print(one_line(f"{name:<10} ").append_text(partial_text(node.partial)))
    _say_gates(document)
    say(f"state hash {document['state_hash']}  [dim]at event {header.get('version')}[/]")


def output_lines(name: str, output: Json, run: str) -> Iterator[Text]:
    """Give what a node gave; what it landed, and how to take it back, on lines that are not cut.

    Args:
        name: of the node.
        output: that it gave.
        run: id, or its beginning, to ask for all of it with.
    """
    landed = {field: output[field] for field in LANDED if _is_told_whole(output.get(field))}
    rest = {field: value for field, value in output.items() if field not in landed}
    script = bool(landed and rest.pop("rollback", ""))
    if rest:
        yield one_line(f"{name:<10} {_shortened(rest)}")
    for field, value in landed.items():
        yield one_line(f"{LANDED[field]:<10} {name}: {value}")
    if script:
        place = f"nodes.{name}.output.rollback of `penstock runs show {run} --json`"
        yield one_line(f"rollback   {name}: a script for sh, {place}")


def _is_told_whole(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LANDED_MAX


def _say_gates(document: Json) -> None:
    """Say what was planned, and what approvers have sent back."""
    for name, plan in (document.get("plans") or {}).items():
        out.print(one_line(f"plan       {name}: {plan['summary']}  {short_digest(plan['digest'])}"))
    for back in document.get("pushed_back") or ():
        by = ", ".join(back.get("by") or ())
        out.print(one_line(f"pushed back by {by} to {back['to']}: {back['feedback']}"))


def _shortened(value: object, limit: int = 160) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}... (all of it: --json)"


@app.command("watch")
def watch_run(
    context: typer.Context,
    run: Run,
    within_s: Annotated[
        float | None, typer.Option("--timeout", help="Bound of the wait, in seconds.")
    ] = None,
) -> None:
    """Follow a run to its end: a live tree on a terminal, one line an event elsewhere.

    Exit codes: 0 it succeeded, 3 it did not, 7 not in time.
    """
    access = access_of(context)

    async def work(api: Api) -> str:
        return (await watch(api, await api.get("runs", run), within_s=within_s)).status

    if with_api(access, work) != "succeeded":
        raise typer.Exit(ExitCode.RUN_FAILED)


@app.command("logs")
def logs(
    context: typer.Context,
    run: Run,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Until the run has ended.")
    ] = False,
    node: Annotated[str, typer.Option(help="Only of this node.")] = "",
) -> None:
    """Print what a run's agents printed (secrets are redacted)."""
    access = access_of(context)
    query = {"follow": "1"} if follow else None

    async def work(api: Api) -> None:
        colours: dict[str, str] = {}
        async with api.stream("runs", run, "logs", query=query) as events:
            async for event in events:
                if event.kind == "end":
                    return
                known = event.kind == "log" or event.kind in SAID
                if known and (not node or event.data.get("node") == node):
                    _print_log(event, colours, as_json=access.json)

    with_api(access, work)


def _print_log(event: ServerEvent, colours: dict[str, str], *, as_json: bool) -> None:
    line = event.data
    if as_json:
        out.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    name = str(line.get("node"))
    colour = colours.setdefault(name, NODE_COLOURS[len(colours) % len(NODE_COLOURS)])
    text = Text(f"{name} ", style=colour)
    style = "red" if line.get("stream") == "stderr" else ""
    if event.kind == "progress":
        text.append_text(one_line(progress_of(line["said"]), "cyan"))
    elif event.kind == "partial":
        text.append_text(partial_text(line["said"]))
    else:
        text.append_text(untricked(str(line.get("text", "")), style))
    out.print(text, soft_wrap=True)


@app.command("cancel")
def cancel(
    context: typer.Context,
    run: Run,
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "",
) -> None:
    """Stop a run, in whatever state it is."""
    access = access_of(context)
    body: dict[str, Any] = {"reason": reason}
    _, answer = with_api(access, lambda api: api.send("POST", "runs", run, "cancel", body=body))
    if access.json:
        print_json(answer)
    else:
        out.print(symbol(answer["status"]), styled(answer["status"]), answer["run_id"])


@app.command("settle")
def settle(
    context: typer.Context,
    run: Run,
    node: Annotated[str, typer.Argument(help="Node whose outcome is unknown.", metavar="NODE")],
    happened: Annotated[
        bool,
        typer.Option("--happened/--did-not-happen", help="Whether its effect did: look first."),
    ],
    reason: Annotated[str, typer.Option("--reason", "-r", help="How you know; kept.")],
    output: Annotated[
        str, typer.Option(help="The node's output as a JSON object, if it happened.")
    ] = "",
    attempt: Annotated[
        int, typer.Option(min=0, help="Attempt you looked into. 0: the present one.")
    ] = 0,
) -> None:
    """Say what became of an attempt that died after its claim; the run goes on from there.

    What happened: the node has succeeded. What did not: the attempt has failed and may be retried.
    """
    access = access_of(context)
    given = _object_of(output)

    async def work(api: Api) -> Json:
        document = await api.get("runs", run)
        state = (document.get("nodes") or {}).get(node)
        if state is None:
            known = ", ".join(document.get("nodes") or ())
            raise CliFault(f"the run has no node {node!r}", f"it has {known}", ExitCode.NOT_FOUND)
        body: Json = {"happened": happened, "reason": reason, "output": given}
        if attempt or state.get("attempt"):
            body["attempt"] = attempt or state["attempt"]
        run_id = document["run"]["run_id"]
        return (await api.send("POST", "runs", run_id, "nodes", node, "settle", body=body))[1]

    answer = with_api(access, work)
    if access.json:
        print_json(answer)
        return
    status = answer["state"]["status"]
    out.print(symbol(status), styled(status), node, f"of {answer['run_id']} ({answer['status']})")


def _object_of(text: str) -> Json:
    try:
        value: object = json.loads(text or "{}")
    except ValueError as error:
        raise CliFault(f"--output is not JSON: {error}", "", ExitCode.USAGE) from None
    if not isinstance(value, dict):
        raise CliFault("--output is not a JSON object", "", ExitCode.USAGE)
    return cast("Json", value)
