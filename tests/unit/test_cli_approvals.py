"""How gates are drawn, and how answers and digests are read."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from penstock_cli.answers import answers_from, asked_for
from penstock_cli.approval_picture import show_approval
from penstock_cli.bound import chosen_digest, require_bound
from penstock_cli.diff_picture import DiffPicture
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import short_digest
from penstock_cli.visible import one_line, visible
from penstock_contracts.approval.v1 import Proposal
from penstock_core.binding import bind

DIGEST = f"sha256:{'ab' * 32}"
DIFF = """\
diff --git a/shop/db.py b/shop/db.py
index 1111111..2222222 100644
--- a/shop/db.py
+++ b/shop/db.py
@@ -1,3 +1,3 @@ def find(name):
 import sqlite3
--- old comment that looks like a header
+++ new comment that looks like one
 done
diff --git a/logo.png b/logo.png
index 3333333..4444444 100644
GIT binary patch
literal 12
Tcmd;PN9VB`2pZ*DMwoMe2B4

literal 10
Rcmd;PN9VB`2pZ*DMwo

diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
"""


def an_approval(**more: Any) -> dict[str, Any]:
    """An approval as the gateway gives it."""
    policy = {"approvers": {"users": [], "groups": ["release"], "roles": []}, "quorum": 2,
              "separation": True, "reason_required": True, "push_back": ["patch"],
              "form": {"type": "object", "required": ["window"], "properties": {
                  "window": {"type": "string", "description": "when"}}}}  # fmt: skip
    plan = {
        "effect": {
            "kind": "git", "ref": "refs/heads/main", "message": "Close the hole", "diff": DIFF,
            "files": [
                {"path": "shop/db.py", "old_mode": "100644", "mode": "100644",
                 "old": "1" * 40, "new": "2" * 40},
                {"path": "new.py", "old_mode": None, "mode": "100644", "old": None,
                 "new": "2" * 40},
                {"path": "old.py", "old_mode": "100644", "mode": None, "old": "2" * 40,
                 "new": None},
                {"path": "run.sh", "old_mode": "100644", "mode": "100755", "old": "2" * 40,
                 "new": "2" * 40},
            ],
        },
        "base": {"ref": "refs/heads/main", "commit": "c0ffee" + "0" * 34, "files": {"a": None}},
        "summary": "2 files change",
    }  # fmt: skip
    return {
        "approval_id": "12345678-0000-8000-8000-000000000000", "status": "pending",
        "run_id": "6413a103-0000-8000-8000-000000000000", "workflow": "fix", "node": "patch",
        "attempt": 2, "title": "Land it?", "requested_by": "token:rita", "requested_us": 5,
        "expires_us": 1_800_000_000_000_000, "seconds_left": 125.0, "reminders": 2,
        "digest": DIGEST, "missing": 1, "quorum": 2, "policy": policy,
        "proposal": {"agent": "patcher", "agent_digest": DIGEST, "atomic": True, "plan": plan,
                     "input": {"repository_path": "/srv/shop"}},
        "votes": [
            {"user": "ada", "choice": "approve", "reason": "read it", "digest": DIGEST,
             "at_us": 6, "stands": True},
            {"user": "eve", "choice": "approve", "at_us": 7, "stands": False},
        ],
        "context": {
            "summary": {"total": {"high": 1, "low": 0}},
            "findings": [{"severity": "high", "file": "shop/db.py", "line": 3, "cwe": "CWE-89",
                          "message": "SQL from input"}],
            "empty": [], "note": {"ticket": "S-1"},
        },
        **more,
    }  # fmt: skip


def bound(item: dict[str, Any]) -> dict[str, Any]:
    """Give an approval whose binding is that of its proposal."""
    binding = bind(Proposal.model_validate(item["proposal"]))
    return {**item, "binding": binding.to_data(), "digest": binding.digest}


def drawn(item: dict[str, Any], **console: Any) -> str:
    paper = Console(file=io.StringIO(), width=120, **console)
    show_approval(bound(item), paper)
    return paper.file.getvalue()  # type: ignore[attr-defined]


# --- the whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "Land it?  pending",
        "of fix, node patch, attempt 2",
        "run asked for by token:rita",
        "in 2 min 05 s, which denies; reminded 2 times",
        "approvers   group release",
        "quorum      2 different people, 1 missing",
        "whoever asked for the run may not decide",
        "required, also to approve",
        "possible to patch",
        "window (string, required): when",
        "ada approve",
        "read it  saw abababababab",
        "does not count: no approver any more",
        "summary     1 high",
        "shop/db.py:3",
        "SQL from input",
        "empty       none",
        '"ticket": "S-1"',
        f"agent       patcher  {DIGEST}",
        "base        c0ffee",
        '"repository_path": "/srv/shop"',
        "2 files change",
        "lands on    refs/heads/main",
        "Close the hole",
        "binary change: it cannot be shown as text",
        "added, mode 100644",
        "deleted",
        "same content, mode 100644 -> 100755",
        "4 files, 1 line added, 1 removed, 1 binary",
        "penstock approvals approve 12345678 --digest",
    ],
)
def test_an_approver_is_shown(said: str):
    assert said in drawn(an_approval())


def test_who_is_asked_again_is_told_why_on_one_line():
    assert "asked again" not in drawn(an_approval())
    said = "pushed back by bob: pin it,\nand \x1b[2Jtest it"
    assert "asked again pushed back by bob: pin it,␊and ␛[2Jtest it\n" in drawn(
        an_approval(because=said)
    )


def test_the_digest_ends_what_is_shown():
    digest = bound(an_approval())["digest"]
    text = drawn(an_approval())
    assert f"digest      {digest}" in text
    assert f"--digest {short_digest(digest)}" in text


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("input", "input", {"repository_path": "/srv/other"}),
        ("agent", "agent", "other"),
        ("effect", "plan", {"effect": {"kind": "git"}, "base": {}}),
        ("the whole", "plan", "none"),
    ],
)
def test_what_the_digest_does_not_say_is_not_decided_on(part: str, field: str, value: object):
    given = bound(an_approval())
    given["proposal"] = {**given["proposal"], field: value}
    with pytest.raises(CliFault, match=part):
        require_bound(given)
    if part != "the whole":
        console = Console(file=io.StringIO(), width=120)
        show_approval(given, console)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "NOT WHAT THE DIGEST SAYS" in text
        assert "approvals approve" not in text


def test_a_binding_that_is_not_the_digest_is_noticed():
    given = {**bound(an_approval()), "digest": DIGEST}
    with pytest.raises(CliFault, match="the digest"):
        require_bound(given)
    require_bound(bound(an_approval()))


def test_what_is_not_atomic_is_said_loudly():
    given = an_approval()
    assert "NOT ATOMIC" not in drawn(given)
    given["proposal"]["atomic"] = False
    assert "NOT ATOMIC" in drawn(given)


def test_a_pure_gate_shows_its_context_once():
    context = {"found": 3}
    proposal = {"agent": None, "plan": None, "atomic": True, "input": context}
    text = drawn(an_approval(context=context, proposal=proposal))
    assert "none: the gate only lets the run go on" in text
    assert text.count('"found"') == 1


def test_without_a_plan_nothing_of_the_input_is_left_out():
    given = an_approval()
    given["proposal"]["input"] = {"patch": "x" * 5_000}
    assert "(5000 characters; all of it: --json)" in drawn(given)
    given["proposal"]["plan"] = None
    assert "x" * 5_000 in drawn(given)


def test_an_effect_of_another_kind_is_shown_whole():
    given = an_approval()
    given["proposal"]["plan"]["effect"] = {"commands": ["rm -r build"], "diff": DIFF}
    text = drawn(given)
    assert "rm -r build" in text
    assert "logo.png" in text


def test_what_else_a_git_effect_holds_is_shown_too():
    given = an_approval()
    given["proposal"]["plan"]["effect"]["run_afterwards"] = "make"
    assert '"run_afterwards": "make"' in drawn(given)


def test_a_decision_says_who_and_why():
    text = drawn(
        an_approval(
            status="pushed_back", to="patch", decided_by=["ada"], decided_us=9, reason="pin it"
        )
    )
    assert "by ada, back to patch: pin it" in text
    assert "--digest" not in text


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


# --- digests ------------------------------------------------------------------------------------


def test_a_vote_without_a_digest_is_about_what_is_shown():
    assert chosen_digest("", an_approval()) == DIGEST


@pytest.mark.parametrize("given", ["abababab", "sha256:ababababab", "ABABABABAB", DIGEST])
def test_the_beginning_of_a_digest_will_do(given: str):
    assert chosen_digest(given, an_approval()) == DIGEST


def test_another_whole_digest_is_for_the_gate_to_refuse():
    other = f"sha256:{'0' * 64}"
    assert chosen_digest(other, an_approval()) == other


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("00000000", ExitCode.REFUSED, "you were shown 00000000, but abababababab is proposed"),
        ("abab", ExitCode.USAGE, "is not a digest"),
        ("latest", ExitCode.USAGE, "is not a digest"),
    ],
)
def test_a_digest_of_something_else_is_refused(given: str, code: ExitCode, said: str):
    with pytest.raises(CliFault) as fault:
        chosen_digest(given, an_approval())
    assert fault.value.code is code
    assert said in fault.value.message


# --- answers ------------------------------------------------------------------------------------

FORM: dict[str, Any] = {
    "type": "object",
    "required": ["window", "hosts"],
    "additionalProperties": False,
    "properties": {
        "window": {"type": "string"},
        "hosts": {"type": "integer"},
        "share": {"type": "number"},
        "loud": {"type": "boolean"},
        "tags": {"type": "array"},
        "more": {"type": "object"},
        "either": {"type": ["integer", "string"]},
        "level": {"enum": ["low", 2, None]},
        "any": {},
    },
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("window=5", "5"),
        ("window=a=b", "a=b"),
        ("window=", ""),
        ("hosts=5", 5),
        ("share=0.5", 0.5),
        ("share=1", 1),
        ("loud=true", True),
        ('tags=["a"]', ["a"]),
        ('more={"a": 1}', {"a": 1}),
        ("either=5", 5),
        ("either=five", "five"),
        ("level=low", "low"),
        ("level=2", 2),
        ("level=null", None),
        ("any=text", "text"),
    ],
)
def test_answers_are_typed_by_the_form(text: str, value: object):
    name = text.partition("=")[0]
    (given,) = answers_from([text], FORM).values()
    assert json.dumps(given) == json.dumps(value), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("window", "is not name=value"),
        ("=x", "is not name=value"),
        ("hosts=many", "hosts: 'many' is not of type integer"),
        ("hosts=true", "is not of type integer"),
        ("hosts=1.5", "is not of type integer"),
        ("loud=1", "is not of type boolean"),
        ("level=high", "is none of low, 2, null"),
        ("other=x", "the gate asks for no 'other'"),
    ],
)
def test_answers_of_another_type_are_refused_here(text: str, said: str):
    with pytest.raises(CliFault, match=said) as fault:
        answers_from([text], FORM)
    assert fault.value.code is ExitCode.USAGE


def test_a_field_that_the_form_does_not_know_may_be_allowed():
    assert answers_from(["note=x"], {"type": "object"}) == {"note": "x"}


def test_required_answers_that_lack_are_asked_for():
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return "7"

    assert asked_for(FORM, {"window": "now"}, ask) == {"window": "now", "hosts": 7}
    assert asked == ["hosts"]
