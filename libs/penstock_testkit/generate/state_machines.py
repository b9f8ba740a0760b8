"""State diagrams in docs/reference, drawn from the transition tables that `evolve` obeys.

A table is a module-level `<NAME>_TRANSITIONS` in `penstock_core.<kind>.transitions`, of the form
`{event class: {status before: status after}}`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import penstock_core

PAGE = "docs/reference/state-machines.md"
OWNS = (PAGE,)
SUFFIX = "_TRANSITIONS"
START = "absent"  # the status of what has no events yet

Table = Mapping[type, Mapping[Any, Enum]]

_HEAD = """\
# State machines

<!-- Written by `make generate` from penstock_core/*/transitions.py. Do not edit. -->

An arrow is an event: the only way from one status to another. An event that arrives in a status
without such an arrow is a defect, and its message is parked.
"""


def tables(module: ModuleType) -> Iterator[tuple[str, Table]]:
    """Yields the transition tables of a module by their short names, such as `node`."""
    for name, value in vars(module).items():
        if name.endswith(SUFFIX) and not name.startswith("_") and isinstance(value, Mapping):
            yield name.removesuffix(SUFFIX).lower(), cast("Table", value)


def diagram(table: Table) -> str:
    """Draws one table as a Mermaid state diagram."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for event, moves in table.items():
        for before, after in moves.items():
            arrow = (str(before.value), str(after.value))
            arrows.setdefault(arrow, []).append(event.__name__)
    befores = {before for before, _ in arrows}
    ends = sorted({after for _, after in arrows} - befores)
    lines = ["```mermaid", "stateDiagram-v2"]
    if START not in befores:
        starts = befores - {after for _, after in arrows}
        first = next(iter(arrows))[0]
        lines += [f"    [*] --> {start}" for start in sorted(starts) or [first]]
    for (before, after), events in arrows.items():
        source = "[*]" if before == START else before
        lines.append(f"    {source} --> {after}: {', '.join(events)}")
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join([*lines, "```"])


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the page with every diagram, in the order of kind and table."""
    parts = [_HEAD]
    for package in sorted(pkgutil.iter_modules(penstock_core.__path__), key=lambda info: info.name):
        name = f"{penstock_core.__name__}.{package.name}.transitions"
        if not package.ispkg or importlib.util.find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        for short, table in tables(module):
            title = short if short == package.name else f"{package.name}: {short}"
            parts.append(f"## {title.capitalize()}\n\n{diagram(table)}\n")
    return {PAGE: "\n".join(parts)}
