"""What is seen of the bus: its greeting, each user's login and rights, and what streams hold."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock_adapters.embedded.nats_server import MAX_PAYLOAD_BYTES, BusLogin
from penstock_adapters.embedded.outside_nats import OLDEST_VERSION
from penstock_adapters.nats.connection import NatsSettings
from penstock_adapters.nats.inspection import BusInspection, Greeting, greeting, inspecting
from penstock_adapters.nats.jetstream import StreamInfo
from penstock_adapters.nats.work import durable_of
from penstock_cli.doctor.codes import Code, Grade
from penstock_cli.doctor.findings import Finding, Relief, found, merged, well
from penstock_cli.doctor.processes import shortened
from penstock_cli.doctor.reach import Reach
from penstock_contracts.permissions import (
    API,
    ARTIFACT_STREAM,
    HEARTBEAT_STREAM,
    BusUser,
    permission_table,
)
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream, matches, parse
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import PlacedMarker

CONNECT_WITHIN_S: Final = 4.0
ANSWER_WITHIN_S: Final = 4.0
LEAST_PAYLOAD_BYTES: Final = 1024 * 1024  # the default of the server, with which all works
AUTHORIZATION: Final = ("authorization", "authentication", "permission")
EVERY_STREAM: Final = (*(one.value for one in Stream), HEARTBEAT_STREAM, ARTIFACT_STREAM)
MARKERS: Final = STREAM_SUBJECTS[Stream.EVENTS][1]


@dataclass(slots=True)
class BusSight:
    """What was seen of the bus.

    Attributes:
        streams: by name; None: there is none. A stream that could not be asked for is absent.
        consumers: pool -> whether its work queue exists.
        queued: (pool, agent) -> tasks waiting or in flight.
        beats: executor -> what it tells of itself; None: could not be asked for.
        markers: partition -> last marker of its relay.
        marked: all of them were read.
        moved: partitions whose relay was seen at work.
        laid_aside: tasks in DEAD.
    """

    address: str = ""
    logged_in: set[BusUser] = field(default_factory=set[BusUser])
    streams: dict[str, StreamInfo | None] = field(default_factory=dict[str, StreamInfo | None])
    consumers: dict[str, bool] = field(default_factory=dict[str, bool])
    queued: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    beats: Mapping[str, Mapping[str, Any]] | None = None
    markers: dict[str, PlacedMarker] = field(default_factory=dict[str, PlacedMarker])
    marked: bool = False
    moved: set[str] = field(default_factory=set[str])
    laid_aside: int = 0


async def see_bus(
    reach: Reach, pools: Collection[str], account: str
) -> tuple[BusSight, list[Finding]]:
    """Look at the bus.

    Args:
        reach: where it is and who logs in.
        pools: whose work queues should exist.
        account: place of the file with the users that the server should know.
    """
    sight = BusSight()
    greetings = await asyncio.gather(
        *(_greeted(server) for server in reach.bus_url.split(",") if server)
    )
    up = [one for one in greetings if isinstance(one, Greeting)]
    down = [one for one in greetings if isinstance(one, str)]
    start = (
        "see logs/nats.log of the state folder; the supervisor starts it again"
        if reach.own_bus
        else "start nats-server there, or correct PENSTOCK_NATS_URL"
    )
    grade = Grade.WEAK if up else None  # of a cluster the others go on
    findings = [
        found(Code.BUS_UNREACHABLE, "nats", text, reach.bus_url, start, grade) for text in down
    ]
    if not up:
        return sight, findings
    sight.address = ", ".join(one.address for one in up)
    findings += [finding for one in up for finding in _judge_greeting(one)]
    if not all(one.jetstream for one in up):
        return sight, findings
    looked = await asyncio.gather(
        *(_as_user(user, login, reach, sight, pools, account)
          for user, login in reach.logins.items())
    )  # fmt: skip
    findings += merged([finding for one in looked for finding in one])
    if reach.shared:
        mend = f"include {account} in the server, and leave the login out of PENSTOCK_NATS_URL"
        detail = "all services use the login of PENSTOCK_NATS_URL"
        findings.append(found(Code.BUS_LOGIN_SHARED, "nats", detail, sight.address, mend))
    if not findings:
        users = ", ".join(sorted(user.value for user in sight.logged_in))
        findings.append(well("nats", f"{up[0].version}, logins: {users}", sight.address))
    return sight, findings


async def _greeted(server: str) -> Greeting | str:
    try:
        return await greeting(server, CONNECT_WITHIN_S)
    except TransientFault as fault:
        return str(fault)


def _judge_greeting(one: Greeting) -> list[Finding]:
    findings: list[Finding] = []
    if one.number < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        mend = f"update nats-server to {wanted} or later"
        detail = f"nats-server {one.version}"
        findings.append(found(Code.BUS_TOO_OLD, "nats", detail, one.address, mend))
    if not one.jetstream:
        mend = 'add `jetstream { store_dir: "/var/lib/nats" }` to its configuration, and restart it'
        detail = "the server has no JetStream"
        findings.append(found(Code.BUS_NO_JETSTREAM, "nats", detail, one.address, mend))
    if one.max_payload < MAX_PAYLOAD_BYTES:
        mend = f"set `max_payload: {MAX_PAYLOAD_BYTES}` in its configuration, and reload it"
        detail = f"takes messages of {one.max_payload} bytes at most"
        grade = Grade.BROKEN if one.max_payload < LEAST_PAYLOAD_BYTES else None
        findings.append(found(Code.BUS_PAYLOAD_SMALL, "nats", detail, one.address, mend, grade))
    return findings


def _settings(login: BusLogin) -> NatsSettings:
    return NatsSettings(
        url=login.url,
        user=login.user,
        password=login.password,
        inbox_prefix=login.inbox_prefix,
        name="penstock-doctor",
        connect_timeout_s=CONNECT_WITHIN_S,
        request_timeout_s=ANSWER_WITHIN_S,
        drain_timeout_s=1.0,
    )


async def _as_user(
    user: BusUser, login: BusLogin, reach: Reach, sight: BusSight, pools: Collection[str],
    account: str,
) -> list[Finding]:  # fmt: skip
    mend = (
        Relief.RESTART.value
        if reach.own_bus
        else f"include {account} in the server's `accounts` and reload it "
        "(`nats-server --signal reload`)"
    )
    where = f"{sight.address}, user {login.user}"
    try:
        async with inspecting(_settings(login)) as bus:
            sight.logged_in.add(user)
            findings = [] if reach.shared else await _judge_rights(user, bus, where, mend)
            denied = any(one.code is Code.BUS_RIGHTS_MISSING for one in findings)
            findings += await _collect(user, bus, sight, pools, quiet=denied)
            return findings
    except TransientFault as fault:
        text = str(fault)
        refused = any(word in text.lower() for word in AUTHORIZATION)
        if refused:
            detail = f"refuses the login of {login.user}"
            return [found(Code.BUS_LOGIN_REFUSED, "nats", detail, where, mend)]
        return [
            found(Code.BUS_UNREACHABLE, "nats", shortened(text), sight.address, "start nats-server")
        ]


# --- rights -------------------------------------------------------------------------------------


def looks_of(user: BusUser) -> tuple[list[str], str]:
    """Give the looks a user must be allowed, and one stream at which it must not look."""
    rules = permission_table()[user]

    def may(stream: str) -> bool:
        verb = f"{API}.STREAM.INFO.{stream}"
        return any(matches(pattern, verb) for pattern in rules.publish)

    allowed = [stream for stream in EVERY_STREAM if may(stream)]
    refused = [stream for stream in EVERY_STREAM if not may(stream)]
    return allowed, refused[0]


async def _judge_rights(user: BusUser, bus: BusInspection, where: str, mend: str) -> list[Finding]:
    allowed, refused = looks_of(user)
    told = await asyncio.gather(
        *(bus.may(f"STREAM.INFO.{stream}") for stream in [*allowed, refused]),
        return_exceptions=True,
    )
    lacking = [stream for stream, may in zip(allowed, told, strict=False) if may is False]
    findings: list[Finding] = []
    if lacking:
        detail = f"{user.value} may not look at {', '.join(lacking)}"
        findings.append(found(Code.BUS_RIGHTS_MISSING, "nats", detail, where, mend))
    if told[-1] is True:
        detail = f"{user.value} may look at {refused}, which is not its business"
        findings.append(found(Code.BUS_RIGHTS_EXCESS, "nats", detail, where, mend))
    return findings


# --- what streams hold --------------------------------------------------------------------------


async def _collect(
    user: BusUser, bus: BusInspection, sight: BusSight, pools: Collection[str], *, quiet: bool
) -> list[Finding]:
    """See what this user's rights let it see; what another user sees better is left to it."""
    try:
        if user is BusUser.APPROVAL:
            sight.streams[Stream.APPROVALS] = await bus.stream(Stream.APPROVALS)
        if user is BusUser.SCHEDULER:
            await _collect_as_scheduler(bus, sight, pools)
    except TransientFault as fault:
        if quiet:
            return []
        detail = f"{user.value}: {shortened(str(fault))}"
        mend = "look at the server's log; in a cluster: is there a leader for each stream?"
        return [found(Code.LOOK_TIMED_OUT, "nats", detail, sight.address, mend)]
    return []


