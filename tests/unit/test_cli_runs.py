"""How runs are drawn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock_cli.client import ServerEvent, path_of, read_events
from penstock_cli.history import changes_between
from penstock_cli.run_picture import blank_picture_of, event_line, picture_of
from penstock_cli.runs import output_lines
from penstock_cli.terminal import duration, moment, span
from tests.unit.shown_runs import (
    WHOLE,
    document,
    drawn,
    event,
)


def test_the_tree_joins_and_names_what_failed():
    picture = blank_picture_of(document())
    for item in WHOLE:
        picture.apply(item.kind, item.data)
    text = drawn(picture)
    assert "demo  6413a103  failed  8.0 s  right: agent_crashed: exit 3" in text
    assert "✔ left  scanner  succeeded  3.0 s" in text
    assert "✘ right  scanner  failed  attempt 2" in text
    assert "⊘ gate  gate  cancelled" in text
    assert "joins left, right" in text


def test_an_event_seen_twice_changes_nothing():
    picture = blank_picture_of(document())
    for item in (WHOLE[0], WHOLE[1], WHOLE[4], WHOLE[1]):
        picture.apply(item.kind, item.data)
    assert picture.nodes["left"].status == "succeeded"


def test_a_gate_says_which_decision_it_waits_for():
    picture = blank_picture_of(document())
    opened = event(1, "gate_opened", node="gate", approval_id="12345678-aaaa")
    picture.apply(opened.kind, opened.data)
    assert "waits for a decision on 12345678" in drawn(picture)


PLANNED = (
    event(1, "task_scheduled", node="tell", attempt=1, phase="plan"),
    event(2, "plan_made", node="tell", attempt=1, plan={"summary": "two\x1b[2J files"}),
    event(3, "gate_opened", node="tell", attempt=1, approval_id="12345678-aaaa"),
    event(4, "gate_passed", node="tell", attempt=1, by="ada"),
    event(5, "task_scheduled", node="tell", attempt=1, phase="apply"),
    event(6, "task_started", node="tell", attempt=1, executor="executor-1", nonce="n"),
    event(7, "outcome_unknown", node="tell", attempt=1, error={"code": "unknown_outcome"}),
    event(8, "outcome_settled", node="tell", attempt=1, happened=True, by="olga"),
    event(9, "node_succeeded", node="tell", attempt=1),
)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (1, "✎ tell  notifier  planning"),
        (3, "⏸ tell  notifier  gated  waits for a decision on 12345678  two␛[2J files"),
        (5, "… tell  notifier  queued"),
        (6, "▶ tell  notifier  applying"),
        (7, "? tell  notifier  unknown  did it happen? an operator has to say"),
        (9, "✔ tell  notifier  succeeded"),
    ],
)
def test_an_agent_that_plans_is_drawn_at_every_step(seen: int, said: str):
    picture = blank_picture_of(document())
    for item in PLANNED[:seen]:
        picture.apply(item.kind, item.data)
    assert said in drawn(picture)


def test_an_unknown_outcome_outlives_the_run():
    picture = blank_picture_of(document())
    ended = event(8, "run_cancelled", by="olga", ended_us=1)
    for item in (*PLANNED[:7], ended):
        picture.apply(item.kind, item.data)
    assert (picture.nodes["tell"].status, picture.nodes["left"].status) == ("unknown", "cancelled")


def test_a_push_back_sends_nodes_back_to_work_with_the_feedback():
    picture = blank_picture_of(document())
    back = event(
        4, "gate_pushed_back", node="gate", attempt=1, to="right", by="ada",
        feedback="look again", reset=["right", "gate"],
    )  # fmt: skip
    done = (
        event(1, "node_succeeded", node="left", attempt=1),
        event(2, "node_succeeded", node="right", attempt=1),
        event(3, "gate_opened", node="gate", attempt=1, approval_id="12345678-aaaa"),
    )
    for item in (*done, back):
        picture.apply(item.kind, item.data)
    statuses = {name: node.status for name, node in picture.nodes.items()}
    assert (statuses["left"], statuses["right"], statuses["gate"]) == (
        "succeeded", "waiting", "waiting",
    )  # fmt: skip
    assert "right  scanner  waiting  pushed back: look again" in drawn(picture)
    said = event_line(back.kind, back.data).plain
    assert said.endswith("gate_pushed_back  gate  by ada  to right  feedback look again")


def test_a_picture_reads_what_people_have_to_do_with_a_node():
    given = document()
    given["nodes"]["tell"] = {
        "status": "running", "attempt": 1, "phase": "apply", "plan": {"summary": "two files"},
    }  # fmt: skip
    assert "▶ tell  notifier  applying" in drawn(picture_of(given))


COMMIT = "bcf62c8c005beffdd7360983ea1dc3bcc65225a0"
BACKUP = "refs/penstock/backup/799677f0-8376-8708-ad18-83d6d8bed06d"


def told_of(output: dict[str, Any]) -> list[str]:
    return [line.plain for line in output_lines("patch", output, "6413a103")]


def test_what_landed_is_told_whole_and_how_to_take_it_back():
    assert told_of(
        {
            "applied": True, "diff": "x" * 500, "commit": COMMIT, "backup_path": BACKUP,
            "rollback": "#!/bin/sh\n",
        }
    ) == [
        'patch      {"applied": true, "diff": "' + "x" * 133 + "... (all of it: --json)",
        f"commit     patch: {COMMIT}",
        f"backup     patch: {BACKUP}",
        "rollback   patch: a script for sh, nodes.patch.output.rollback of "
        "`penstock runs show 6413a103 --json`",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "output",
    [
        {"applied": False, "backup_path": "", "commit": ""},
        {"commit": 7, "rollback": "none"},
        {"commit": "x" * 100_000},
        {"rollback": "x"},
    ],
)
def test_what_landed_nothing_is_one_line(output: dict[str, Any]):
    (line,) = told_of(output)
    assert line.startswith(f"patch      {json.dumps(output)[:100]}")
    assert len(line) < 220


def test_an_output_cannot_act_on_the_terminal():
    assert told_of({"commit": "\x1b[2J\n"}) == ["commit     patch: ␛[2J␊"]


def test_nodes_stand_below_what_they_need_whatever_their_order():
    given = document()
    given["order"] = ["tell", "gate", "right", "left"]
    lines = drawn(picture_of(given)).splitlines()
    where = {n: next(i for i, t in enumerate(lines) if f" {n} " in t) for n in given["order"]}
    assert where["gate"] > max(where["left"], where["right"])
    assert where["tell"] > where["gate"]


def test_an_event_is_one_line():
    item = event(3, "gate_passed", node="gate", by="ann", reason="fine")
    assert event_line(item.kind, item.data).plain.endswith(
        "waiting   gate_passed  gate  by ann  reason fine"
    )


async def test_server_events_are_taken_apart():
    raw = b': keep-alive\n\nid: 4\nevent: node_failed\ndata: {"n": 1}\n\nevent: end\ndata: {}\n\n'

    async def lines() -> AsyncIterator[bytes]:
        for line in raw.splitlines(keepends=True):
            yield line

    events = [item async for item in read_events(lines())]
    assert events == [ServerEvent("node_failed", {"n": 1}, "4"), ServerEvent("end", {}, "4")]


def test_a_path_keeps_what_is_strange_inside_one_segment():
    assert path_of(["runs", "a/b c"]) == "/api/runs/a%2Fb%20c"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (3.44, "3.4 s"), (125, "2 min 05 s"), (7_500, "2 h 05 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str):
    assert span(seconds) == text


def test_times_that_are_absent_are_a_dash():
    assert (moment(None), duration(None, 5), duration(1_000_000, 3_500_000)) == ("-", "-", "2.5 s")


def test_changes_name_what_an_event_did():
    before = {"status": "running", "version": 1, "inputs": {}}
    after = {"status": "failed", "version": 2, "inputs": {}, "nodes.a.error": None}
    assert [(c.path, c.before, c.after) for c in changes_between(before, after)] == [
        ("status", "running", "failed")
    ]
