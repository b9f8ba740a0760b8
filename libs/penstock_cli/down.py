"""`penstock down`: stop the stack of the state folder."""

from __future__ import annotations

import typer

from penstock_adapters.embedded import detached
from penstock_adapters.embedded.home import StateFolder
from penstock_cli.access import access_of
from penstock_cli.stack_view import told
from penstock_cli.terminal import err, print_json, say

app = typer.Typer()


@app.command()
def down(context: typer.Context) -> None:
    """Stop the stack of the state folder, and whatever a dead supervisor left behind.

    The data stays; the next `penstock up` goes on from it.
    """
    access = access_of(context)
    folder = StateFolder.at(access.home)
    with told(folder), err.status("stopping"):
        ran = detached.down(folder)
    if access.json:
        print_json({"stopped": ran, "home": str(folder.root)})
    elif ran:
        say(f"stopped; the state stays in {folder.root}")
    else:
        say(f"nothing ran in {folder.root}")
