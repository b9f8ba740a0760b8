"""Whatever others wrote: shown, it does nothing to the terminal, and none of it is lost."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from penstock_cli.diff_picture import DiffPicture
from penstock_cli.visible import one_line, visible

ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
TRICKY = st.sampled_from("\x1b\r\t\b\x9b\u202e\u2066\u200b\ufeff\u2028\u3164\u00a0 +-@\\ab大")
TEXTS = st.text(st.one_of(TRICKY, st.characters()), max_size=200)
LINES = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: f"+{text}"),
    TEXTS.map(lambda text: f"-{text}"),
    TEXTS.map(lambda text: f" {text}"),
    st.sampled_from(
        ["diff --git a/x b/x", "--- a/x", "+++ b/x", "@@ -1,3 +1,2 @@", "@@ -0,0 +1 @@",
         "new mode 120000", "\\ No newline at end of file"]
    ),
)  # fmt: skip


@given(TEXTS)
def test_no_character_acts(text: str):
    for shown in (visible(text).plain, one_line(text).plain):
        acting = {char for char in shown if unicodedata.category(char) in ACTING} - {"\n"}
        assert acting == set()
    assert "\n" not in one_line(text).plain


@given(TEXTS)
def test_marking_twice_changes_nothing(text: str):
    once = visible(text).plain
    assert visible(once).plain == once


@given(st.lists(LINES.filter(lambda line: "\n" not in line), max_size=30))
def test_every_line_of_a_diff_is_shown(lines: list[str]):
    diff = "\n".join(lines)
    shown = [line.plain.lstrip("\n") for line in DiffPicture().lines(diff)]
    wanted = [visible(line).plain for line in diff.removesuffix("\n").split("\n")]
    assert len(shown) == len(wanted)
    for line, marked in zip(shown, wanted, strict=True):
        assert line.startswith(marked)


@given(LINES.filter(lambda line: "\n" not in line), st.integers(20, 60))
def test_folding_loses_nothing_and_marks_what_goes_on(line: str, columns: int):
    rows = [row.plain for row in DiffPicture().lines(line, columns)]
    whole = [row.plain for row in DiffPicture().lines(line)]
    assert "".join([rows[0], *(row.removeprefix("  ↪ ") for row in rows[1:])]) == "".join(whole)
    assert all(row.startswith("  ↪ ") for row in rows[1:])
