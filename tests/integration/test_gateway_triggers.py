"""Triggers over HTTP: by hand, by path, from Alertmanager."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import gateway_trigger_id, run_id, trigger_aggregate_id
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import MatchedRun, TriggerIgnored, TriggerMatched
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.bus import Published
from tests.integration.gateway_world import (
    DIGEST,
    QUICK,
    RUNS,
    Said,
    World,
    problem_of,
    serving,
)

TRIGGER = "/api/workflows/demo/trigger"
GROUP: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}:{alertname="DiskFull"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "penstock",
    "groupLabels": {"alertname": "DiskFull"},
    "commonLabels": {"alertname": "DiskFull"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "host": "a"},
            "annotations": {"summary": "disk is full"},
            "startsAt": "2026-11-21T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "c0ffee",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "Disk full!"},
            "annotations": {},
            "startsAt": "2026-11-21T09:00:00Z",
            "endsAt": "2026-11-21T09:30:00Z",
            "generatorURL": "",
            "fingerprint": "beef",
        },
    ],
}


def trigger_id_of(envelope: Envelope) -> str:
    return gateway_trigger_id(envelope.source, envelope.id)


def matched(envelope: Envelope) -> list[Said]:
    """What the catalog says of a trigger that fits `demo`."""
    trigger_id = trigger_id_of(envelope)
    run = run_id(DEFAULT_TENANT, "demo", trigger_id)
    found = MatchedRun(run_id=run, partition=RUNS, workflow="demo", definition_digest=DIGEST)
    told = TriggerMatched(
        tenant=DEFAULT_TENANT,
        trigger_id=trigger_id,
        path=str(envelope.subject),
        runs=(found,),
        faults=("other: inputs do not fit",),
        matched_us=1,
    )
    return [(CATALOG_PARTITION, trigger_aggregate_id(DEFAULT_TENANT, trigger_id), told)]


def refusing(code: Code, detail: str) -> Any:
    def ignored(envelope: Envelope) -> list[Said]:
        trigger_id = trigger_id_of(envelope)
        told = TriggerIgnored(
            tenant=DEFAULT_TENANT,
            trigger_id=trigger_id,
            path=str(envelope.subject),
            code=code,
            detail=detail,
        )
        return [(CATALOG_PARTITION, trigger_aggregate_id(DEFAULT_TENANT, trigger_id), told)]

    return ignored


def world_of(answer: Any = None, **more: Any) -> tuple[World, dict[str, str]]:
    world = World(**more)
    headers = world.token("olga", "operator")
    world.apply_workflow()
    if answer is not None:
        world.scripts["penstock.manual"] = answer
        world.scripts["penstock.webhook"] = answer
    return world, headers


async def test_a_trigger_is_answered_once_its_run_can_be_read():
    world, headers = world_of()

    def answer(envelope: Envelope) -> list[Said]:
        said = matched(envelope)
        for partition, aggregate, event in said:
            world.emit(partition, aggregate, event, trigger_id_of(envelope))
        world.start_run(trigger_id_of(envelope))
        return []

    world.scripts["penstock.manual"] = answer
    async with serving(world) as client:
        reply = await client.post(TRIGGER, json={"inputs": {"depth": 3}}, headers=headers)
        body = await reply.json()
        assert reply.status == 201
        (run,) = body["runs"]
        assert run == {"run_id": run["run_id"], "workflow": "demo"}
        assert body["faults"] == ["other: inputs do not fit"]
        shown = await client.get(f"/api/runs/{run['run_id']}", headers=headers)
        assert (await shown.json())["run"]["status"] == "running"
        ((subject, envelope),) = world.sent
        assert subject == subjects.gateway_trigger(DEFAULT_TENANT, "workflow.demo")
        assert envelope.data == {"inputs": {"depth": 3}}
        assert (envelope.actor, envelope.tenant) == ("token:olga", DEFAULT_TENANT)
        assert envelope.traceparent


async def test_a_trace_is_continued():
    world, headers = world_of(waits=QUICK)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with serving(world) as client:
        given = {**headers, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        await client.post(TRIGGER, json={}, headers=given)
        assert str(world.sent[0][1].traceparent).startswith(f"00-{trace}-")


async def test_a_trigger_that_is_not_matched_in_time_was_delivered():
    world, headers = world_of(waits=QUICK)
    async with serving(world) as client:
        reply = await client.post(TRIGGER, headers=headers)
        body = await reply.json()
        assert (reply.status, body["status"]) == (202, "delivered")
        assert body["trigger_id"] == trigger_id_of(world.sent[0][1])


async def test_the_same_key_three_times_is_one_trigger():
    world, headers = world_of(matched, waits=QUICK)
    headers["Idempotency-Key"] = "build-4711"
    async with serving(world) as client:
        bodies: list[Any] = []
        for _ in range(3):
            reply = await client.post(TRIGGER, json={}, headers=headers)
            assert reply.status == 201
            bodies.append(await reply.json())
        assert bodies[0] == bodies[1] == bodies[2]
        assert len(world.sent) == 1


async def test_a_refused_trigger_with_a_key_is_refused_again():
    world, headers = world_of(refusing(Code.INVALID_INPUTS, "/depth: 3 is too deep"), waits=QUICK)
    headers["Idempotency-Key"] = "build-4711"
    async with serving(world) as client:
        for _ in range(2):
            reply = await client.post(TRIGGER, json={}, headers=headers)
            body = await problem_of(reply, 422, "invalid_inputs")
            assert body["detail"] == "/depth: 3 is too deep"
        assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.UNKNOWN_WORKFLOW, 404), (Code.NO_MATCH, 404), (Code.CONDITION_FAILED, 422)],
)
async def test_why_nothing_started_is_told(code: Code, status: int):
    world, headers = world_of(refusing(code, "why"))
    async with serving(world) as client:
        reply = await client.post("/api/workflows/nothing/trigger", json={}, headers=headers)
        assert (await problem_of(reply, status, code.value))["detail"] == "why"


@pytest.mark.parametrize("outcome", [Published.FAILED, Published.FULL])
async def test_a_bus_that_takes_nothing_is_503(outcome: Published):
    world, headers = world_of()
    world.refuse = outcome
    async with serving(world) as client:
        reply = await client.post(TRIGGER, json={}, headers=headers)
        await problem_of(reply, 503, "unavailable")
        assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize("body", [{"input": {}}, {"inputs": [1]}, {"inputs": None}])
async def test_a_typing_error_in_the_body_is_told(body: Any):
    world, headers = world_of(waits=QUICK)
    async with serving(world) as client:
        reply = await client.post(TRIGGER, json=body, headers=headers)
        told = await problem_of(reply, 422, "malformed")
        assert told["detail"].startswith(next(iter(body)))
        assert world.sent == []


async def test_any_json_is_a_trigger_under_a_path():
    world, headers = world_of(matched, waits=QUICK)
    async with serving(world) as client:
        reply = await client.post("/api/triggers/ci.build.failed", json=[1, "x"], headers=headers)
        assert reply.status == 201
        ((subject, envelope),) = world.sent
        assert subject == subjects.gateway_trigger(DEFAULT_TENANT, "ci.build.failed")
        assert (envelope.type, envelope.data) == ("penstock.webhook", [1, "x"])


@pytest.mark.parametrize(
    "path", ["a..b", "a.*", "a.%3E", "a%20b", "%C3%A9", "x" * 201, "y" * 2000, "a%0A"]
)
async def test_a_path_that_is_no_subject_is_refused(path: str):
    world, headers = world_of(waits=QUICK)
    async with serving(world) as client:
        reply = await client.post(f"/api/triggers/{path}", json={}, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


async def test_a_group_of_alerts_becomes_one_trigger_an_alert():
    world, headers = world_of()
    async with serving(world) as client:
        body: dict[str, Any] = {}
        for _ in range(2):  # Alertmanager sends groups again
            reply = await client.post("/api/webhooks/alertmanager", json=GROUP, headers=headers)
            body = await reply.json()
            assert (reply.status, body["accepted"]) == (202, 2)
        first, second, again, _ = world.sent
        fired, resolved = "alertmanager.firing.DiskFull", "alertmanager.resolved.Disk_full_"
        assert first[0] == subjects.gateway_trigger(DEFAULT_TENANT, fired)
        assert second[0] == subjects.gateway_trigger(DEFAULT_TENANT, resolved)
        assert first[1].id == again[1].id != second[1].id
        assert body["trigger_ids"] == [trigger_id_of(item[1]) for item in world.sent[2:]]


@pytest.mark.parametrize(
    "change", [{"version": "3"}, {"status": "odd"}, {"groupKey": None}, {"alerts": [{}]}]
)
async def test_another_format_is_refused_with_its_place(change: dict[str, Any]):
    world, headers = world_of()
    async with serving(world) as client:
        body = {**GROUP, **change}
        reply = await client.post("/api/webhooks/alertmanager", json=body, headers=headers)
        told = await problem_of(reply, 422, "malformed")
        assert told["detail"].startswith(next(iter(change)))
        assert world.sent == []