async def _collect_as_scheduler(
    bus: BusInspection, sight: BusSight, pools: Collection[str]
) -> None:
    names = [name for name in EVERY_STREAM if name != Stream.APPROVALS]
    for name, info in zip(names, await asyncio.gather(*map(bus.stream, names)), strict=True):
        sight.streams[name] = info
    if sight.streams[HEARTBEAT_STREAM] is not None:
        sight.beats = await bus.heartbeats()
    if sight.streams[Stream.TASKS] is not None:
        await _collect_tasks(bus, sight, pools)
    if sight.streams[Stream.DEAD] is not None:
        dead = await bus.subjects(Stream.DEAD, STREAM_SUBJECTS[Stream.DEAD][0])
        sight.laid_aside = sum(
            count for subject, count in dead.items() if parse(subject).rest[0] == Stream.TASKS
        )
    if sight.streams[Stream.EVENTS] is not None:
        sight.markers = await _markers(bus)
        sight.marked = True


async def _markers(bus: BusInspection) -> dict[str, PlacedMarker]:
    found: dict[str, PlacedMarker] = {}
    for subject in await bus.subjects(Stream.EVENTS, MARKERS):
        partition = parse(subject).rest[0]
        marker = await bus.marker(partition)
        if marker is not None:
            found[partition] = marker
    return found


async def read_markers(reach: Reach) -> dict[str, PlacedMarker]:
    """Read the markers of all partitions once more.

    Raises:
        TransientFault: the bus does not answer.
        TimeoutError: it takes too long to.
    """
    async with (
        asyncio.timeout(CONNECT_WITHIN_S + ANSWER_WITHIN_S),
        inspecting(_settings(reach.logins[BusUser.SCHEDULER])) as bus,
    ):
        return await _markers(bus)


async def _collect_tasks(bus: BusInspection, sight: BusSight, pools: Collection[str]) -> None:
    for subject, count in (
        await bus.subjects(Stream.TASKS, STREAM_SUBJECTS[Stream.TASKS][0])
    ).items():
        pool, agent, _ = parse(subject).rest
        sight.queued[pool, agent] = sight.queued.get((pool, agent), 0) + count
    for pool in {*pools, *(pool for pool, _ in sight.queued)}:
        answer = await bus.consumer(Stream.TASKS, durable_of(pool))
        sight.consumers[pool] = answer is not None
