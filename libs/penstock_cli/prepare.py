"""`penstock prepare`: what servers and processes of one's own have to know of this Penstock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.deployment import Place, renew_logins, write_deployment
from penstock_adapters.embedded.home import FolderLock, StateFolder
from penstock_adapters.embedded.outside_nats import write_account
from penstock_adapters.embedded.outside_postgres import write_roles_script
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_cli.access import Access, access_of
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.stack_view import relative, told
from penstock_cli.terminal import plain, print_json
from penstock_contracts.values import DEFAULT_TENANT

app = typer.Typer()
DEFAULT_POOL = "default"


@app.command()
def prepare(
    context: typer.Context,
    hand_out: Annotated[
        Path | None,
        typer.Option(
            help="Write into this folder, instead, what each process of a deployment is handed: "
            "a folder of files for each, for the servers that PENSTOCK_NATS_URL and "
            "PENSTOCK_POSTGRES_URL name.",
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(help="Pool with executors of its own, with --hand-out (repeatable)."),
    ] = None,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Draw new passwords for bus and databases first."),
    ] = False,
) -> None:
    """Write the NATS account and the PostgreSQL roles for servers of your own; start nothing.

    The credentials are generated once and kept in the state folder; the files hold them and are
    readable by you alone. With the account included in your NATS server's configuration and the
    script run in your PostgreSQL, `penstock up` needs no login in PENSTOCK_NATS_URL and
    PENSTOCK_POSTGRES_URL, and every process has no more rights than it needs.
    """
    access = access_of(context)
    if hand_out is not None:
        _hand_out(access, hand_out, pool or [DEFAULT_POOL], renew=renew)
        return
    if renew:
        raise CliFault("--renew goes with --hand-out", "", ExitCode.USAGE)
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


def _hand_out(access: Access, target: Path, pools: list[str], *, renew: bool) -> None:
    """Write a folder for each process of a deployment."""
    nats_url = os.environ.get(NATS_URL_VARIABLE, "")
    postgres_url = os.environ.get(POSTGRES_URL_VARIABLE, "")
    if not nats_url or not postgres_url or "@" in nats_url + postgres_url:
        raise CliFault(
            f"--hand-out needs {NATS_URL_VARIABLE} and {POSTGRES_URL_VARIABLE}, without a login",
            "they are the addresses by which the processes will reach the servers",
            ExitCode.USAGE,
        )
    folder = StateFolder.at(access.home)
    with told(folder):
        folder.create()
        with FolderLock(folder):
            secrets = SecretBook(folder.secrets)
            if renew:
                renew_logins(secrets, pools)
            place = Place(nats_url, postgres_url, pools, DEFAULT_TENANT)
            write_deployment(target, place, folder, secrets)
    names = sorted(path.name for path in target.iterdir() if path.is_dir())
    if access.json:
        print_json({name: str(target / name) for name in names})
    else:
        plain(f"{target}: {', '.join(names)}")


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
