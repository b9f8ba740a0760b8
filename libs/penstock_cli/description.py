"""The command line described as data, for the reference page and completion checks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import typer

from penstock_cli.app import app
from penstock_cli.faults import ExitCode

_GENERAL = frozenset({"help", "install_completion", "show_completion"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or an option, as it is written, and what it means."""

    written: str
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its whole name, such as `penstock runs list`."""

    name: str
    usage: str
    help: str
    parameters: tuple[Parameter, ...]


def commands() -> Iterator[Command]:
    """Give the root and every command in the order of the help pages."""
    # The framework's own classes are private to it, so its objects are read as they come.
    root: Any = typer.main.get_command(app)
    yield from _walk(root, "penstock", root.make_context("penstock", [], resilient_parsing=True))


def exit_codes() -> Iterator[tuple[int, str]]:
    """Give each exit code with its meaning, from the comments beside them."""
    for line in inspect.getsource(ExitCode).splitlines():
        if found := re.fullmatch(r"    [A-Z_]+ = (\d+)  # (.*)", line):
            yield int(found[1]), found[2]


def _walk(command: Any, name: str, context: Any) -> Iterator[Command]:  # noqa: ANN401 - see above
    children = getattr(command, "list_commands", None)
    parameters = [p for p in command.params if p.name not in _GENERAL and not p.hidden]
    pieces = [_in_usage(p) for p in parameters if p.param_type_name == "argument"]
    has_options = any(p.param_type_name == "option" for p in parameters)
    usage = [name, *(["[OPTIONS]"] if has_options else []), *pieces]
    if children is not None:
        usage.append("COMMAND ...")
    shown = tuple(map(_parameter, parameters))
    yield Command(name, " ".join(usage), inspect.cleandoc(command.help or ""), shown)
    for child in children(context) if children is not None else ():
        yield from _walk(command.get_command(context, child), f"{name} {child}", context)


def _in_usage(parameter: Any) -> str:  # noqa: ANN401 - see above
    name = str(parameter.metavar or parameter.name).upper()
    name += "..." if parameter.nargs == -1 or parameter.multiple else ""
    return name if parameter.required else f"[{name}]"


def _parameter(parameter: Any) -> Parameter:  # noqa: ANN401 - see above
    text = str(parameter.help or "")
    if parameter.param_type_name == "argument":
        return Parameter(_in_usage(parameter), text)
    names = ", ".join(sorted(cast("list[str]", parameter.opts), key=len))
    if parameter.secondary_opts:  # the other word of a choice of two
        names += f" / {', '.join(parameter.secondary_opts)}"
    value = "" if parameter.is_flag else f" {str(parameter.metavar or parameter.name).upper()}"
    default = parameter.default
    if not parameter.is_flag and default not in (None, "", (), []):
        text = f"{text} [{default}]"
    return Parameter(names + value, text)
