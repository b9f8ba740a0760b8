"""Subjects have one home: a literal elsewhere is a second truth about the protocol."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.tree import Source, docstrings_of, sources

# `penstock.default.run`, `penstock.{tenant}...` in an f-string, `penstock.*`: a subject.
# `penstock.services` (entry points) and names of loggers or metrics are not.
SUBJECT = re.compile(
    r"^penstock\.(\*|>|sys|default|\{|[a-z0-9_-]+\.(trigger|catalog|run|task|approval|event|log|dead|control|relay))"
)
JETSTREAM_API = re.compile(r"^\$(JS|KV|O)\.")


def literals(source: Source) -> list[tuple[str, int]]:
    """String constants that are not docstrings, with their lines."""
    skipped = docstrings_of(source.tree)
    found: list[tuple[str, int]] = []
    inside_f_strings: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [
                piece.value if isinstance(piece, ast.Constant) else "{}" for piece in node.values
            ]
            inside_f_strings.update(id(piece) for piece in node.values)
            found.append(("".join(str(piece) for piece in pieces), node.lineno))
    found += [
        (node.value, node.lineno)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in skipped | inside_f_strings
    ]
    return found


@pytest.mark.parametrize(
    ("pattern", "homes"),
    [
        (SUBJECT, ("contracts/",)),
        (JETSTREAM_API, ("contracts/", "libs/penstock_adapters/nats/")),
    ],
    ids=["subjects", "jetstream-api"],
)
def test_subject_literals_live_in_their_home(pattern: re.Pattern[str], homes: tuple[str, ...]):
    strays = [
        f"{source.path}:{line}: {literal!r}"
        for source in sources()
        if not source.path.startswith(homes)
        for literal, line in literals(source)
        if pattern.match(literal)
    ]
    assert strays == [], "build and parse subjects with penstock_contracts.subjects"
