"""Runs over HTTP: lists, one run, cancel, live events and logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from aiohttp import ClientResponse

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import run_id
from penstock_contracts.run import v1 as run
from penstock_contracts.task.v1 import LOG_TYPE, LogLines
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.tail import StreamTail
from penstock_webhook_gateway.http.context import DOORS
from penstock_webhook_gateway.http.live import EARLIER_US, STREAMS, STREAMS_BUSY
from penstock_webhook_gateway.http.places import Places
from tests.integration.gateway_world import (
    NOTHING,
    QUICK,
    RUNS,
    STARTED_US,
    Said,
    World,
    problem_of,
    serving,
)


def world_of(**more: Any) -> tuple[World, dict[str, str]]:
    world = World(**more)
    headers = world.token("olga", "operator")
    world.apply_workflow()
    return world, headers


async def test_runs_are_listed_newest_first_a_page_at_a_time():
    world, headers = world_of()
    runs = [world.start_run(f"t-{number}") for number in range(5)]
    world.cancelled(runs[0])
    async with serving(world) as client:
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "2", "before": cursor, "workflow": "demo"}
            reply = await client.get("/api/runs", params=query, headers=headers)
            body = await reply.json()
            seen += [item["run_id"] for item in body["items"]]
            cursor = body["next"]
        assert sorted(seen) == sorted(runs)
        assert len(seen) == len(set(seen))
        reply = await client.get("/api/runs", params={"status": "cancelled"}, headers=headers)
        (item,) = (await reply.json())["items"]
        assert item["run_id"] == runs[0]
        assert item["ended_us"] == STARTED_US + 5
        reply = await client.get("/api/runs", params={"workflow": "none"}, headers=headers)
        assert (await reply.json()) == {"items": [], "next": None}


async def test_a_run_is_shown_by_the_beginning_of_its_id():
    world, headers = world_of()
    run_ = world.start_run()
    world.open_gate(run_)
    async with serving(world) as client:
        body = await (await client.get(f"/api/runs/{run_[:8]}", headers=headers)).json()
        assert body["run"]["run_id"] == run_
        assert body["nodes"]["ask"]["status"] == "gated"
        assert body["order"] == ["ask"]
        assert len(body["state_hash"]) == 64
        await problem_of(await client.get("/api/runs/zzzz", headers=headers), 404, "unknown_run")
        await problem_of(await client.get("/api/runs/ab", headers=headers), 404, "unknown_run")


async def test_cancelling_is_answered_by_what_became_of_it():
    world, headers = world_of()
    run_ = world.start_run()

    def cancel(_: Envelope) -> list[Said]:
        return [(RUNS, run_, run.RunCancelled(by="token:olga", reason="stop", ended_us=1))]

    world.scripts[run.CancelRun.TYPE] = cancel
    async with serving(world) as client:
        reply = await client.post(
            f"/api/runs/{run_}/cancel", json={"reason": "stop"}, headers=headers
        )
        assert (reply.status, (await reply.json())["status"]) == (200, "cancelled")
        ((subject, envelope),) = world.sent
        assert subject == subjects.run(DEFAULT_TENANT, RUNS, run_, "cancel_run")
        assert envelope.data == {"run_id": run_, "reason": "stop"}


async def test_a_refusal_of_the_service_is_the_answer():
    world, headers = world_of()
    run_ = world.start_run()

    def refuse(envelope: Envelope) -> list[Said]:
        told = run.CommandRejected(
            command_id=envelope.id,
            command=envelope.type,
            code=Code.ALREADY_ENDED,
            detail="the run has ended already",
        )
        return [(RUNS, run_, told)]

    world.scripts[run.CancelRun.TYPE] = refuse
    async with serving(world) as client:
        path = f"/api/runs/{run_}/cancel"
        keyed = {**headers, "Idempotency-Key": "k"}
        for given in (headers, keyed, keyed):
            body = await problem_of(await client.post(path, headers=given), 409, "already_ended")
            assert body["detail"] == "the run has ended already"
        assert len(world.sent) == 2  # the key's second request was answered by what is kept


async def test_a_repeated_request_is_answered_as_the_first_though_it_leaves_no_event_again():
    world, headers = world_of(waits=QUICK)
    first, second = (world.start_run(trigger) for trigger in ("t-1", "t-2"))

    def cancel(envelope: Envelope) -> list[Said]:
        ended = run.RunCancelled(by=str(envelope.actor), ended_us=STARTED_US + 9)
        return [(RUNS, first, ended)]

    world.scripts[run.CancelRun.TYPE] = cancel
    keyed = {**headers, "Idempotency-Key": "k"}
    async with serving(world) as client:
        answers: list[Any] = []
        for _ in range(2):
            reply = await client.post(f"/api/runs/{first}/cancel", headers=keyed)
            answers.append((reply.status, await reply.json()))
            world.scripts[run.CancelRun.TYPE] = lambda _: []  # it was decided on
        assert answers[0] == answers[1]
        assert answers[0][1]["status"] == "cancelled"
        reply = await client.post(f"/api/runs/{second}/cancel", headers=keyed)
        await problem_of(reply, 504, "unavailable")  # the key says nothing of another run
        assert len(world.sent) == 2


async def test_a_key_of_one_caller_says_nothing_to_another():
    world, headers = world_of(waits=QUICK)
    other = world.token("otto", "operator")
    run_ = world.start_run()
    ended = run.RunCancelled(by="x", ended_us=STARTED_US + 9)
    world.scripts[run.CancelRun.TYPE] = lambda _: [(RUNS, run_, ended)]
    async with serving(world) as client:
        path = f"/api/runs/{run_}/cancel"
        reply = await client.post(path, headers={**headers, "Idempotency-Key": "k"})
        assert reply.status == 200
        world.scripts[run.CancelRun.TYPE] = lambda _: []
        reply = await client.post(path, headers={**other, "Idempotency-Key": "k"})
        await problem_of(reply, 504, "unavailable")


@pytest.mark.parametrize("body", [{"why": "x"}, {"reason": 3}, {"reason": "x" * 4097}])
async def test_a_bad_reason_is_refused(body: dict[str, Any]):
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.post(f"/api/runs/{run_}/cancel", json=body, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


async def test_an_outcome_that_does_not_come_is_504():
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.post(f"/api/runs/{run_}/cancel", headers=headers)
        await problem_of(reply, 504, "unavailable")


# --- live events --------------------------------------------------------------------------------


async def frames(reply: ClientResponse) -> list[dict[str, Any]]:
    """Read a stream to its end: id, event and data of each frame; comments are dropped."""
    async with asyncio.timeout(10):
        text = (await reply.read()).decode()
    found: list[dict[str, Any]] = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


async def one(reply: ClientResponse) -> dict[str, str]:
    """Read the next frame of a stream."""
    async with asyncio.timeout(10):
        block = (await reply.content.readuntil(b"\n\n")).decode()
    return dict(line.split(": ", 1) for line in block.strip().splitlines())


async def test_events_are_followed_live_until_the_run_ends():
    world, headers = world_of()
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/events", headers=headers)
        assert reply.content_type == "text/event-stream"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert await one(reply) | {"data": ""} == {"id": "1", "event": "run_started", "data": ""}
        world.open_gate(run_)
        assert (await one(reply))["event"] == "gate_opened"
        world.cancelled(run_)
        last = await frames(reply)
        assert [frame["event"] for frame in last] == ["run_cancelled", "end"]
        assert last[0]["data"]["type"] == "run.run_cancelled.v1"
        assert last[0]["data"]["data"]["by"] == "token:operator"


@pytest.mark.parametrize(
    ("seen", "rest"),
    [(0, ["1", "2", "3"]), (1, ["2", "3"]), (2, ["3"]), (3, []), (9, [])],
)
@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_stream_is_resumed_behind_the_last_event_seen(seen: int, rest: list[str], how: str):
    world, headers = world_of()
    run_ = world.start_run()
    world.open_gate(run_)
    world.cancelled(run_)
    async with serving(world) as client:
        given = {**headers, "Last-Event-ID": str(seen)} if how == "header" else headers
        query = {"after": str(seen)} if how == "query" else {}
        reply = await client.get(f"/api/runs/{run_}/events", params=query, headers=given)
        told = await frames(reply)
        assert [frame["id"] for frame in told if "id" in frame] == rest
        assert told[-1]["event"] == "end"


async def test_no_event_is_shown_twice_or_in_front_of_a_gap():
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    gate = world.published(
        RUNS, run_,
        run.GateOpened(
            node="ask", attempt=1, approval_id=run_, binding=NOTHING, opened_us=1, expires_us=2
        ),
    )  # fmt: skip
    end = world.published(RUNS, run_, run.RunCancelled(by="x", ended_us=3))
    for message in (end, gate, gate, end):  # a unit whose first part was lost and sent again
        world.server.store(*message)
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/events", headers=headers)
        told = await frames(reply)
        assert [frame.get("id") for frame in told] == ["1", "2", "3", None]


async def test_silence_is_filled_with_comments():
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/events", headers=headers)
        await one(reply)
        async with asyncio.timeout(10):
            assert await reply.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        reply.close()


async def test_another_run_of_the_shard_is_neither_shown_nor_taken_for_a_sign_of_life():
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    shard = subjects.shard_of(run_)
    names = (f"t-{number}" for number in count(2))
    other = next(name for name in names if run_id(DEFAULT_TENANT, "demo", name).startswith(shard))
    beside = world.start_run(other)
    assert subjects.events_of(DEFAULT_TENANT, "run", beside) == subjects.events_of(
        DEFAULT_TENANT, "run", run_
    )
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/events", headers=headers)
        assert (await one(reply))["id"] == "1"
        world.open_gate(beside)
        world.cancelled(beside)
        world.cancelled(run_)
        told = await frames(reply)
        assert [frame["event"] for frame in told] == ["run_cancelled", "end"]
        assert told[0]["id"] == "2"


class NotedTail:
    """Fulfils the port `StreamTail`, and notes since when something is followed."""

    def __init__(self, inner: StreamTail) -> None:
        self.inner = inner
        self.since: list[int] = []

    def follow(
        self, stream: str, subject_filter: str, from_sequence: int = 1, since_us: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Received]]:
        self.since.append(since_us)
        return self.inner.follow(stream, subject_filter, from_sequence, since_us)


async def test_what_came_long_before_the_run_is_not_read():
    world, headers = world_of(waits=QUICK)
    run_ = world.start_run()
    world.cancelled(run_)
    tail = NotedTail(world.app[DOORS].tail)
    world.app[DOORS] = replace(world.app[DOORS], tail=tail)
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/events", headers=headers)
        assert (await frames(reply))[-1]["event"] == "end"
    assert tail.since == [STARTED_US - EARLIER_US]


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "\u0664"])
async def test_a_bad_place_is_refused(given: str):
    world, headers = world_of()
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.get(
            f"/api/runs/{run_}/events", params={"after": given}, headers=headers
        )
        await problem_of(reply, 400, "malformed")


async def test_streams_are_bounded():
    world, headers = world_of()
    run_ = world.start_run()
    world.app[STREAMS] = Places(1, STREAMS_BUSY)
    async with serving(world) as client:
        first = await client.get(f"/api/runs/{run_}/events", headers=headers)
        await one(first)
        second = await client.get(f"/api/runs/{run_}/events", headers=headers)
        await problem_of(second, 503, "unavailable")
        world.cancelled(run_)
        await frames(first)
        third = await client.get(f"/api/runs/{run_}/events", headers=headers)
        assert (await frames(third))[-1]["event"] == "end"


# --- logs ---------------------------------------------------------------------------------------


def say(world: World, run_: str, first: int, *lines: tuple[str, str]) -> None:
    body = LogLines(task_id=run_, node="ask", attempt=1, first=first, at_us=7, lines=lines)
    envelope = Envelope(id=f"l{first}", source="here", type=LOG_TYPE, data=body.to_data())
    world.server.store(subjects.log(DEFAULT_TENANT, run_, "ask"), envelope.encode())


async def test_logs_so_far_are_given_at_once():
    world, headers = world_of()
    run_ = world.start_run()
    say(world, run_, 0, ("stdout", "one\nevent: fake"), ("stderr", "two"))
    world.server.store(subjects.log(DEFAULT_TENANT, run_, "ask"), b"not a message")
    say(world, run_, 2, ("stdout", "three"))
    async with serving(world) as client:
        told = await frames(await client.get(f"/api/runs/{run_}/logs", headers=headers))
        assert [frame["event"] for frame in told] == ["log", "log", "log", "end"]
        assert [frame["data"].get("text") for frame in told[:3]] == [
            "one\nevent: fake", "two", "three",
        ]  # fmt: skip
        assert told[1]["data"] == {
            "node": "ask", "attempt": 1, "at_us": 7, "stream": "stderr", "text": "two",
        }  # fmt: skip


async def test_progress_and_partial_results_are_events_of_their_own():
    world, headers = world_of()
    run_ = world.start_run()
    say(
        world, run_, 0, ("progress", '{"fraction": 0.5, "text": "half"}'),
        ("partial", '{"found": 1}'), ("partial", "{"),
    )  # fmt: skip
    async with serving(world) as client:
        told = await frames(await client.get(f"/api/runs/{run_}/logs", headers=headers))
    assert [frame["event"] for frame in told] == ["progress", "partial", "end"]
    assert told[0]["data"] == {
        "node": "ask", "attempt": 1, "at_us": 7, "said": {"fraction": 0.5, "text": "half"},
    }  # fmt: skip
    assert told[1]["data"]["said"] == {"found": 1}


async def test_logs_are_followed_until_the_run_ends():
    world, headers = world_of()
    run_ = world.start_run()
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{run_}/logs?follow=1", headers=headers)
        say(world, run_, 0, ("stdout", "late"))
        async with asyncio.timeout(10):
            while b"late" not in await reply.content.readuntil(b"\n\n"):
                pass
        world.cancelled(run_)
        assert (await frames(reply))[-1]["event"] == "end"
