"""The stack's processes: what the supervisor says of them, and what they say themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.ports import LOOPBACK
from penstock_adapters.embedded.status import ChildStatus, StackState, StackStatus, read_status
from penstock_adapters.embedded.supervisor import ChildState
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, Relief, found, well
from penstock_cli.doctor.machine import Machine, judge_clock
from penstock_cli.stack_view import relative
from penstock_contracts.values import MICROSECONDS

ASK_WITHIN_S: Final = 5.0
ANSWER_LIMIT_BYTES: Final = 1024 * 1024
LOG_TAIL_BYTES: Final = 64 * 1024
ERROR_SHOWN_CHARS: Final = 400
SERVERS: Final = ("nats", "postgres")
BAD_LEVELS: Final = ("error", "critical")


@dataclass(frozen=True, slots=True)
class StackSight:
    """What was seen of the stack.

    Attributes:
        state: None: its status cannot be read.
        environs: `PENSTOCK_*` variables of the running children that may be read, by name.
    """

    state: StackState | None
    children: Sequence[ChildStatus] = ()
    environs: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    @property
    def runs(self) -> bool:
        """Whether a supervisor is at work."""
        return self.state in (StackState.STARTING, StackState.READY, StackState.STOPPING)


def see_stack(folder: StateFolder) -> tuple[StackSight, list[Finding]]:
    """Read what the supervisor says; blocking."""
    try:
        status = read_status(folder)
    except (EmbeddedError, OSError):
        return StackSight(None), []  # the look at the folder tells of it
    sight = StackSight(status.state, status.children, _environs(status.children))
    return sight, [*_judge_state(folder, status), *_judge_children(folder, sight)]


def _environs(children: Sequence[ChildStatus]) -> dict[str, Mapping[str, str]]:
    return {one.name: environ_of(one.pid) for one in children if one.pid is not None}


def environ_of(pid: int) -> dict[str, str]:
    """Give the `PENSTOCK_*` variables of a process of ours; none of another user's."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (piece.partition("=") for piece in raw.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("PENSTOCK_")}


def _judge_state(folder: StateFolder, status: StackStatus) -> Iterator[Finding]:
    where = str(folder.root)
    match status.state:
        case StackState.STOPPED:
            yield well("stack", "does not run (`penstock up` starts it)")
        case StackState.DEAD:
            detail = "its supervisor ended without a word"
            yield found(Code.STACK_DEAD, "stack", detail, where, "`penstock up --detach`")
        case StackState.FAILED:
            mend = f"see {relative(folder.logs)}, mend it, then `penstock up --detach`"
            detail = shortened(status.fault or "the last start failed")
            yield found(Code.STACK_FAILED, "stack", detail, where, mend)
        case _:
            yield well("stack", f"{status.state.value}, {status.gateway_url}")


def _judge_children(folder: StateFolder, sight: StackSight) -> Iterator[Finding]:
    if not sight.runs:
        return
    for child in sight.children:
        if child.state == ChildState.READY:
            continue
        log = folder.log_file(child.name)
        said = last_error(log)
        detail = f"{child.state} {child.detail}".strip()
        told = f"{detail}; its log ends: {said}" if said else detail
        if child.restarts:
            mend = f"mend what its log says ({relative(log)}); it is started again by itself"
            text = f"started {child.restarts} times again: {told}"
            yield found(Code.SERVICE_LOOPING, child.name, text, str(log), mend)
        elif child.state in (ChildState.BACKOFF, ChildState.FAILED, ChildState.STOPPED):
            mend = f"see {relative(log)}; {Relief.RESTART}"
            yield found(Code.SERVICE_DOWN, child.name, told, str(log), mend)


