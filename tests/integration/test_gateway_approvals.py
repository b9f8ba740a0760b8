"""Approvals over HTTP: listed, shown and decided; and parked messages."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from penstock_contracts import subjects
from penstock_contracts.approval import v1 as approval
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive
from penstock_contracts.partition import v1 as partition
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_contracts.values import DEFAULT_TENANT
from penstock_testkit.fakes.clock import turns
from tests.integration.gateway_world import (
    NOTHING,
    QUICK,
    RUNS,
    Said,
    World,
    problem_of,
    serving,
)

GATE = derive("approval", "gate")


def with_gate(*roles: str, **more: Any) -> tuple[World, dict[str, str]]:
    """A world in which one approval waits."""
    world = World(**more)
    headers = world.token("ada", *roles)
    world.apply_workflow()
    run_ = world.start_run()
    asked = approval.ApprovalRequested(
        tenant=DEFAULT_TENANT, run_id=run_, partition=RUNS, workflow="demo", node="ask",
        attempt=1, title="Go on?", binding=NOTHING, requested_us=5, expires_us=50,
    )  # fmt: skip
    world.emit(APPROVAL_PARTITION, GATE, asked)
    return world, headers


async def test_an_approval_is_listed_and_shown_with_its_run():
    world, headers = with_gate("viewer")
    async with serving(world) as client:
        reply = await client.get("/api/approvals", params={"status": "pending"}, headers=headers)
        (item,) = (await reply.json())["items"]
        assert (item["approval_id"], item["title"], item["missing"]) == (GATE, "Go on?", 1)
        reply = await client.get(f"/api/approvals/{GATE[:6]}", headers=headers)
        shown = await reply.json()
        assert {name: shown[name] for name in item} == item
        reply = await client.get(f"/api/runs/{item['run_id']}", headers=headers)
        assert [one["approval_id"] for one in (await reply.json())["approvals"]] == [GATE]
        reply = await client.get("/api/approvals/nobody", headers=headers)
        await problem_of(reply, 404, "unknown_approval")


@pytest.mark.parametrize(("decision", "status"), [("approve", "approved"), ("reject", "rejected")])
async def test_a_decision_is_cast_as_the_caller(decision: str, status: str):
    world, headers = with_gate("approver")

    def decide(envelope: Envelope) -> list[Said]:
        vote = approval.CastVote.model_validate(envelope.data)
        cast = approval.VoteCast(
            choice=vote.choice, user=vote.user, roles=vote.roles, reason=vote.reason
        )
        settled = (
            approval.ApprovalGranted(
                by=(vote.user,), reason=vote.reason, granted_us=6, expires_us=60
            )
            if vote.choice is approval.Choice.APPROVE
            else approval.ApprovalRejected(by=(vote.user,), reason=vote.reason)
        )
        return [(APPROVAL_PARTITION, GATE, cast), (APPROVAL_PARTITION, GATE, settled)]

    world.scripts[approval.CastVote.TYPE] = decide
    async with serving(world) as client:
        body = {"decision": decision, "reason": "read it"}
        reply = await client.post(f"/api/approvals/{GATE}/respond", json=body, headers=headers)
        told = await reply.json()
        assert (reply.status, told["status"]) == (200, status)
        assert (told["decided_by"], told["reason"]) == (["ada"], "read it")
        assert [vote["user"] for vote in told["votes"]] == ["ada"]
        ((subject, envelope),) = world.sent
        assert subject == subjects.approval(DEFAULT_TENANT, GATE, "cast_vote")
        assert envelope.data == {
            "approval_id": GATE, "choice": decision, "reason": "read it", "user": "ada",
            "roles": ["approver"],
        }  # fmt: skip


async def test_a_vote_is_answered_with_what_it_settles_even_if_that_is_shown_later():
    world, headers = with_gate("approver")
    late: list[asyncio.Task[None]] = []

    async def settle(cause: str) -> None:
        await world.settled()  # the vote is shown, and its request could be answered
        await turns(50)
        rejected = approval.ApprovalRejected(by=("ada",), reason="read it")
        world.emit(APPROVAL_PARTITION, GATE, rejected, cause)

    def decide(envelope: Envelope) -> list[Said]:
        late.append(asyncio.create_task(settle(envelope.id)))
        cast = approval.VoteCast(choice=approval.Choice.REJECT, user="ada", reason="read it")
        return [(APPROVAL_PARTITION, GATE, cast)]

    world.scripts[approval.CastVote.TYPE] = decide
    async with serving(world) as client:
        body = {"decision": "reject", "reason": "read it"}
        reply = await client.post(f"/api/approvals/{GATE}/respond", json=body, headers=headers)
        assert (await reply.json())["status"] == "rejected"
        await asyncio.gather(*late)


async def test_who_is_not_among_the_approvers_is_told_by_the_service():
    world, headers = with_gate("viewer")

    def refuse(envelope: Envelope) -> list[Said]:
        told = approval.CommandRejected(
            command_id=envelope.id, command=envelope.type, code=Code.NOT_ALLOWED, detail="not you"
        )
        return [(APPROVAL_PARTITION, GATE, told)]

    world.scripts[approval.CastVote.TYPE] = refuse
    async with serving(world) as client:
        path = f"/api/approvals/{GATE}/respond"
        reply = await client.post(path, json={"decision": "approve"}, headers=headers)
        await problem_of(reply, 403, "not_allowed")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "maybe"},
        {"decision": ["approve"]},
        {"decision": "approve", "as": "eve"},
        {"decision": "reject", "reason": "x" * 4097},
    ],
)
async def test_a_bad_decision_is_never_sent(body: dict[str, Any]):
    world, headers = with_gate("approver", waits=QUICK)
    async with serving(world) as client:
        reply = await client.post(f"/api/approvals/{GATE}/respond", json=body, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (approval.ApprovalExpired(), "expired"),
        (approval.ApprovalWithdrawn(reason="ended"), "withdrawn"),
    ],
)
async def test_an_approval_that_nobody_decided_says_so(event: Any, status: str):
    world, headers = with_gate("viewer")
    world.emit(APPROVAL_PARTITION, GATE, event)
    async with serving(world) as client:
        reply = await client.get("/api/approvals", params={"status": status}, headers=headers)
        assert [item["approval_id"] for item in (await reply.json())["items"]] == [GATE]


# --- parked messages ----------------------------------------------------------------------------


async def test_parked_messages_are_listed_shown_and_put_back():
    world = World()
    headers = world.token("olga", "operator")
    world.apply_workflow()
    run_ = world.start_run()
    parked = partition.MessageParked(
        stream="RUNS", sequence=9, subject="s", code=Code.MALFORMED, detail="no JSON",
        aggregate=run_, raw=base64.b64encode(b"{").decode(), size_bytes=1,
    )  # fmt: skip
    world.emit(RUNS, run_, parked)

    def redrive(envelope: Envelope) -> list[Said]:
        told = partition.MessageRedriven(stream="RUNS", sequence=9, by=str(envelope.actor))
        return [(RUNS, run_, told)]

    world.scripts[partition.RedriveMessages.TYPE] = redrive
    async with serving(world) as client:
        reply = await client.get("/api/dead", params={"stream": "RUNS"}, headers=headers)
        (item,) = (await reply.json())["items"]
        assert (item["status"], item["detail"], item["holder"]) == ("parked", "no JSON", run_)
        assert "raw" not in item
        path = f"/api/dead/{item['id']}"
        assert (await (await client.get(path, headers=headers)).json())["raw"] == "ew=="
        frozen = await (await client.get(f"/api/runs/{run_}", headers=headers)).json()
        assert frozen["run"]["frozen"]
        reply = await client.post(f"{path}/redrive", headers=headers)
        told = await reply.json()
        assert told["redriven"] == [{"id": item["id"], "status": "redriven", "subject": "s"}]
        assert world.sent[0][0] == subjects.run(DEFAULT_TENANT, RUNS, run_, "redrive_messages")
        thawed = await (await client.get(f"/api/runs/{run_}", headers=headers)).json()
        assert thawed["run"]["frozen"] == []
        await problem_of(await client.get("/api/dead/nothing", headers=headers), 404, "no_match")


@pytest.mark.parametrize(
    ("home", "door"),
    [
        (CATALOG_PARTITION, subjects.catalog(DEFAULT_TENANT, "parked", GATE, "redrive_messages")),
        (APPROVAL_PARTITION, subjects.approval(DEFAULT_TENANT, GATE, "redrive_messages")),
    ],
)
async def test_what_is_parked_by_itself_is_reached_through_its_owner(home: str, door: str):
    world = World(waits=QUICK)
    headers = world.token("olga", "operator")
    parked = partition.MessageParked(stream="TRIGGERS", sequence=9, subject="s", code="malformed")
    world.emit(home, GATE, parked)
    async with serving(world) as client:
        items = (await (await client.get("/api/dead", headers=headers)).json())["items"]
        reply = await client.post(f"/api/dead/{items[0]['id']}/redrive", headers=headers)
        await problem_of(reply, 504, "unavailable")
        assert [subject for subject, _ in world.sent] == [door]
