"""The page of the command line, docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock_cli.description import Command, commands, exit_codes

PAGE = "docs/reference/cli.md"
OWNS = (PAGE,)

_HEAD = """\
# Command line

<!-- Written by `make generate` from penstock_cli. Do not edit. -->

The same as `penstock --help` and `penstock VERB --help` say. Global options may stand anywhere on
the line. Verbs that speak to a gateway find its address and a token in the state folder, unless
`--url` and `--token`, or `PENSTOCK_URL` and `PENSTOCK_TOKEN`, say otherwise. Results go to the
standard output, faults (what, where, how to mend) to the standard error. Completion for your
shell: `penstock --install-completion`.

## Exit codes

Stable: scripts may depend on them. `penstock serve` gives its service's own code.

| code | meaning |
| --- | --- |
"""


def page() -> str:
    """Gives the whole page."""
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in exit_codes())
    return _HEAD + rows + "".join(part for command in commands() for part in _section(command))


def _section(command: Command) -> Iterator[str]:
    yield f"\n## {command.name}\n\n{command.help}\n\n```console\n{command.usage}\n```\n"
    if command.parameters:
        yield "\n| | |\n| --- | --- |\n"
        for parameter in command.parameters:
            yield f"| `{parameter.written}` | {_cell(parameter.help)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the page of the command line."""
    return {PAGE: page()}
