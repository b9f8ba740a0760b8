"""How runs are drawn and followed."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from rich.console import Console

from penstock_cli.client import Content, ServerEvent, path_of, read_events
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.history import changes_between
from penstock_cli.progressing import look, partial_text
from penstock_cli.run_picture import blank_picture_of, event_line, picture_of
from penstock_cli.runs import output_lines
from penstock_cli.terminal import duration, moment, span
from penstock_cli.watching import watch

RUN = "6413a103-0000-8000-8000-000000000000"
NODE_FAILURE = {"code": "agent_crashed", "message": "exit 3"}


def document() -> dict[str, Any]:
    return {
        "run": {
            "run_id": RUN,
            "workflow": "demo",
            "status": "running",
            "started_us": 1_767_225_601_000_000,
        },
        "nodes": {name: {"status": "waiting"} for name in ("left", "right", "gate", "tell")},
        "order": ["left", "right", "gate", "tell"],
        "edges": {"left": [], "right": [], "gate": ["left", "right"], "tell": ["gate"]},
        "agents": {"left": "scanner", "right": "scanner", "gate": None, "tell": "notifier"},
    }


def event(version: int, kind: str, **data: object) -> ServerEvent:
    time = f"2026-01-01T00:00:{version:02d}.000000Z"
    return ServerEvent(kind, {"version": version, "time": time, "data": data}, str(version))


WHOLE = (
    event(1, "run_started", started_us=1_767_225_601_000_000),
    event(2, "task_scheduled", node="left", attempt=1),
    event(3, "task_scheduled", node="right", attempt=1),
    event(4, "task_started", node="left", attempt=1, executor="executor-1"),
    event(5, "node_succeeded", node="left", attempt=1),
    event(6, "attempt_failed", node="right", attempt=1, error=NODE_FAILURE),
    event(7, "task_scheduled", node="right", attempt=2),
    event(8, "node_failed", node="right", attempt=2, error=NODE_FAILURE),
    event(
        9,
        "run_failed",
        cause={"node": "right", "error": NODE_FAILURE},
        ended_us=1_767_225_609_000_000,
    ),
)


class FakeApi:
    """Serves one run's events, cut into connections that end where a test says."""

    def __init__(self, *connections: tuple[ServerEvent, ...] | CliFault) -> None:
        self.connections = list(connections)
        self.resumed_after: list[str] = []
        self.said: tuple[ServerEvent, ...] = ()

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return document()

    async def send(
        self, method: str, *path: str, body: object = None, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        return 200, {}

    def fetch(self, *path: str) -> AbstractAsyncContextManager[Content]:
        raise AssertionError(f"nothing is fetched here: {path}")

    @asynccontextmanager
    async def stream(
        self, *path: str, query: Mapping[str, str] | None = None, last_id: str = ""
    ) -> AsyncIterator[AsyncIterator[ServerEvent]]:
        if path[-1] == "logs":
            yield _each(self.said)
            return
        self.resumed_after.append(last_id)
        connection = self.connections.pop(0)
        if isinstance(connection, CliFault):
            raise connection
        yield _each(connection)


async def _each(events: tuple[ServerEvent, ...]) -> AsyncIterator[ServerEvent]:
    for item in events:
        yield item


END = ServerEvent("end", {})
LOST = CliFault("lost", "", ExitCode.UNREACHABLE)


async def at_once(_seconds: float) -> None:
    pass


def on_paper() -> Console:
    return Console(file=io.StringIO(), width=120)


def drawn(picture: Any, now_us: int = 0) -> str:
    console = on_paper()
    console.print(picture.tree(now_us))
    return console.file.getvalue()  # type: ignore[attr-defined]


async def test_watching_prints_a_line_for_each_event_and_gives_the_end():
    console = on_paper()
    picture = await watch(FakeApi((*WHOLE, END)), document(), console=console)
    assert picture.status == "failed"
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert len(text.splitlines()) == len(WHOLE)
    assert "node_failed  right  attempt 2  agent_crashed: exit 3" in text


async def test_watching_goes_on_after_a_lost_connection_where_it_was():
    api = FakeApi(WHOLE[:4], LOST, (*WHOLE[3:], END))
    picture = await watch(api, document(), console=on_paper(), pause=at_once)
    assert picture.status == "failed"
    assert api.resumed_after == ["", "4", "4"]


async def test_watching_gives_up_when_nothing_answers_for_long():
    with pytest.raises(CliFault, match="lost"):
        await watch(FakeApi(*([LOST] * 30)), document(), console=on_paper(), pause=at_once)


async def test_an_unknown_run_is_not_asked_for_again():
    api = FakeApi(CliFault("no such run", "", ExitCode.NOT_FOUND))
    with pytest.raises(CliFault, match="no such run"):
        await watch(api, document(), console=on_paper())


async def test_a_gate_is_told_to_whoever_decides():
    told: list[str] = []

    async def on_event(_picture: object, item: ServerEvent) -> None:
        told.append(item.kind)

    opened = event(2, "gate_opened", node="gate", attempt=1, approval_id="a" * 36)
    api = FakeApi((WHOLE[0], opened, END))
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    await watch(api, document(), console=console, on_event=on_event)
    assert told == ["run_started", "gate_opened"]


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


# --- what agents say while they run -------------------------------------------------------------


def said(kind: str, node: str = "left", attempt: int = 1, **data: object) -> ServerEvent:
    return ServerEvent(kind, {"node": node, "attempt": attempt, "said": data})


async def test_progress_is_printed_where_it_is_news():
    console = on_paper()
    held = asyncio.Event()

    class Slow(FakeApi):
        @asynccontextmanager
        async def stream(
            self, *path: str, query: Mapping[str, str] | None = None, last_id: str = ""
        ) -> AsyncIterator[AsyncIterator[ServerEvent]]:
            async with super().stream(*path, query=query, last_id=last_id) as events:
                yield events if path[-1] == "events" else self._then_end(events)

        async def _then_end(self, events: AsyncIterator[ServerEvent]) -> AsyncIterator[ServerEvent]:
            async for each in events:
                yield each
            held.set()

    async def until_said(_picture: Any, _event: ServerEvent) -> None:
        await held.wait()

    api = Slow((event(1, "run_started", started_us=1), *WHOLE[1:], END))
    api.said = (
        said("progress", fraction=0.1, text="reading"),
        said("progress", fraction=0.15, text="reading"),
        said("progress", fraction=0.3, text="reading"),
        said("partial", n=1),
        said("progress", node="nowhere", fraction=1, text="x"),
        said("log", fraction=1, text="x"),
    )
    async with asyncio.timeout(10):
        await watch(api, document(), console=console, on_event=until_said)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    told = [" ".join(line.split()) for line in lines if "progress" in line]
    assert told == ["running progress left 10% reading", "running progress left 30% reading"]


async def test_the_tree_says_how_far_a_node_is_and_what_it_had():
    picture = blank_picture_of(document())
    for one in WHOLE[:4]:
        picture.apply(one.kind, one.data)
    api = FakeApi()
    api.said = (
        said("progress", fraction=0.5, text="half\x1b[31m"),
        said("partial", n=1),
        said("progress", node="right", attempt=0, text="of before"),
    )
    await look(api, picture)
    assert "50% half␛[31m" in drawn(picture)
    assert "of before" not in drawn(picture)
    assert picture.nodes["left"].partial == {"n": 1}
    error = {**NODE_FAILURE, "partial": {"n": 2}}
    failed = event(5, "node_failed", node="left", attempt=1, error=error)
    picture.apply(failed.kind, failed.data)
    await look(api, picture)
    assert "50%" not in drawn(picture)
    assert picture.nodes["left"].partial == {"n": 2}
    assert '(unchecked): {"n": 2}' in partial_text({"n": 2}).plain


def test_a_partial_result_is_read_beside_the_failure():
    found = document()
    found["nodes"]["left"] = {"status": "failed", "error": {**NODE_FAILURE, "partial": {"n": 2}}}
    assert picture_of(found).nodes["left"].partial == {"n": 2}
    assert picture_of(document()).nodes["left"].partial is None
    assert "characters: --json" in partial_text({"n": "x" * 400}).plain
