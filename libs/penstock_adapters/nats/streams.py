"""Every stream's settings, and their creation by the owner."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import (
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    JetStreamApi,
    RefusedError,
)
from penstock_contracts.subjects import (
    ARTIFACT_CHUNKS,
    ARTIFACT_HEADS,
    ARTIFACT_STREAM,
    HEARTBEAT_BUCKET,
    STREAM_SUBJECTS,
    Stream,
)
from penstock_runtime.faults import TransientFault

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
MIB: Final = 1024 * 1024
MINIMUM_DEDUPE_NS: Final = 100_000_000  # the least that the server accepts besides its 2 minutes
UNBOUNDED: Final = -1
EVENTS_AGE_NS: Final = 365 * DAY_NS
DEAD_AGE_NS: Final = 365 * DAY_NS
LOGS_AGE_NS: Final = 3 * DAY_NS
HEARTBEAT_TTL_NS: Final = 30 * SECOND_NS
ARTIFACTS_AGE_NS: Final = DAY_NS
RETRY_S: Final = 0.5

# Bounds in bytes. The server reserves their sum, so it must fit a small disk; EVENTS is bounded
# by age alone, because a full EVENTS would hold up the relay.
MAX_BYTES: Final[Mapping[Stream, int]] = {
    Stream.TRIGGERS: 1024 * MIB,
    Stream.CATALOG: 256 * MIB,
    Stream.RUNS: 2048 * MIB,
    Stream.TASKS: 1024 * MIB,
    Stream.APPROVALS: 512 * MIB,
    Stream.EVENTS: UNBOUNDED,
    Stream.LOGS: 1024 * MIB,
    Stream.DEAD: 512 * MIB,
}
_INPUT: Final[Mapping[str, Any]] = {"discard": "new"}
_SPECIAL: Final[Mapping[Stream, Mapping[str, Any]]] = {
    Stream.TRIGGERS: _INPUT,
    Stream.CATALOG: _INPUT,
    Stream.RUNS: _INPUT,
    Stream.APPROVALS: _INPUT,
    Stream.TASKS: {
        "retention": "workqueue",
        "max_msgs_per_subject": 1,
        "discard": "new",
        "discard_new_per_subject": True,
    },
    Stream.EVENTS: {"allow_atomic": True, "max_age": EVENTS_AGE_NS},
    Stream.LOGS: {"max_age": LOGS_AGE_NS},
    Stream.DEAD: {"max_age": DEAD_AGE_NS},
}
# Whoever may publish to a stream that allows one of these could reach subjects beyond their own
# permissions, or replace and expire the messages of others.
_NEVER: Final[Mapping[str, Any]] = {
    "allow_rollup_hdrs": False,
    "allow_msg_ttl": False,
    "allow_msg_schedules": False,
    "allow_msg_counter": False,
    "allow_direct": False,
    "mirror_direct": False,
}


def stream_settings(stream: Stream, replicas: int = 1) -> dict[str, Any]:
    """Give the configuration of a stream as the JetStream API takes it."""
    return {
        "name": stream.value,
        "subjects": list(STREAM_SUBJECTS[stream]),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs": UNBOUNDED,
        "max_msgs_per_subject": UNBOUNDED,
        "max_age": 0,
        "max_consumers": UNBOUNDED,
        "num_replicas": replicas,
        "duplicate_window": MINIMUM_DEDUPE_NS,
        "max_bytes": MAX_BYTES[stream],
        "allow_atomic": False,
        **_NEVER,
        **_SPECIAL[stream],
    }


def heartbeat_settings(replicas: int = 1) -> dict[str, Any]:
    """Give the configuration of the key-value bucket of executor heartbeats.

    A value expires by the bucket's age, which an update renews; a TTL per key would be dropped by
    the first update.
    """
    return {
        "name": f"KV_{HEARTBEAT_BUCKET}",
        "subjects": [f"$KV.{HEARTBEAT_BUCKET}.>"],
        "storage": "memory",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": HEARTBEAT_TTL_NS,
        "max_bytes": 16 * MIB,
        "num_replicas": replicas,
        "duplicate_window": HEARTBEAT_TTL_NS,
        "allow_rollup_hdrs": False,  # executors publish here; only a KV purge would need it
        "deny_delete": True,
        "allow_direct": True,
    }


def artifact_settings(max_bytes: int, replicas: int = 1) -> dict[str, Any]:
    """Give the configuration of the object store's bucket for artifacts.

    It is laid out as any client of the object store expects it, without the power to roll up:
    executors write here. What is oldest goes first; the durable copy is elsewhere.
    """
    return {
        "name": ARTIFACT_STREAM,
        "subjects": [f"{ARTIFACT_CHUNKS}>", f"{ARTIFACT_HEADS}>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": ARTIFACTS_AGE_NS,
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "duplicate_window": MINIMUM_DEDUPE_NS,
        "allow_atomic": False,
        **_NEVER,
    }


async def ensure_artifacts(
    connection: NatsConnection,
    max_bytes: int,
    *,
    replicas: int | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Create the bucket for artifacts; called by the scheduler.

    Raises:
        TransientFault: not possible within `timeout_s`.
    """
    replicas = replicas or connection.settings.replicas
    await _patiently(connection, artifact_settings(max_bytes, replicas or 1), replicas, timeout_s)


