"""How runs are followed, and what agents say while they run."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rich.console import Console

from penstock_cli.client import ServerEvent
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.progressing import look, partial_text
from penstock_cli.run_picture import blank_picture_of, picture_of
from penstock_cli.watching import watch
from tests.unit.shown_runs import (
    END,
    LOST,
    NODE_FAILURE,
    WHOLE,
    FakeApi,
    at_once,
    document,
    drawn,
    event,
    on_paper,
)


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
