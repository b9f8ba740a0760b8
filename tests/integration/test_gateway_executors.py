"""Executors over HTTP and on the command line: live heartbeats over what breakers have done."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue
from typer.testing import CliRunner

from penstock_cli.app import app, hoist
from penstock_contracts.executor.v1 import BreakerChanged, BreakerState
from penstock_contracts.ids import executor_id
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.faults import TransientFault
from penstock_testkit.fakes.clock import START_US
from tests.integration.gateway_world import Client, World, serving

BEAT: dict[str, JsonValue] = {
    "name": "host.one",
    "pool": "default",
    "capacity": 4,
    "running": 2,
    "free": 2,
    "version": "1.2.3",
    "agents": [{"name": "scanner", "version": "1.0.0", "digest": "sha256:" + "ab" * 32}],
    "at_us": START_US - 3_000_000,
    "available": True,
    "adapter": "dagger",
    "isolation": "container",
    "degraded": ["no seccomp"],
    "breaker": {"state": "CLOSED", "failures": 0, "since_us": START_US - 5, "until_us": 0},
}


class KeptBeats:
    """Fulfils the port `HeartbeatReader`."""

    def __init__(self, *beats: Mapping[str, JsonValue], away: bool = False) -> None:
        self._found = {str(beat["name"]).replace(".", "-"): beat for beat in beats}
        self._away = away

    async def entries(self) -> Mapping[str, Mapping[str, JsonValue]]:
        if self._away:
            raise TransientFault("no answer")
        return self._found


def changed(world: World, name: str, state: BreakerState, since_us: int = START_US - 10) -> None:
    event = BreakerChanged(
        tenant=DEFAULT_TENANT, executor=name, pool="gpu", adapter="dagger", state=state,
        failures=5, reason="no\x1b[31m engine", since_us=since_us, until_us=since_us + 60,
    )  # fmt: skip
    world.emit(CATALOG_PARTITION, executor_id(DEFAULT_TENANT, name), event)


async def listed(client: Client, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await client.get("/api/executors", headers=headers)
    assert answer.status == 200
    return (await answer.json())["items"]


async def test_who_lives_tells_of_itself_and_who_is_silent_is_as_it_was_heard_of_last():
    world = World(heartbeats=KeptBeats(BEAT))
    headers = world.token("vera", "viewer")
    changed(world, "host.one", BreakerState.OPEN)  # has closed since: its heartbeat says so
    changed(world, "host.two", BreakerState.OPEN)
    async with serving(world) as client:
        one, two = await listed(client, headers)
    assert (one["name"], one["alive"], one["pool"]) == ("host.one", True, "default")
    assert (one["running"], one["capacity"], one["degraded"]) == (2, 4, ["no seccomp"])
    assert (one["free"], one["version"], one["agents"]) == (2, "1.2.3", BEAT["agents"])
    assert (two["free"], two["version"], two["agents"]) == (0, "", [])
    assert (one["seen_us"], one["breaker"]["state"]) == (BEAT["at_us"], "CLOSED")
    assert (two["name"], two["alive"], two["pool"], two["seen_us"]) == ("host.two", False, "gpu", 0)
    assert (two["breaker"]["state"], two["breaker"]["failures"]) == ("OPEN", 5)


async def test_each_change_replaces_the_one_before():
    world = World(heartbeats=KeptBeats())
    headers = world.token("vera", "viewer")
    for number, state in enumerate((BreakerState.OPEN, BreakerState.HALF_OPEN)):
        changed(world, "host.one", state, START_US - 10 + number)
    async with serving(world) as client:
        (one,) = await listed(client, headers)
    assert one["breaker"]["state"] == "HALF_OPEN"


async def test_without_heartbeats_nobody_is_called_dead():
    world = World(heartbeats=KeptBeats(away=True))
    headers = world.token("vera", "viewer")
    changed(world, "host.one", BreakerState.OPEN)
    async with serving(world) as client:
        (one,) = await listed(client, headers)
    assert one["alive"] is None


async def test_who_is_silent_for_a_day_is_gone_and_nonsense_is_passed_over():
    world = World(heartbeats=KeptBeats({**BEAT, "capacity": "many"}))
    headers = world.token("vera", "viewer")
    changed(world, "host.two", BreakerState.OPEN, START_US - 25 * 3_600 * 1_000_000)
    async with serving(world) as client:
        assert await listed(client, headers) == []


async def test_executors_are_of_the_installation_and_not_of_its_other_tenants():
    world = World(heartbeats=KeptBeats(BEAT))
    headers = world.token("vera", "viewer", tenant="acme")
    async with serving(world) as client:
        assert await listed(client, headers) == []
        assert (await client.get("/api/executors")).status == 401


async def test_the_command_line_lists_them():
    world = World(heartbeats=KeptBeats(BEAT))
    headers = world.token("vera", "viewer")
    changed(world, "host.two", BreakerState.OPEN)
    token = headers["Authorization"].removeprefix("Bearer ")
    async with serving(world) as client:
        url = str(client.make_url("")).rstrip("/")

        def line(*words: str) -> str:
            environ = {**os.environ, "PENSTOCK_URL": url, "PENSTOCK_TOKEN": token}
            result = CliRunner(env=environ).invoke(app, hoist(["executors", *words]))
            assert result.exit_code == 0, result.output
            return result.output

        shown = await asyncio.to_thread(line)
        named = await asyncio.to_thread(line, "--agents")
        told = json.loads(await asyncio.to_thread(line, "--json"))
    assert [item["name"] for item in told["items"]] == ["host.one", "host.two"]
    assert "2/4" in shown
    assert "1.2.3" in shown
    assert "host.one: scanner 1.0.0  abababababab" in named
    assert "OPEN" in shown
    assert "host.one: no seccomp" in shown
    assert "engine" in shown
    assert "\x1b[31m engine" not in shown
