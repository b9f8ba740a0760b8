"""`penstock approvals`: see what waits for a person, and decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from penstock_cli.access import access_of
from penstock_cli.client import with_api
from penstock_cli.terminal import moment, out, print_json, say, short, styled, table

app = typer.Typer(no_args_is_help=True, help="List, show and decide approvals.")
Approval = Annotated[str, typer.Argument(help="Approval id, or its beginning.", metavar="APPROVAL")]


@app.command("list")
def list_approvals(
    context: typer.Context,
    status: Annotated[
        str, typer.Option(help="pending, approved, rejected, expired, withdrawn, or all.")
    ] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
) -> None:
    """List approvals, those that wait for a decision by default."""
    access = access_of(context)
    query = {"limit": str(limit)} if status == "all" else {"status": status, "limit": str(limit)}
    answer = with_api(access, lambda api: api.get("approvals", query=query))
    if access.json:
        print_json(answer)
        return
    drawn = table("approval", "status", "run", "node", "title", "asked", "expires")
    for item in answer["items"]:
        drawn.add_row(
            short(item["approval_id"]), styled(item["status"]), short(item["run_id"]),
            item["node"], item.get("title", ""), moment(item.get("requested_us")),
            moment(item.get("expires_us")),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("nothing waits" if status == "pending" else "none")


@app.command("show")
def show_approval(context: typer.Context, approval: Approval) -> None:
    """Show what an approval is about, and who has voted."""
    access = access_of(context)
    item = with_api(access, lambda api: api.get("approvals", approval))
    if access.json:
        print_json(item)
        return
    out.print(f"[bold]{item.get('title') or item['node']}[/] ", styled(item["status"]), sep="")
    say(f"approval  {item['approval_id']}")
    say(f"run       {item['run_id']} of {item['workflow']}, node {item['node']}")
    say(f"expires   {moment(item.get('expires_us'))}, which denies")
    approvers = item.get("approvers") or {}
    who = [*approvers.get("users", []), *(f"role {r}" for r in approvers.get("roles", []))]
    say(f"approvers {', '.join(who) or 'role approver'}")
    for vote in item.get("votes", []):
        say(f"vote      {vote['user']}: {vote['choice']} {vote.get('reason', '')}")
    if item.get("context"):
        out.print_json(data=item["context"])


@app.command("approve")
def approve(
    context: typer.Context,
    approval: Approval,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Kept with the decision.")] = "",
) -> None:
    """Let the run go on."""
    _respond(context, approval, "approve", reason)


@app.command("reject")
def reject(
    context: typer.Context,
    approval: Approval,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Kept with the decision.")] = "",
) -> None:
    """Refuse; the node fails with your reason."""
    _respond(context, approval, "reject", reason)


def _respond(context: typer.Context, approval: str, decision: str, reason: str) -> None:
    access = access_of(context)
    body: dict[str, Any] = {"decision": decision, "reason": reason}
    _, item = with_api(
        access, lambda api: api.send("POST", "approvals", approval, "respond", body=body)
    )
    if access.json:
        print_json(item)
    else:
        out.print(styled(item["status"]), item["approval_id"])
