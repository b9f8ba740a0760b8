"""Faults of streams, of executors, and of what waits for people: seeded and explained."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock_adapters.nats.heartbeats import NatsHeartbeats
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.streams import stream_settings
from penstock_adapters.nats.work import durable_of
from penstock_cli.doctor.codes import Code
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import Stream, dead, task
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.bus import Outgoing, Published
from tests.integration.doctor_scene import commands
from tests.integration.doctor_servers import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

GATEWAY = "penstock_gateway"


# --- streams ------------------------------------------------------------------------------------


async def test_a_stream_that_is_gone_is_made_again_by_its_owner(bench: Bench):
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"STREAM.DELETE.{Stream.LOGS}")
    found = await bench.shows({Code.STREAM_MISSING})
    assert "penstock up" in found.one(Code.STREAM_MISSING, "stream LOGS").mend
    await bench.make_streams()  # as the scheduler does when it starts
    await bench.shows(set())


async def test_a_stream_with_other_settings_is_set_again(bench: Bench):
    other = stream_settings(Stream.EVENTS) | {"max_age": 3_600 * 10**9}
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"STREAM.UPDATE.{Stream.EVENTS}", other)
    found = await bench.shows({Code.STREAM_DRIFTED})
    finding = found.one(Code.STREAM_DRIFTED, "stream EVENTS")
    assert "max_age is 3600000000000" in finding.detail
    assert "penstock up" in finding.mend
    await bench.make_streams()
    await bench.shows(set())


@pytest.mark.parametrize(
    ("part", "code"), [(0.85, Code.STREAM_FILLING), (1.0, Code.STREAM_FULL)], ids=["85", "100"]
)
async def test_a_stream_that_fills_is_named(bench: Bench, part: float, code: Code):
    most = 100_000
    small = stream_settings(Stream.TRIGGERS) | {"max_bytes": most}
    async with bench.bus() as bus:
        api = JetStreamApi(bus)
        await api.call(f"STREAM.UPDATE.{Stream.TRIGGERS}", small)
        subject = f"{DEFAULT_TENANT}.trigger.full"
        message = Outgoing(Stream.TRIGGERS, f"penstock.{subject}", b"x" * 250)
        try:
            outcome = Published.DONE
            while outcome is Published.DONE:
                held = (await api.stream_info(Stream.TRIGGERS)).stored_bytes
                if part < 1 and held >= part * most:
                    break
                outcome = (await NatsPublisher(bus).publish([message] * 20))[-1]
            found = await bench.finds(code)
            finding = found.one(code, "stream TRIGGERS")
            assert "0.1 of 0.1 MiB" in finding.detail
            assert "penstock status" in commands(finding.mend)
        finally:
            await api.call(f"STREAM.PURGE.{Stream.TRIGGERS}")
            await bench.make_streams()
    await bench.shows(set())


async def test_a_work_queue_that_is_gone_is_made_again(bench: Bench):
    async with bench.bus() as bus:
        await JetStreamApi(bus).call(f"CONSUMER.DELETE.{Stream.TASKS}.{durable_of('default')}")
    found = await bench.shows({Code.CONSUMER_MISSING})
    assert "penstock up" in found.one(Code.CONSUMER_MISSING, durable_of("default")).mend
    await bench.make_streams()
    await bench.shows(set())


# --- executors ----------------------------------------------------------------------------------

BEAT: dict[str, Any] = {
    "name": "hands-9", "pool": "default", "capacity": 2, "running": 0, "free": 2, "version": "",
    "agents": [{"name": "ghost", "version": "1", "digest": "sha256:1"}], "available": True,
    "adapter": "bubblewrap", "isolation": "namespaces", "degraded": [], "breaker": None,
}  # fmt: skip
BEATS: list[tuple[Code, dict[str, Any], str]] = [
    (Code.BREAKER_OPEN, {"breaker": {"state": "OPEN", "reason": "no engine"}}, "penstock doctor"),
    (Code.EXECUTOR_CANNOT_RUN, {"available": False}, "penstock doctor"),
    (Code.EXECUTOR_DEGRADED, {"degraded": ["no cgroup"]}, "cgroup of its own"),
    (Code.EXECUTOR_UNSANDBOXED, {"adapter": "process"}, "unset PENSTOCK_SANDBOX"),
    (Code.EXECUTOR_OTHER_VERSION, {"version": "0.0.9"}, "install 7.7.7"),
]


@asynccontextmanager
async def beating(bench: Bench, **other: Any) -> AsyncGenerator[None]:
    """An executor that tells of itself."""
    async with bench.bus(BusUser.EXECUTOR) as bus:
        beats = NatsHeartbeats(bus)
        await beats.put("hands-9", BEAT | other)
        try:
            yield
        finally:
            await beats.remove("hands-9")


@pytest.mark.parametrize(("code", "other", "mend"), BEATS)
async def test_an_executor_that_is_not_well_is_named(
    bench: Bench, code: Code, other: dict[str, Any], mend: str
):
    async with beating(bench, **other):
        found = await bench.shows({code}, more={"version": "7.7.7"})
        assert mend in found.one(code, "executor hands-9").mend


@asynccontextmanager
async def queued(bench: Bench, pool: str, agent: str) -> AsyncGenerator[None]:
    """A task that waits."""
    async with bench.bus() as bus:
        subject = task(DEFAULT_TENANT, pool, agent, "t-1")
        (outcome,) = await NatsPublisher(bus).publish([Outgoing(Stream.TASKS, subject, b"{}")])
        assert outcome is Published.DONE
        try:
            yield
        finally:
            await NatsPublisher(bus).purge_subject(Stream.TASKS, subject)


async def test_a_task_for_an_agent_that_nobody_has_is_named(bench: Bench):
    async with beating(bench), queued(bench, "default", "absent"):
        found = await bench.shows({Code.AGENT_NOWHERE})
        assert "PENSTOCK_AGENT_ROOTS" in found.one(Code.AGENT_NOWHERE, "pool default").mend
        async with beating(bench, agents=[{"name": "absent", "digest": "sha256:2"}]):
            await bench.shows(set())


async def test_a_task_in_a_pool_that_nobody_serves_is_named(bench: Bench):
    async with queued(bench, "gpu", "ghost"):
        found = await bench.shows({Code.POOL_WITHOUT_EXECUTOR})
        finding = found.one(Code.POOL_WITHOUT_EXECUTOR, "pool gpu")
        assert "PENSTOCK_POOL=gpu penstock serve executor" in commands(finding.mend)
        assert "PENSTOCK_POOLS" in finding.mend
        async with beating(bench, pool="gpu"):  # as such an executor does
            await bench.shows(set())


async def test_what_was_no_task_is_named(bench: Bench):
    subject = dead(DEFAULT_TENANT, Stream.TASKS, "default.ghost.t-1")
    async with bench.bus() as bus:
        await NatsPublisher(bus).publish([Outgoing(Stream.DEAD, subject, b"{}")])
        try:
            found = await bench.shows({Code.DEAD_NOT_EMPTY})
            assert "executors' logs" in found.one(Code.DEAD_NOT_EMPTY, "stream DEAD").mend
        finally:
            await JetStreamApi(bus).call(f"STREAM.PURGE.{Stream.DEAD}")
    await bench.shows(set())


# --- what waits for people ----------------------------------------------------------------------

ROWS: list[tuple[Code, str, str, str, dict[str, Any], str]] = [
    (
        Code.OUTCOME_UNKNOWN, "node", "r-1/deploy", "unknown", {},
        'penstock runs settle r-1 deploy --reason "what was seen" --happened',
    ),
    (
        Code.APPROVAL_OVERDUE, "approval", "a-1", "pending",
        {"expires_us": 1, "policy": {}}, "penstock status",
    ),
    (
        Code.APPROVAL_FOR_NOBODY, "approval", "a-1", "pending",
        {"expires_us": 2**60, "policy": {"approvers": {"groups": ["release"]}}},
        "penstock tokens issue NAME --role approver --group release",
    ),
    (
        Code.MESSAGE_PARKED, "dead", "d-1", "parked",
        {"code": "malformed", "subject": "a.b"}, "penstock dead redrive d-1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "row_id", "state", "body", "mend"), ROWS)
async def test_what_waits_for_a_person_is_named_with_the_command(
    bench: Bench, code: Code, kind: str, row_id: str, state: str, body: dict[str, Any], mend: str
):
    values = f"'default', '{kind}', '{row_id}', 'r-1', 1, '{state}', '', '{json.dumps(body)}'"
    # penstock: ignore[sql-injection] -- values of the test's own
    bench.sql(f"INSERT INTO views VALUES ({values})", GATEWAY)  # noqa: S608 - our own values
    try:
        found = await bench.shows({code})
        finding = found.one(code, row_id.partition("/")[0])
        assert mend in commands(finding.mend)
        assert re.search(r"[a-z]", finding.detail)
    finally:
        bench.sql("DELETE FROM views", GATEWAY)
