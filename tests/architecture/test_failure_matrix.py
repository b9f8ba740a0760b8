"""Every row of the failure matrix is shown by a test that exists."""

from __future__ import annotations

import re

from tests.architecture.tree import ROOT

MATRIX = ROOT / "docs/architecture/failure-matrix.md"
SHOWN_BY = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")


def test_every_row_names_a_test():
    text = MATRIX.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    headers = [line for line in rows if line.endswith("| shown by |")]
    bare = [
        line
        for line in rows
        if line not in headers and not SHOWN_BY.search(line) and "| the same" not in line
    ]
    assert headers
    assert bare == []


def test_every_test_that_is_named_exists():
    missing = [
        f"{path}: {name}"
        for name, path in SHOWN_BY.findall(MATRIX.read_text(encoding="utf-8"))
        if f"def {name}(" not in (MATRIX.parent / path).read_text(encoding="utf-8")
    ]
    assert missing == []
