"""What agents that judge code share: fingerprints, suppressions, baselines, SARIF."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_agent_sdk import AgentError
from penstock_agent_sdk.artifacts import write_artifact
from penstock_agent_sdk.findings import (
    Baseline,
    Obeyed,
    Place,
    Result,
    RuleText,
    Sieve,
    Suppressions,
    Tool,
    Verdict,
    baseline_in,
    fingerprints,
    sarif_document,
)
from penstock_agent_sdk.findings.suppressions import MAX_COMMENTS

TODAY = date(2026, 11, 21)
LINES = ["import os", "", "os.system(a)", "  os.system(a)", "x = 1"]


def named(places: list[Place], lines: list[str]) -> list[str]:
    return fingerprints(places, lambda _file: lines)


def test_a_fingerprint_stays_when_lines_move_and_indentation_changes() -> None:
    before = named([Place("shell", "a.py", 3)], LINES)
    after = named([Place("shell", "a.py", 5)], ["# new", "", *["    " + line for line in LINES]])
    assert before == after
    assert len(before[0]) == 32


def test_equal_lines_are_told_apart_by_their_order() -> None:
    first, second = named([Place("shell", "a.py", 3), Place("shell", "a.py", 4)], LINES)
    assert first != second
    # Asked in another order, the names are the same ones.
    assert named([Place("shell", "a.py", 4), Place("shell", "a.py", 3)], LINES) == [second, first]
    # Without the first, the second takes its name: one finding has gone, not two.
    assert named([Place("shell", "a.py", 3)], LINES[:2] + LINES[3:]) == [first]


@pytest.mark.parametrize(
    "other",
    [
        Place("eval", "a.py", 3),
        Place("shell", "b.py", 3),
        Place("shell", "a.py", 5),
        Place("shell", "a.py", 3, "GHSA-1"),
    ],
)
def test_rule_file_line_and_detail_make_another_finding(other: Place) -> None:
    assert named([Place("shell", "a.py", 3)], LINES) != named([other], LINES)


@given(
    st.lists(
        st.builds(
            Place,
            st.sampled_from(["r", "s"]),
            st.sampled_from(["a", "b"]),
            st.integers(0, 9),
        ),
        max_size=20,
    )
)
def test_every_finding_has_a_name_of_its_own(places: list[Place]) -> None:
    names = named(places, LINES)
    assert len(set(names)) == len(places)


@pytest.mark.parametrize(
    "line",
    [
        "run(x)  # penstock: ignore[shell] -- input is a constant",
        "run(x);  // penstock: ignore[shell] until 2026-11-21 -- last day",
        "run(x);  /* penstock: ignore[other, shell] -- in a block comment */",
        "<a>  <!-- penstock: ignore[*] -- any rule -->",
    ],
)
def test_a_comment_hides_its_own_line(line: str) -> None:
    read = Suppressions.read(["a", line, "b"], TODAY)
    covering = read.covering("shell", 2)
    assert covering is not None
    assert covering.reason
    assert "*/" not in covering.reason
    assert read.covering("shell", 1) is read.covering("shell", 3) is None
    assert not read.faults


def test_a_comment_of_its_own_hides_the_next_line() -> None:
    lines = [
        "# penstock: ignore[a] -- one",
        "    // penstock: ignore[b] -- two",
        "code",
        "code",
    ]
    read = Suppressions.read(lines, TODAY)
    assert [read.covering(rule, 3) is not None for rule in "abc"] == [True, True, False]
    assert read.covering("a", 4) is None


def test_a_group_of_rules_can_be_named() -> None:
    read = Suppressions.read(["x  # penstock: ignore[dependency:*] -- vendored"], TODAY)
    assert read.covering("dependency:GHSA-1", 1) is not None
    assert read.covering("shell", 1) is None


@pytest.mark.parametrize(
    ("comment", "fault"),
    [
        ("# penstock: ignore[shell]", "no reason"),
        ("# penstock: ignore[shell] -- ", "no reason"),
        ("# penstock: ignore[shell] until 2026-11-20 -- old", "ended on 2026-11-20"),
        ("# penstock: ignore[shell] until soon -- when", "no date"),
        ("# penstock: ignore -- all of it", "write it as"),
        ("# penstock: ignore[] -- nothing", "write it as"),
        ("# penstock: ignore[shell] because", "write it as"),
    ],
)
def test_what_is_not_in_force_hides_nothing_and_says_why(comment: str, fault: str) -> None:
    read = Suppressions.read([f"run(x)  {comment}"], TODAY)
    assert read.covering("shell", 1) is None
    assert [fault in one.fault for one in read.faults] == [True]


def test_a_file_made_of_comments_is_bounded() -> None:
    read = Suppressions.read(["x  # penstock: ignore"] * (MAX_COMMENTS + 5), TODAY)
    assert len(read.faults) == MAX_COMMENTS


def baseline(tmp_path: Path, document: object) -> Baseline:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(document))
    return Baseline.load(path, TODAY)


def test_a_baseline_covers_until_its_end(tmp_path: Path) -> None:
    read = baseline(
        tmp_path,
        {
            "penstock_baseline": 1,
            "findings": [
                {"fingerprint": "aa", "reason": "known", "until": "2026-11-21"},
                {"fingerprint": "bb", "until": "2026-11-20"},
                {"fingerprint": "cc"},
            ],
        },
    )
    assert [read.covers(name) for name in ("aa", "bb", "cc", "dd")] == [True, False, True, False]
    assert (read.reason("aa"), read.reason("cc"), read.expired, len(read)) == ("known", "", 1, 2)


def test_files_can_be_excused_of_rules_with_a_reason(tmp_path: Path) -> None:
    read = baseline(
        tmp_path,
        {
            "paths": [
                {"path": "tests/data/**", "rules": ["*"], "reason": "planted"},
                {"path": "*.lock", "rules": ["secret:*", "x"], "reason": "digests"},
                {"path": "old/**", "rules": ["*"], "reason": "gone", "until": "2026-11-20"},
            ]
        },
    )
    excused = [
        read.excuse(Place(rule, file, 1))
        for rule, file in [
            ("y", "tests/data/a/b.py"),
            ("y", "tests/code.py"),
            ("secret:token", "a/b.lock"),
            ("y", "b.lock"),
            ("y", "old/a.py"),
        ]
    ]
    assert excused == ["planted", None, "digests", None, None]
    assert read.expired == 1
    sieve = Sieve("none", read, lambda _file: [])
    (verdict,), _ = sieve.judge([Place("x", "b.lock", 1)], TODAY)
    assert (verdict.hidden_by, verdict.reason) == ("external", "digests")


@pytest.mark.parametrize("key", ["findings", "violations", "issues"])
def test_an_earlier_output_is_a_baseline(tmp_path: Path, key: str) -> None:
    assert baseline(tmp_path, {key: [{"fingerprint": "aa"}], "passed": False}).covers("aa")


def test_sarif_is_a_baseline(tmp_path: Path) -> None:
    document = sarif_document(Tool("t", "1"), [], [Result("r", "note", "m", "a", 1, "aa")])
    assert baseline(tmp_path, document).covers("aa")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ("{}", "none of the lists"),
        ('{"findings": [{}]}', "entry 1 has no fingerprint"),
        ('{"findings": [{"fingerprint": "a", "until": "x"}]}', "until of entry 1"),
        ('{"penstock_baseline": 2, "findings": []}', "version is 2"),
        ('{"paths": [{"path": "a", "rules": ["*"]}]}', "path 1 has no reason"),
        ('{"paths": [{"path": "a", "reason": "b"}]}', "path 1 needs path and rules"),
        ('{"paths": [{"path": "a", "rules": ["*"], "reason": "b", "file": 1}]}', "1 has file"),
        ('{"paths": [{"path": "[z-a]", "rules": ["*"], "reason": "b"}]}', "pattern"),
        ('{"paths": [{"path": "a", "rules": ["*"], "reason": "b", "until": 3}]}', "of path 1"),
    ],
)
def test_a_bad_baseline_says_what_is_wrong(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    with pytest.raises(AgentError, match=fault) as raised:
        Baseline.load(path, TODAY)
    assert raised.value.code == "bad_baseline"
    assert "known.json" in raised.value.message


def test_a_baseline_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no such file"):
        Baseline.load(tmp_path / "none.json", TODAY)


def test_sarif_tells_rules_places_and_what_is_suppressed() -> None:
    document = sarif_document(
        Tool("security-scanner", "1.0.0"),
        [
            RuleText("shell", "Runs a shell.", "Do not.", ("external/cwe/cwe-78",), "8.0"),
            RuleText("unused", "Found nothing."),
        ],
        [
            Result("shell", "error", "bad", "a b/c#d.py", 3, "aa", properties={"cwe": "CWE-78"}),
            Result("shell", "error", "known", "e.py", 0, "bb", "external", "older"),
            Result("unlisted", "note", "hm", "f.py", 1, "cc", "inSource", "why"),
        ],
    )
    (run,) = document["runs"]  # type: ignore[misc]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["shell", "unlisted"]
    first, second, third = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b/c%23d.py"
    assert place["region"] == {"startLine": 3}
    assert first["partialFingerprints"] == {"penstock/v1": "aa"}
    assert first["suppressions"] == []
    assert "region" not in second["locations"][0]["physicalLocation"]
    assert second["suppressions"] == [{"kind": "external", "justification": "older"}]
    assert third["suppressions"] == [{"kind": "inSource", "justification": "why"}]
    assert (third["ruleIndex"], third["ruleId"]) == (1, "unlisted")


SIEVED = ["a()", "b()  # penstock: ignore[x] -- why", "c()  # nosec", "d()  # penstock: ignore[x]"]


@pytest.mark.parametrize(
    ("obeyed", "hidden", "faults"),
    [
        ("own", [None, "inSource", None, None], 1),
        ("all", [None, "inSource", "inSource", None], 1),
        ("none", [None, None, None, None], 0),
    ],
)
def test_comments_hide_findings_as_far_as_they_are_obeyed(
    obeyed: Obeyed, hidden: list[str | None], faults: int
) -> None:
    sieve = Sieve(obeyed, Baseline(), lambda _file: SIEVED)
    verdicts, found = sieve.judge([Place("x", "a.py", line) for line in range(1, 5)], TODAY)
    assert [verdict.hidden_by for verdict in verdicts] == hidden
    assert len(found) == faults


def test_a_baseline_hides_what_was_known(tmp_path: Path) -> None:
    places = [Place("x", "a.py", 1), Place("y", "a.py", 1)]
    (first, _), _ = Sieve("own", Baseline(), lambda _file: SIEVED).judge(places, TODAY)
    entry = {"fingerprint": first.fingerprint, "reason": "older"}
    (tmp_path / "known.json").write_text(json.dumps({"findings": [entry]}))
    known = baseline_in(tmp_path, "known.json", TODAY)
    verdicts, _ = Sieve("own", known, lambda _file: SIEVED).judge(places, TODAY)
    assert verdicts[0] == Verdict(first.fingerprint, "external", "older")
    assert verdicts[1].hidden_by is None
    assert len(baseline_in(tmp_path, None, TODAY)) == 0


def test_an_artifact_is_written_where_there_is_a_folder(tmp_path: Path) -> None:
    settings = {"PENSTOCK_ARTIFACTS": str(tmp_path)}
    assert write_artifact("reports/a.sarif", "{}", settings)
    assert (tmp_path / "reports/a.sarif").read_text() == "{}"
    assert not write_artifact("a", b"", {})


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../a", "a/../../b", "a\0b", "a b", "a//b", "é", "x" * 201]
)
def test_an_artifact_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentError, match="bad_artifact_name"):
        write_artifact(name, b"", {"PENSTOCK_ARTIFACTS": str(tmp_path)})
