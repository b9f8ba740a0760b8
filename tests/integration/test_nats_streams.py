"""Every stream's settings as a real server holds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.heartbeats import NatsHeartbeats, keep_bucket
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.streams import (
    ensure_heartbeats,
    ensure_streams,
    stream_settings,
)
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_runtime.faults import TransientFault
from penstock_testkit.servers import RealNats, RealServers

pytestmark = pytest.mark.real

DAY_NS = 86_400 * 1_000_000_000
INPUTS = (Stream.TRIGGERS, Stream.CATALOG, Stream.RUNS, Stream.APPROVALS)
WAIT_S = 60.0
RETRY_S = 0.05
FOREIGN_POWERS = (
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "allow_msg_schedules",
    "allow_msg_counter",
    "allow_direct",
    "mirror_direct",
    "sealed",
)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("streams") / "state").nats
    server.start()
    yield server
    server.kill()


async def connected(nats: RealNats, user: BusUser) -> NatsConnection:
    login = nats.login(user)
    return await connect(
        NatsSettings(login.url, login.user, login.password, login.inbox_prefix, user.value)
    )


@pytest.fixture
async def admin(nats: RealNats) -> AsyncIterator[NatsConnection]:
    connection = await connected(nats, BusUser.ADMIN)
    yield connection
    await connection.close()


@pytest.fixture
async def configs(nats: RealNats, admin: NatsConnection) -> dict[Stream, dict[str, Any]]:
    """Made by their owners, read by the administrator."""
    for owner, streams in OWNED_STREAMS.items():
        connection = await connected(nats, owner)
        await ensure_streams(connection, streams)
        await connection.close()
    api = JetStreamApi(admin)
    return {stream: dict((await api.stream_info(stream)).config) for stream in Stream}


def test_every_stream_has_an_owner():
    assert {s for streams in OWNED_STREAMS.values() for s in streams} == set(Stream)


@pytest.mark.parametrize("stream", Stream)
async def test_what_holds_for_every_stream(configs: dict[Stream, dict[str, Any]], stream: Stream):
    config = configs[stream]
    assert config["subjects"] == list(STREAM_SUBJECTS[stream])
    assert config["storage"] == "file"
    assert config["duplicate_window"] == 100_000_000, "the server's minimum"
    assert config["num_replicas"] == 1
    assert config["max_msg_size"] == -1
    assert {power: config.get(power, False) for power in FOREIGN_POWERS} == dict.fromkeys(
        FOREIGN_POWERS, False
    )


@pytest.mark.parametrize("stream", INPUTS)
async def test_inputs_keep_what_is_unread(configs: dict[Stream, dict[str, Any]], stream: Stream):
    config = configs[stream]
    assert config["retention"] == "limits"
    assert config["discard"] == "new"
    assert config["max_age"] == 0
    assert config["max_msgs"] == -1
    assert config["max_msgs_per_subject"] == -1
    assert config["max_bytes"] > 0
    assert not config.get("allow_atomic", False)


async def test_tasks_hold_one_message_a_subject(configs: dict[Stream, dict[str, Any]]):
    config = configs[Stream.TASKS]
    assert config["retention"] == "workqueue"
    assert config["max_msgs_per_subject"] == 1
    assert config["discard"] == "new"
    assert config["discard_new_per_subject"] is True
    assert config["max_age"] == 0
    assert config["max_bytes"] > 0
    assert not config.get("allow_atomic", False)


async def test_events_are_kept_long_and_never_stop_the_relay(
    configs: dict[Stream, dict[str, Any]],
):
    config = configs[Stream.EVENTS]
    assert config["retention"] == "limits"
    assert config["allow_atomic"] is True
    assert config["max_age"] == 365 * DAY_NS
    assert (config["discard"], config["max_bytes"]) == ("old", -1)


async def test_logs_and_dead_letters_go_by_age(configs: dict[Stream, dict[str, Any]]):
    assert configs[Stream.LOGS]["max_age"] == 3 * DAY_NS
    assert configs[Stream.DEAD]["max_age"] == 365 * DAY_NS
    for stream in (Stream.LOGS, Stream.DEAD):
        assert configs[stream]["discard"] == "old"
        assert configs[stream]["max_bytes"] > 0


async def test_ensuring_again_changes_nothing_and_mends_what_was_changed(
    admin: NatsConnection, configs: dict[Stream, dict[str, Any]]
):
    api = JetStreamApi(admin)
    before = await api.stream_info(Stream.RUNS)
    assert await ensure_streams(admin, tuple(Stream)) == frozenset()
    changed = stream_settings(Stream.RUNS) | {"max_bytes": 1024 * 1024, "discard": "old"}
    await api.call("STREAM.UPDATE.RUNS", changed)
    assert await ensure_streams(admin, tuple(Stream)) == frozenset()
    after = await api.stream_info(Stream.RUNS)
    assert after.created_us == before.created_us
    assert dict(after.config) == configs[Stream.RUNS]


async def test_tells_which_streams_it_had_to_create(
    admin: NatsConnection, configs: dict[Stream, dict[str, Any]]
):
    assert configs
    await JetStreamApi(admin).call("STREAM.DELETE.DEAD")
    assert await ensure_streams(admin, (Stream.DEAD, Stream.LOGS)) == {Stream.DEAD}


async def test_two_owners_at_once_do_not_fail(admin: NatsConnection):
    await JetStreamApi(admin).call("STREAM.DELETE.LOGS")
    made = await asyncio.gather(*(ensure_streams(admin, (Stream.LOGS,)) for _ in range(4)))
    assert sum(Stream.LOGS in created for created in made) >= 1


async def test_says_which_stream_is_not_ready(nats: RealNats):
    executor = await connected(nats, BusUser.EXECUTOR)
    quick = NatsConnection(executor.settings)
    await executor.close()
    with pytest.raises(TransientFault, match="stream RUNS is not ready"):
        await ensure_streams(quick, (Stream.RUNS,), timeout_s=0.1)


async def test_heartbeats_expire_and_are_replaced(nats: RealNats, admin: NatsConnection):
    scheduler = await connected(nats, BusUser.SCHEDULER)
    executor = await connected(nats, BusUser.EXECUTOR)
    await ensure_heartbeats(scheduler)
    await ensure_heartbeats(scheduler)
    hand = NatsHeartbeats(executor)
    await hand.put("one", {"free": 4})
    await hand.put("two", {"free": 1})
    await hand.put("one", {"free": 3})
    await hand.remove("two")
    assert await NatsHeartbeats(admin).entries() == {"one": {"free": 3}}
    config = (await JetStreamApi(admin).stream_info("KV_heartbeats")).config
    assert config["max_age"] == 30 * 1_000_000_000
    assert config["max_msgs_per_subject"] == 1
    assert not config.get("allow_rollup_hdrs", False), "executors publish here"
    await scheduler.close()
    await executor.close()


async def stored(hand: NatsHeartbeats) -> None:
    """Send heartbeats until one is kept."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await hand.put("one", {"free": 4})
            except TransientFault:
                await asyncio.sleep(RETRY_S)


async def test_heartbeats_are_kept_again_after_the_server_has_lost_them(nats: RealNats):
    scheduler = await connected(nats, BusUser.SCHEDULER)
    executor = await connected(nats, BusUser.EXECUTOR)
    keeping = asyncio.create_task(keep_bucket(scheduler))
    hand = NatsHeartbeats(executor)
    try:
        await stored(hand)
        session = executor.session
        nats.kill()
        assert await executor.wait_disconnected(session, WAIT_S)
        nats.start()
        await stored(hand)
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))
        await scheduler.close()
        await executor.close()
