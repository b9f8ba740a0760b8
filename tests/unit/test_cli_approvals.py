"""`penstock approvals`: what is shown as a whole, digests and answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from penstock_cli.answers import answers_from, asked_for
from penstock_cli.approval_picture import show_approval
from penstock_cli.bound import chosen_digest, require_bound
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import short_digest
from tests.unit.shown_approvals import DIFF, DIGEST, an_approval, bound, drawn

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
