"""`penstock tokens`: who may use the API, as whom."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock_cli.access import access_of
from penstock_cli.client import with_api
from penstock_cli.terminal import err, moment, out, plain, print_json, say, table

app = typer.Typer(no_args_is_help=True, help="Issue, list and revoke API tokens.")
Name = Annotated[str, typer.Argument(help="Whose it is: the name in votes and events.")]


@app.command("issue")
def issue(
    context: typer.Context,
    name: Name,
    role: Annotated[
        list[str],
        typer.Option("--role", help="viewer, operator, approver, auditor, admin; repeatable."),
    ],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Group that gates may name as approvers; repeatable."),
    ] = None,
) -> None:
    """Make a token and print it, this once: only its hash is kept. The name's older one is void."""
    access = access_of(context)
    body = {"name": name, "roles": role, "groups": group or []}
    _, made = with_api(access, lambda api: api.send("POST", "tokens", body=body))
    if access.json:
        print_json(made)
        return
    err.print(f"a token for {made['name']}; it is not shown again:")
    plain(made["token"])


@app.command("list")
def list_tokens(context: typer.Context) -> None:
    """List who has a token, with roles and groups."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("tokens"))
    if access.json:
        print_json(answer)
        return
    drawn = table("name", "roles", "groups", "issued")
    for item in answer["items"]:
        drawn.add_row(
            item["name"], ", ".join(item.get("roles") or ()),
            ", ".join(item.get("groups") or ()) or "-", moment(item.get("issued_us")),
        )  # fmt: skip
    out.print(drawn)


@app.command("revoke")
def revoke(context: typer.Context, name: Name) -> None:
    """Make a token worthless; votes of its holder on pending gates do not count any more."""
    access = access_of(context)
    _, answer = with_api(access, lambda api: api.send("DELETE", "tokens", name))
    if access.json:
        print_json(answer)
    else:
        say(f"{answer['name']} has no token any more")
