"""`penstock up`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.embedded import detached
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.status import StackState, read_status
from penstock_adapters.embedded.supervisor import ChildEvent, ChildState
from penstock_cli.access import HOME_VARIABLE, Access, access_of
from penstock_cli.services import stack_commands
from penstock_cli.stack_view import stack_environment, told, what_to_try
from penstock_cli.terminal import err, plain, say, span, styled

app = typer.Typer()


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running in the background.")
    ] = False,
    workspace: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that agents may be given (repeatable) [this folder]."),
    ] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option(help="host:port that agents with `network: egress` may reach (repeatable)."),
    ] = None,
) -> None:
    """Start NATS, PostgreSQL and the four services, on free ports, in one state folder.

    In the foreground it stays until Ctrl-C; with --detach until `penstock down`. No root and no
    Docker are needed. Credentials are generated at the first start and kept in the folder.
    """
    access = access_of(context)
    environ = stack_environment(os.environ, workspace or [], egress or [])
    if detach:
        _in_background(access, environ)
    else:
        _in_foreground(access, environ)


def _in_background(access: Access, environ: dict[str, str]) -> None:
    folder = StateFolder.at(access.home)
    with told(folder):
        running = read_status(folder)
    if running.state is StackState.READY:
        say(f"already up, state in {folder.root}; other settings need `penstock down` first")
        plain(what_to_try(access, running.gateway_url, {}))
        return
    began = time.monotonic()
    command = (sys.executable, "-P", "-m", "penstock_cli", "up")
    with told(folder), err.status("starting NATS, PostgreSQL and four services"):
        status = detached.up(folder, command, {**environ, HOME_VARIABLE: str(folder.root)})
    say(f"[green]up[/] after {span(time.monotonic() - began)}, state in {folder.root}")
    plain(what_to_try(access, status.gateway_url, environ))


class _AnnouncedStack(EmbeddedStack):
    """Says when it is ready."""

    def prepare(self, access: Access, environ: dict[str, str]) -> None:
        """Keep what the announcement needs."""
        self._access = access
        self._told_environ = environ

    async def start(self) -> None:
        """Start, then say where everything is."""
        await super().start()
        plain(what_to_try(self._access, self.endpoints.gateway_url, self._told_environ))
        say("Ctrl-C stops everything.")


def _in_foreground(access: Access, environ: dict[str, str]) -> None:
    stack = _AnnouncedStack(access.home, stack_commands(), tell_child, environ)
    stack.prepare(access, environ)
    with told(stack.folder):
        asyncio.run(detached.supervise(stack))
    say("stopped")


def tell_child(event: ChildEvent) -> None:
    """Print one change of a child of the stack."""
    if event.state is ChildState.STARTING and not event.restarts:
        return
    line = styled(f"{event.state.value:<9}").append(f" {event.name}", style="default")
    if event.pid is not None:
        line.append(f"  pid {event.pid}", style="dim")
    if event.detail:
        line.append(f"  {event.detail}", style="yellow")
    err.print(line)
