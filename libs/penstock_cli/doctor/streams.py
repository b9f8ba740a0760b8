"""Judging streams and work queues by what was seen of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from penstock_adapters.nats.jetstream import StreamInfo
from penstock_adapters.nats.streams import (
    artifact_settings,
    differing,
    heartbeat_settings,
    stream_settings,
)
from penstock_adapters.nats.work import durable_of
from penstock_cli.doctor.bus import BusSight
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_contracts.permissions import (
    ARTIFACT_STREAM,
    HEARTBEAT_STREAM,
    OWNED_STREAMS,
    BusUser,
)
from penstock_contracts.subjects import Stream

FILLING: Final = 0.8
FULL: Final = 0.99
# What an installation may choose by its own settings.
CHOSEN: Final = ("num_replicas",)
SELF_EMPTYING: Final = (Stream.LOGS, Stream.DEAD, HEARTBEAT_STREAM, ARTIFACT_STREAM)
MIB: Final = 1024**2


def judge_streams(
    sight: BusSight, pools: Collection[str], restart: str = Relief.RESTART
) -> Iterator[Finding]:
    """Judge what was seen.

    Args:
        sight: of the bus.
        pools: whose work queues should exist.
        restart: what makes the owners look after their streams.
    """
    missing = sorted(name for name, info in sight.streams.items() if info is None)
    for name in missing:
        mend = f"{restart}: {_owner_of(name)} makes it anew"
        yield found(Code.STREAM_MISSING, "stream", f"{name} does not exist", _at(sight, name), mend)
    faults = len(missing)
    for name, info in sorted(sight.streams.items()):
        if info is not None:
            for finding in (*_drift(sight, name, info, restart), *_room(sight, name, info)):
                faults += 1
                yield finding
    for pool in sorted(pools):
        if sight.consumers.get(pool) is False:
            faults += 1
            mend = f"{restart}: the scheduler makes it anew"
            detail = f"the work queue of pool {pool} ({durable_of(pool)}) does not exist"
            where = f"{_at(sight, Stream.TASKS)}, consumer {durable_of(pool)}"
            yield found(Code.CONSUMER_MISSING, "work queue", detail, where, mend)
    if sight.streams and not faults:
        yield well("streams", f"{len(sight.streams)} with their settings and room", sight.address)


def _at(sight: BusSight, name: str) -> str:
    return f"{sight.address}, stream {name}"


def _owner_of(name: str) -> str:
    approvals = {stream.value for stream in OWNED_STREAMS[BusUser.APPROVAL]}
    return "the approval service" if name in approvals else "the scheduler"


def _wanted(name: str, info: StreamInfo) -> dict[str, object]:
    if name == HEARTBEAT_STREAM:
        return heartbeat_settings()
    if name == ARTIFACT_STREAM:
        return artifact_settings(int(info.config.get("max_bytes", 0)))  # its size is a setting
    return stream_settings(Stream(name))


def _drift(sight: BusSight, name: str, info: StreamInfo, restart: str) -> Iterator[Finding]:
    wanted = {key: value for key, value in _wanted(name, info).items() if key not in CHOSEN}
    other = differing(wanted, info.config)
    if other:
        told = ", ".join(
            f"{key} is {other[key]} and should be {wanted[key]}" for key in sorted(other)
        )
        mend = f"{restart}: {_owner_of(name)} sets them again"
        yield found(Code.STREAM_DRIFTED, "stream", f"{name}: {told}", _at(sight, name), mend)


def _room(sight: BusSight, name: str, info: StreamInfo) -> Iterator[Finding]:
    most = int(info.config.get("max_bytes", -1))
    if most <= 0 or name in SELF_EMPTYING:
        return
    part = info.stored_bytes / most
    if part < FILLING:
        return
    code = Code.STREAM_FULL if part >= FULL else Code.STREAM_FILLING
    held = f"{info.stored_bytes / MIB:.1f} of {most / MIB:.1f} MiB, {info.messages} messages"
    mend = (
        "start more executors (`PENSTOCK_POOL`), or cancel what nobody waits for "
        "(`penstock runs cancel`)"
        if name == Stream.TASKS
        else f"bring {_owner_of(name)} back: it empties the stream 15 min behind its position; "
        "`penstock status` shows whether it runs"
    )
    yield found(code, "stream", f"{name} holds {held}", _at(sight, name), mend)
