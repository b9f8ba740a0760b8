"""The root command: global options, verbs loaded on demand, faults turned into exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from penstock_cli.access import access_from
from penstock_cli.faults import CliFault, ExitCode

VERBS: dict[str, str] = {
    "demo": "penstock_cli.demo.verb",
    "up": "penstock_cli.up",
    "prepare": "penstock_cli.prepare",
    "down": "penstock_cli.down",
    "status": "penstock_cli.status",
    "doctor": "penstock_cli.doctor.verb",
    "serve": "penstock_cli.serve",
    "validate": "penstock_cli.validate",
    "apply": "penstock_cli.apply",
    "agent": "penstock_cli.agent.verb",
    "agents": "penstock_cli.agents",
    "workflows": "penstock_cli.workflows",
    "trigger": "penstock_cli.trigger",
    "runs": "penstock_cli.runs",
    "artifacts": "penstock_cli.artifacts",
    "approvals": "penstock_cli.approvals",
    "tokens": "penstock_cli.tokens",
    "executors": "penstock_cli.executors",
    "replay": "penstock_cli.replay",
    "dead": "penstock_cli.dead",
    "backup": "penstock_cli.backup",
    "restore": "penstock_cli.backup_restore",
    "rebuild": "penstock_cli.rebuild",
    "recover": "penstock_cli.recover",
}
"""Module of each verb, in the order of the help page; each has a Typer called `app`."""

FLAGS = frozenset({"--json"})
OPTIONS = frozenset({"--url", "--token", "--home"})


class LazyGroup(TyperGroup):
    """Loads a verb's module when the verb is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - the framework's own type
        """Name all verbs."""
        return [*super().list_commands(ctx), *VERBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """Load one verb."""
        module = VERBS.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command = typer.main.get_command(cast("typer.Typer", import_module(module).app))
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyGroup,
    name="penstock",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Global options may stand anywhere on the line. Exit codes: docs/reference/cli.md.",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from penstock_cli.version import version  # noqa: PLC0415 - rarely asked for

        typer.echo(f"penstock {version()}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for scripts, where a verb has a result.")
    ] = False,
    url: Annotated[
        str, typer.Option("--url", help="Gateway's address [PENSTOCK_URL; else the state folder].")
    ] = "",
    token: Annotated[
        str, typer.Option("--token", help="API token [PENSTOCK_TOKEN; else the state folder].")
    ] = "",
    home: Annotated[
        Path | None, typer.Option("--home", help="State folder [PENSTOCK_HOME; else .penstock].")
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Event-driven workflows of sandboxed agents, with human gates and a replayable history."""
    context.obj = access_from(os.environ, as_json=as_json, url=url, token=token, home=home)


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move global options to the front, so that they may stand anywhere before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
        elif item in FLAGS or item.partition("=")[0] in OPTIONS:
            front.append(item)
            if item in OPTIONS:
                front += [value for value in [next(items, None)] if value is not None]
        else:
            rest.append(item)
    return front + rest


def run(arguments: Sequence[str]) -> int:
    """Run a command line; gives the exit code. Operating faults are told without a traceback."""
    try:
        result = app(hoist(arguments), standalone_mode=True, prog_name="penstock")
    except CliFault as fault:
        from penstock_cli.terminal import show_fault  # noqa: PLC0415 - only for faults

        show_fault(fault)
        return fault.code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `penstock runs list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return int(result or 0)
