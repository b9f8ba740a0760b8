"""`penstock approvals`: see what waits for a person, and decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from penstock_cli.access import access_of
from penstock_cli.answers import answers_from, asked_for
from penstock_cli.approval_picture import PENDING, show_approval
from penstock_cli.bound import chosen_digest, require_bound
from penstock_cli.client import Api, Json, with_api
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import (
    moment,
    out,
    print_json,
    say,
    short,
    short_digest,
    somebody_is_there,
    span,
    styled,
    table,
)
from penstock_cli.visible import one_line

app = typer.Typer(no_args_is_help=True, help="List, show and decide approvals.")
Approval = Annotated[str, typer.Argument(help="Approval id, or its beginning.", metavar="APPROVAL")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Kept with the decision.")]
DigestOption = Annotated[
    str, typer.Option(help="Of what you were shown, or its beginning; refused if it is another.")
]


@app.command("list")
def list_approvals(
    context: typer.Context,
    status: Annotated[
        str,
        typer.Option(help="pending, approved, rejected, pushed_back, expired, withdrawn, or all."),
    ] = PENDING,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
) -> None:
    """List approvals, those that wait for a decision by default."""
    access = access_of(context)
    query = {"limit": str(limit)} if status == "all" else {"status": status, "limit": str(limit)}
    answer = with_api(access, lambda api: api.get("approvals", query=query))
    if access.json:
        print_json(answer)
        return
    drawn = table("approval", "status", "run", "node", "what", "digest", "missing", "expires")
    for item in answer["items"]:
        drawn.add_row(
            short(item["approval_id"]), styled(item["status"]), short(item["run_id"]),
            one_line(item["node"]), _what(item), short_digest(item.get("digest")),
            _missing(item), _expires(item),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("nothing waits" if status == PENDING else "none")


def _what(item: Json) -> Text:
    """Give what tells a gate from another that looks like it: the plan, and the inputs."""
    told = one_line(item.get("title") or "-")
    if item.get("plan_summary"):
        told.append("\n").append_text(one_line(item["plan_summary"], "bold"))
    if item.get("input_summary"):
        told.append("\n").append_text(one_line(item["input_summary"], "dim"))
    return told


def _missing(item: Json) -> str:
    waits = item["status"] == PENDING
    return f"{item['missing']} of {item['quorum']}" if waits else "-"


def _expires(item: Json) -> str:
    if item["status"] != PENDING:
        return moment(item.get("expires_us"))
    return f"in {span(float(item.get('seconds_left') or 0))}"


@app.command("show")
def show(context: typer.Context, approval: Approval) -> None:
    """Show what an approval is about, exactly, and who has voted."""
    access = access_of(context)
    item = with_api(access, lambda api: api.get("approvals", approval))
    if access.json:
        print_json(item)
    else:
        show_approval(item)


@app.command("approve")
def approve(
    context: typer.Context,
    approval: Approval,
    reason: Reason = "",
    digest: DigestOption = "",
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", "-a", help="name=value of the gate's form; repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not show and ask first.")] = False,
) -> None:
    """Let the run go on with exactly what was shown.

    On a terminal you are shown it and asked, unless you say by --digest that you have seen it.
    """
    access = access_of(context)
    asks = not (digest or yes or access.json) and somebody_is_there()

    async def work(api: Api) -> Json:
        item = await api.get("approvals", approval)
        require_bound(item)
        chosen = chosen_digest(digest, item)
        form = (item.get("policy") or {}).get("form") or {}
        answers = answers_from(answer or (), form)
        if asks and item["status"] == PENDING:
            show_approval(item)
            answers = asked_for(form, answers, lambda name: str(typer.prompt(f"answer {name}")))
            if not typer.confirm("Approve exactly this?"):
                raise CliFault("nothing was decided", "", ExitCode.REFUSED)
        body = {"decision": "approve", "reason": reason, "digest": chosen, "answers": answers}
        return await _respond(api, item["approval_id"], body)

    _tell(with_api(access, work), as_json=access.json)


@app.command("reject")
def reject(
    context: typer.Context, approval: Approval, reason: Reason = "", digest: DigestOption = ""
) -> None:
    """Refuse; the node fails with your reason."""
    _decide(context, approval, digest, {"decision": "reject", "reason": reason})


@app.command("push-back")
def push_back(
    context: typer.Context,
    approval: Approval,
    reason: Annotated[str, typer.Option("--reason", "-r", help="The feedback; required.")],
    to: Annotated[
        str, typer.Option(help="Node that is to work again, if the gate names several.")
    ] = "",
    digest: DigestOption = "",
) -> None:
    """Send a node back to work with feedback; a new plan leads to a new approval."""
    body = {"decision": "push_back", "reason": reason, **({"to": to} if to else {})}
    _decide(context, approval, digest, body)


def _decide(context: typer.Context, approval: str, digest: str, body: Json) -> None:
    access = access_of(context)

    async def work(api: Api) -> Json:
        if not digest:
            return await _respond(api, approval, body)
        item = await api.get("approvals", approval)
        body["digest"] = chosen_digest(digest, item)
        return await _respond(api, item["approval_id"], body)

    _tell(with_api(access, work), as_json=access.json)


async def _respond(api: Api, approval: str, body: dict[str, Any]) -> Json:
    _, item = await api.send("POST", "approvals", approval, "respond", body=body)
    return item


def _tell(item: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(item)
        return
    out.print(styled(item["status"]), item["approval_id"], short_digest(item.get("digest")))
    if item["status"] == PENDING:
        say(f"your vote counts; the gate lacks {item['missing']} of {item['quorum']} approvals")
