"""Every decision record has the header the index is made from, and the numbers have no gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_testkit.generate.adr_index import HeaderError, read_record
from tests.architecture.tree import ROOT

RECORDS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
SECTIONS = ("## Context", "## Decision", "## Consequences")


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_record_has_its_header_and_sections(file: Path):
    record = read_record(file)
    assert record.title
    text = file.read_text(encoding="utf-8")
    assert [section for section in SECTIONS if f"\n{section}\n" not in text] == []


def test_numbers_are_used_once():
    numbers = [file.name[:4] for file in RECORDS]
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line"),
        ("# 0002. Other number\n", "first line"),
        ("# 0001. Title\n- Status: accepted\n- Date: 2026-01-01\n", "Decides"),
        ("# 0001. Title\n- Status: maybe\n- Date: 2026-01-01\n- Decides: x\n", "status is one of"),
        ("# 0001. Title\n- Status: accepted\n- Date: today\n- Decides: x\n", "YYYY-MM-DD"),
    ],
)
def test_a_bad_header_is_named(tmp_path: Path, text: str, message: str):
    file = tmp_path / "0001-title.md"
    file.write_text(text)
    with pytest.raises(HeaderError, match=message):
        read_record(file)