def last_error(log: Path) -> str:
    """Give the last error of a log of JSON lines, or its last line; "" if there is no log."""
    try:
        with log.open("rb") as source:
            source.seek(max(log.stat().st_size - LOG_TAIL_BYTES, 0))
            lines = source.read(LOG_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    last = ""
    for line in reversed([line for line in lines if line.strip()]):
        said = _error_in(line)
        if said:
            return shortened(said)
        last = last or line
    return shortened(last)


def _error_in(line: str) -> str:
    try:
        told = cast("object", json.loads(line))
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    fields = cast("dict[str, Any]", told)
    if fields.get("level") not in BAD_LEVELS:
        return ""
    trace = str(fields.get("error", "")).strip().rpartition("\n")[2]
    reason = str(fields.get("reason", ""))
    return ": ".join(part for part in (str(fields.get("message", "")), reason, trace) if part)


def shortened(text: str) -> str:
    """Bound what others wrote, and keep it on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= ERROR_SHOWN_CHARS else f"{flat[:ERROR_SHOWN_CHARS]}..."


# --- what services say themselves ---------------------------------------------------------------


async def ask_services(
    folder: StateFolder, sight: StackSight, machine: Machine, url: str
) -> list[Finding]:
    """Ask `/health/ready` of each service that should run, and the gateway's clock.

    Args:
        folder: of the stack.
        sight: what its supervisor says.
        machine: for its clock.
        url: a gateway elsewhere, given by `--url` or PENSTOCK_URL; "": the stack's own.
    """
    try:
        ports = (read_object(folder.run / "ports.json") or {}) if sight.runs else {}
    except EmbeddedError:
        ports = {}
    limits = aiohttp.ClientTimeout(total=ASK_WITHIN_S)
    async with aiohttp.ClientSession(timeout=limits) as session:
        asked = [
            _ask(session, folder, child, port)
            for child in sight.children
            if child.state == ChildState.READY
            and child.name not in SERVERS
            and isinstance(port := ports.get(child.name), int)
        ]
        gateway = url or next(
            (f"http://{LOOPBACK}:{port}" for name, port in ports.items() if name.endswith(".http")),
            "",
        )
        if gateway:
            asked.append(_ask_gateway(session, machine, gateway, given=bool(url)))
        return [finding for answers in await asyncio.gather(*asked) for finding in answers]


async def _ask(
    session: aiohttp.ClientSession, folder: StateFolder, child: ChildStatus, port: int
) -> list[Finding]:
    name, log = child.name, folder.log_file(child.name)
    where = f"http://{LOOPBACK}:{port}/health/ready"
    try:
        async with session.get(where) as response:
            raw = await response.content.read(ANSWER_LIMIT_BYTES)
            body = cast("dict[str, Any]", json.loads(raw))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else shortened(str(error))
        mend = f"`kill -9 {child.pid}` (it is started again by itself), and see {relative(log)}"
        return [found(Code.SERVICE_SILENT, name, f"does not answer: {why}", where, mend)]
    findings: list[Finding] = []
    for check in cast("list[dict[str, Any]]", body.get("checks", [])):
        subject = f"{name}: {check.get('name')}"
        detail = shortened(str(check.get("detail") or "ready"))
        if check.get("ok"):
            findings.append(well(subject, detail, where))
        else:
            mend = f"mend what it names (more in {relative(log)}); it notices by itself"
            findings.append(found(Code.SERVICE_NOT_READY, subject, detail, where, mend))
    return findings or [well(name, str(body.get("status", "ready")), where)]


async def _ask_gateway(
    session: aiohttp.ClientSession, machine: Machine, url: str, *, given: bool
) -> list[Finding]:
    begun_us = machine.now_us()
    try:
        async with session.get(f"{url}/health/live") as response:
            date = response.headers.get("Date", "")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        if not given:
            return []  # the service's own look tells of it
        why = "no answer in time" if isinstance(error, TimeoutError) else shortened(str(error))
        mend = "start the gateway there, or correct PENSTOCK_URL"
        return [found(Code.SERVICE_SILENT, "gateway", f"does not answer: {why}", url, mend)]
    try:
        theirs: datetime = parsedate_to_datetime(date)
    except ValueError:
        return []
    spent_us = machine.now_us() - begun_us + MICROSECONDS  # its date has no smaller unit
    theirs_us = int(theirs.timestamp()) * MICROSECONDS
    return [judge_clock(machine, "the gateway", theirs_us, spent_us)]
