"""Subjects are built and parsed in one place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock_contracts import subjects
from penstock_contracts.subjects import STREAM_SUBJECTS, Address, Stream, matches

BUILT: list[tuple[str, str, Stream | None]] = [
    (
        subjects.trigger("t", "ci.build.failed"),
        "penstock.t.trigger.ci.build.failed",
        Stream.TRIGGERS,
    ),
    (
        subjects.catalog("t", "agent", "scan", "register_agent"),
        "penstock.t.catalog.agent.scan.register_agent",
        Stream.CATALOG,
    ),
    (
        subjects.run("t", "run-0", "r", "cancel_run"),
        "penstock.t.run.run-0.r.cancel_run",
        Stream.RUNS,
    ),
    (subjects.task("t", "default", "scan", "k"), "penstock.t.task.default.scan.k", Stream.TASKS),
    (subjects.approval("t", "a", "cast_vote"), "penstock.t.approval.a.cast_vote", Stream.APPROVALS),
    (
        subjects.event("t", "run", "0af1-9", "node_failed"),
        "penstock.t.event.run.0af.node_failed",
        Stream.EVENTS,
    ),
    (subjects.relay_marker("run-0"), "penstock.sys.relay.run-0", Stream.EVENTS),
    (subjects.log("t", "r", "scan"), "penstock.t.log.r.scan", Stream.LOGS),
    (subjects.dead("t", Stream.RUNS, "run-0.r"), "penstock.t.dead.RUNS.run-0.r", Stream.DEAD),
    (subjects.control("t", "k", "cancel"), "penstock.t.control.k.cancel", None),
]


@pytest.mark.parametrize(("built", "text", "stream"), BUILT)
def test_a_subject_is_what_the_table_says_and_its_stream_takes_it(
    built: str, text: str, stream: Stream | None
):
    assert built == text
    takers = [
        name
        for name, patterns in STREAM_SUBJECTS.items()
        if any(matches(pattern, built) for pattern in patterns)
    ]
    assert takers == ([stream] if stream else [])
    tokens = text.split(".")
    assert subjects.parse(built) == Address(tokens[1], tokens[2], tuple(tokens[3:]))


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "*", ">", "a*", "a\tb", "a\r\nPUB x 0", "a\n"])
@pytest.mark.parametrize(
    "build",
    [
        lambda bad: subjects.trigger(bad, "x"),
        lambda bad: subjects.catalog("t", bad, "n", "c"),
        lambda bad: subjects.catalog("t", "k", bad, "c"),
        lambda bad: subjects.catalog("t", "k", "n", bad),
        lambda bad: subjects.run("t", bad, "r", "c"),
        lambda bad: subjects.run("t", "p", bad, "c"),
        lambda bad: subjects.task("t", bad, "a", "k"),
        lambda bad: subjects.task("t", "p", bad, "k"),
        lambda bad: subjects.approval("t", bad, "c"),
        lambda bad: subjects.event("t", "k", bad, "x"),
        lambda bad: subjects.relay_marker(bad),
        lambda bad: subjects.log("t", "r", bad),
        lambda bad: subjects.dead(bad, Stream.RUNS, "x"),
        lambda bad: subjects.control("t", "k", bad),
        lambda bad: subjects.runs_of_partition(bad),
        lambda bad: subjects.tasks_of_pool(bad),
        lambda bad: subjects.logs_of("t", bad),
    ],
)
def test_what_would_break_out_of_its_token_is_refused(build: Callable[[str], str], bad: str):
    with pytest.raises(ValueError, match="not a subject token"):
        build(bad)


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b"])
def test_a_trigger_path_is_words_joined_by_dots(path: str):
    with pytest.raises(ValueError, match="not a subject token"):
        subjects.trigger("t", path)


@pytest.mark.parametrize("text", ["", "penstock", "penstock.t.run", "other.t.run.x", "penstock..."])
def test_other_subjects_are_not_parsed(text: str):
    if text == "penstock...":
        assert subjects.parse(text) == Address("", "", ("",))
        return
    with pytest.raises(ValueError, match="not a Penstock subject"):
        subjects.parse(text)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a", False),
        ("a", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a.b", True),
        ("a.>", "a", False),
        (">", "a", True),
        (">", "a.b.c", True),
        ("*", "a", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
    ],
)
def test_wildcards_match_as_the_server_matches(pattern: str, path: str, fits: bool):
    assert matches(pattern, path) is fits


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        (
            subjects.runs_of_partition("run-0"),
            subjects.run("t", "run-0", "r", "c"),
            subjects.run("t", "run-1", "r", "c"),
        ),
        (
            subjects.tasks_of_pool("p"),
            subjects.task("t", "p", "a", "k"),
            subjects.task("t", "q", "a", "k"),
        ),
        (
            subjects.events_of("t", "run", "0af1-9"),
            subjects.event("t", "run", "0aff-3", "x"),
            subjects.event("t", "run", "0ae1-9", "x"),
        ),
        (
            subjects.events_of("t", "run", event_type="run_failed"),
            subjects.event("t", "run", "r", "run_failed"),
            subjects.event("t", "run", "r", "run_succeeded"),
        ),
        (
            subjects.events_of("t"),
            subjects.event("t", "run", "r", "x"),
            subjects.event("u", "run", "r", "x"),
        ),
        (subjects.logs_of("t", "r"), subjects.log("t", "r", "n"), subjects.log("t", "s", "n")),
        (
            subjects.control_filter(verb="claim"),
            subjects.control("t", "k", "claim"),
            subjects.control("t", "k", "cancel"),
        ),
    ],
)
def test_filters_take_theirs_and_nothing_else(pattern: str, fits: str, does_not: str):
    assert matches(pattern, fits)
    assert not matches(pattern, does_not)


def test_partitions_have_names():
    assert subjects.run_partition(3) == "run-3"
    assert subjects.run_partition_count(["catalog", "run-0", "run-3"]) == 4
    assert subjects.run_partition_count(["catalog"]) == 0
