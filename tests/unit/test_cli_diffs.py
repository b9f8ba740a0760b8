"""Diffs and other texts of agents on a terminal: nothing acts and nothing hides."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_cli.diff_picture import DiffPicture
from penstock_cli.visible import one_line, visible
from tests.unit.shown_approvals import DIFF, an_approval, drawn

# --- nothing acts and nothing hides -------------------------------------------------------------

TRICKS = {
    "\x1b[2J": "␛[2J",
    "safe\rEVIL": "safe␍EVIL",
    "a\x08b": "a␈b",
    "\x7f": "␡",
    "\x9b31m": "<U+009B>31m",
    "if admin\u202e) {": "if admin<U+202E>) {",
    "\u2066x\u2069": "<U+2066>x<U+2069>",
    "pass\u200bword": "pass<U+200B>word",
    "\ufeffx": "<U+FEFF>x",
    "a\u00a0b": "a<U+00A0>b",
    "line\u2028two": "line<U+2028>two",
    "\u3164 = 1": "<U+3164> = 1",
    "x\ufe0f": "x<U+FE0F>",
    "\ud800": "<U+D800>",
    "\U000e0041": "<U+E0041>",
    "\ta": "→   a",
    "[red]x[/]": "[red]x[/]",
    "größer, 大": "größer, 大",
}


@pytest.mark.parametrize(("given", "shown"), TRICKS.items())
def test_text_of_others_is_shown_as_what_it_is(given: str, shown: str):
    assert visible(given).plain == shown
    assert one_line(given).plain == shown


def test_only_lines_of_text_stay_lines():
    assert visible("a\nb").plain == "a\nb"
    assert one_line("a\nb").plain == "a␊b"


@pytest.mark.parametrize("place", ["title", "node", "requested_by", "workflow"])
@pytest.mark.parametrize("trick", ["\x1b]0;x\x07", "a\rb", "\u202ex", "[bold]x[/]"])
def test_no_field_reaches_the_terminal_raw(place: str, trick: str):
    text = drawn(an_approval(**{place: trick}), force_terminal=False)
    assert visible(trick).plain in text
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set(text)


@pytest.mark.parametrize(
    "path",
    [
        ("proposal", "plan", "effect", "diff"),
        ("proposal", "plan", "effect", "message"),
        ("proposal", "plan", "effect", "ref"),
        ("proposal", "plan", "effect", "files", 0, "path"),
        ("proposal", "plan", "base", "commit"),
        ("proposal", "plan", "base", "ref"),
        ("proposal", "plan", "summary"),
        ("proposal", "input", "repository_path"),
        ("proposal", "agent"),
        ("context", "findings", 0, "message"),
        ("context", "findings", 0, "severity"),
        ("context", "note", "ticket"),
        ("votes", 0, "reason"),
        ("votes", 0, "user"),
        ("policy", "approvers", "groups", 0),
        ("because",),
        ("policy", "push_back", 0),
        ("policy", "form", "properties", "window", "description"),
    ],
)
def test_no_part_of_it_reaches_the_terminal_raw(path: tuple[Any, ...]):
    given = an_approval()
    place: Any = given
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "x\x1b[31m\r\u202e\x9b"
    text = drawn(given)
    assert not {"\x1b", "\r", "\u202e", "\x9b"} & set(text)
    assert "<U+202E>" in text


# --- diffs --------------------------------------------------------------------------------------


def lines_of(diff: str, columns: int = 0) -> list[tuple[str, str]]:
    """Give each line with the style of its beginning."""
    found = DiffPicture().lines(diff, columns)
    return [(line.plain, str(line.spans[0].style) if line.spans else "") for line in found]


def test_lines_are_told_apart_by_their_hunk_and_not_by_their_looks():
    styles = dict(lines_of(DIFF))
    assert styles["--- old comment that looks like a header"] == "red"
    assert styles["+++ new comment that looks like one"] == "green"
    assert styles["--- a/shop/db.py"] == "bold"
    assert styles["@@ -1,3 +1,3 @@ def find(name):"] == "cyan"
    assert styles["new mode 100755  executable"] == "bold yellow"


def test_binary_changes_are_said_as_such_with_what_is_left_out():
    shown = [line for line, _ in lines_of(DIFF)]
    assert "  content of 12 bytes" in shown
    assert shown.count("  2 lines of binary data, not shown") == 2
    assert not any("cmd;PN9" in line for line in shown)


def test_what_is_no_binary_data_is_never_left_out():
    diff = "diff --git a/x b/x\nGIT binary patch\nliteral 4\nrm -rf / # not data\n\n"
    assert "rm -rf / # not data" in [line for line, _ in lines_of(diff)]


def test_a_hunk_that_breaks_off_is_conspicuous():
    diff = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n a\ndiff --git a/y b/y\n"
    assert lines_of(diff)[-1][1] == "bold red"


def test_white_space_at_the_end_and_carriage_returns_are_seen():
    diff = "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-a\n+a  \n-b\n+b\r\n\\ No newline at end of file\n"
    picture = list(DiffPicture().lines(diff))
    assert "on red" in [str(span.style) for span in picture[3].spans]
    assert picture[5].plain == "+b␍"
    assert picture[6].plain.startswith("\\ No newline")


def test_a_long_line_never_looks_like_two():
    padded = "+" + "x" * 40 + "-harmless"
    diff = f"diff --git a/x b/x\n@@ -0,0 +1 @@\n{padded}\n"
    rows = [line for line, _ in lines_of(diff, columns=41)][2:]
    assert rows == ["+" + "x" * 40, "  ↪ -harmless"]
    assert [line for line, _ in lines_of(diff)][2:] == [padded]


def test_wide_characters_are_counted_by_their_columns():
    diff = f"diff --git a/x b/x\n@@ -0,0 +1 @@\n+{'大' * 30}\n"
    rows = [line for line, _ in lines_of(diff, columns=41)][2:]
    assert rows == ["+" + "大" * 20, "  ↪ " + "大" * 10]


def test_a_diff_in_colour_is_in_colour():
    text = drawn(an_approval(), force_terminal=True, color_system="standard")
    assert "\x1b[32m+++ new comment" in text
    assert "\x1b[31m--- old comment" in text
