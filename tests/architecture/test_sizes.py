"""Modules stay readable in one sitting, functions on one screen.

Soft limits are for review, hard limits are enforced here. What was above a hard limit when the
rule came is listed in ratchets/sizes.json with its size: it may shrink, never grow, and an entry
that is no longer needed must go.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.architecture.tree import Source, sources

MODULE_HARD_LINES = 500
FUNCTION_HARD_LINES = 60
RATCHET = Path(__file__).parent / "ratchets" / "sizes.json"


def function_sizes(source: Source) -> list[tuple[str, int]]:
    """Body lines of each function, its docstring not counted."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body
        if ast.get_docstring(node) is not None:
            body = body[1:]
        if body:
            length = (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
            found.append((f"{source.path}::{node.name}", length))
    return found


def oversized() -> dict[str, int]:
    """Everything above a hard limit, by name, in lines."""
    found: dict[str, int] = {}
    for source in sources():
        lines = len(source.text.splitlines())
        if lines > MODULE_HARD_LINES:
            found[source.path] = lines
        for name, length in function_sizes(source):
            if length > FUNCTION_HARD_LINES:
                found[name] = max(length, found.get(name, 0))
    return found


def ratchet() -> dict[str, int]:
    return json.loads(RATCHET.read_text(encoding="utf-8"))


def test_nothing_grows_beyond_its_limit():
    marks = ratchet()
    grown = {
        name: (size, marks.get(name))
        for name, size in oversized().items()
        if size > marks.get(name, 0)
    }
    assert grown == {}, "split it, or say in review why its mark should rise"


def test_the_ratchet_only_turns_one_way():
    now = oversized()
    loose = {
        name: (mark, now.get(name)) for name, mark in ratchet().items() if now.get(name) != mark
    }
    assert loose == {}, "lower or remove these marks in ratchets/sizes.json"
