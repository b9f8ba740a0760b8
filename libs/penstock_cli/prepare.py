"""`penstock prepare`: what servers of one's own have to know of this Penstock."""

from __future__ import annotations

import typer

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.home import FolderLock, StateFolder
from penstock_adapters.embedded.outside_nats import write_account
from penstock_adapters.embedded.outside_postgres import write_roles_script
from penstock_cli.access import access_of
from penstock_cli.stack_view import relative, told
from penstock_cli.terminal import plain, print_json
from penstock_contracts.values import DEFAULT_TENANT

app = typer.Typer()


@app.command()
def prepare(context: typer.Context) -> None:
    """Write the NATS account and the PostgreSQL roles for servers of your own; start nothing.

    The credentials are generated once and kept in the state folder; the files hold them and are
    readable by you alone. With the account included in your NATS server's configuration and the
    script run in your PostgreSQL, `penstock up` needs no login in PENSTOCK_NATS_URL and
    PENSTOCK_POSTGRES_URL, and every process has no more rights than it needs.
    """
    access = access_of(context)
    folder = StateFolder.at(access.home)
    with told(folder):
        folder.create()
        with FolderLock(folder):
            secrets = SecretBook(folder.secrets)
            write_account(folder, secrets, DEFAULT_TENANT)
            write_roles_script(folder, secrets)
    if access.json:
        files = {"nats": folder.nats_account, "postgres": folder.postgres_roles}
        print_json({name: str(path) for name, path in files.items()})
    else:
        plain(_next_steps(relative(folder.nats_account), relative(folder.postgres_roles)))


def _next_steps(account: str, roles: str) -> str:
    return f"""
NATS         {account}
             copy it beside the server's configuration, and there:
               accounts {{ include ./nats-account.conf }}
PostgreSQL   {roles}
             psql -X -f {roles} postgresql://administrator@host/postgres

Both hold passwords and are readable by you alone (0600). Then:
  PENSTOCK_NATS_URL=nats://host:4222 PENSTOCK_POSTGRES_URL=postgresql://host:5432 penstock up
"""