async def ensure_streams(
    connection: NatsConnection,
    which: Collection[Stream],
    *,
    replicas: int | None = None,
    timeout_s: float = 30.0,
) -> frozenset[Stream]:
    """Create the streams, or bring them to their settings; called by their owner, at any time.

    Args:
        connection: the owner's.
        which: streams of one owner.
        replicas: how many servers of a cluster keep each stream; what a stream holds stays while
            they are added or taken away. None: as the connection's settings say.
        timeout_s: for each stream.

    Returns:
        The streams that did not exist: what they held before, if anything, is gone.

    Raises:
        TransientFault: not possible within `timeout_s`; says which stream and why.
    """
    replicas = replicas or connection.settings.replicas
    created: set[Stream] = set()
    for stream in which:
        settings = stream_settings(stream, replicas or 1)
        if await _patiently(connection, settings, replicas, timeout_s):
            created.add(stream)
    return frozenset(created)


async def ensure_heartbeats(
    connection: NatsConnection, *, replicas: int | None = None, timeout_s: float = 30.0
) -> None:
    """Create the bucket of executor heartbeats; called by the scheduler.

    Raises:
        TransientFault: not possible within `timeout_s`.
    """
    replicas = replicas or connection.settings.replicas
    await _patiently(connection, heartbeat_settings(replicas or 1), replicas, timeout_s)


async def _patiently(
    connection: NatsConnection,
    settings: Mapping[str, Any],
    replicas: int | None,
    timeout_s: float,
) -> bool:
    """Try until it works; a server that has just started does not know its streams yet."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    api = JetStreamApi(connection)
    while True:
        try:
            return await _create_or_update(api, settings, as_found=replicas is None)
        except TransientFault as fault:
            if loop.time() + RETRY_S >= deadline:
                raise TransientFault(f"stream {settings['name']} is not ready: {fault}") from fault
        await asyncio.sleep(RETRY_S)


async def _create_or_update(
    api: JetStreamApi, settings: Mapping[str, Any], *, as_found: bool
) -> bool:
    """Give True if the stream was created.

    `as_found` leaves the replicas as they are: nobody takes some away who was not told of them.
    """
    name = settings["name"]
    try:
        info = await api.stream_info(name)
    except RefusedError as refused:
        if refused.err_code != STREAM_NOT_FOUND:
            raise
        try:
            await api.call(f"STREAM.CREATE.{name}", settings)
        except RefusedError as lost_race:
            if lost_race.err_code != STREAM_NAME_IN_USE:
                raise
            return await _create_or_update(api, settings, as_found=as_found)
        return True
    if as_found:
        settings = {**settings, "num_replicas": info.config.get("num_replicas", 1)}
    if differing(settings, info.config):
        await api.call(f"STREAM.UPDATE.{name}", settings)
    return False


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that the server has otherwise; absent there means off."""
    return {
        key: found.get(key)
        for key, value in wanted.items()
        if found.get(key, None if value else value) != value
    }
