"""The route of executors: who lives, and how the breaker in front of each sandbox stands."""

import logging
from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from penstock_contracts.executor.v1 import BreakerState
from penstock_contracts.subjects import executor_token
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, TimeUs, Wire
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import READ
from penstock_webhook_gateway.http.context import Doors, caller, doors, reply
from penstock_webhook_gateway.kinds import View

EXECUTORS_MAX = 500
GONE_US = 24 * 3_600 * MICROSECONDS  # who is silent for so long is shown no more
log = logging.getLogger(__name__)


class BreakerShown(Wire):
    """How a breaker stands.

    Attributes:
        reason: of the last failure; empty while it is closed.
        since_us: when it came to stand so.
        until_us: when the sandbox is tried again; 0 unless it is open.
    """

    state: BreakerState
    failures: int = 0
    reason: str = ""
    since_us: TimeUs = 0
    until_us: TimeUs = 0


class AgentAtHand(Wire):
    """An agent that an executor has; a task is run only by the digest that it names."""

    name: str
    version: str = ""
    digest: str = ""


class ExecutorShown(Wire):
    """An executor.

    Attributes:
        alive: whether it was heard of within the last half minute; None: cannot be found out now.
        seen_us: when it was heard of last; 0 of one that is not alive.
        available: whether tasks can run there.
        running: tasks in work there; `capacity` is how many it takes at once, `free` how many more.
        version: of Penstock there.
        agents: that it has, as of a minute ago.
        isolation: what separates its tasks from the host.
        degraded: what of that is missing, one sentence each.
        breaker: None where nothing can fail, as with the built-in agents.
    """

    name: str
    pool: str = ""
    adapter: str = ""
    isolation: str = ""
    alive: bool | None = None
    seen_us: TimeUs = 0
    available: bool = False
    running: int = 0
    capacity: int = 0
    free: int = 0
    version: str = ""
    agents: tuple[AgentAtHand, ...] = ()
    degraded: tuple[str, ...] = ()
    breaker: BreakerShown | None = None


class ExecutorList(Wire):
    """All executors, by name."""

    items: tuple[ExecutorShown, ...]


class _Beat(ExecutorShown):
    """What an executor tells of itself."""

    at_us: TimeUs = 0


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [web.get("/api/executors", list_executors)]


async def list_executors(request: web.Request) -> web.Response:
    """List executors with their load, isolation and circuit breaker.

    They belong to the installation, so other tenants than the default one are shown none.
    """
    who = caller(request, READ)
    if who.tenant != DEFAULT_TENANT:
        return reply({"items": []})
    door = doors(request)
    rows = await door.reader.page(View.EXECUTOR, who.tenant, limit=EXECUTORS_MAX)
    known = {executor_token(row.id): _of_row(row) for row in rows}
    beats = await _beats(door)
    if beats is None:
        shown = list(known.values())
    else:
        gone_us = door.clock.now_us() - GONE_US
        silent = [
            one.model_copy(update={"alive": False})
            for key, one in known.items()
            if key not in beats and one.breaker is not None and one.breaker.since_us > gone_us
        ]
        shown = [*beats.values(), *silent]
    shown = sorted(shown, key=lambda one: one.name)[:EXECUTORS_MAX]
    return reply({"items": [one.model_dump(mode="json") for one in shown]})


def _of_row(row: ViewRow) -> ExecutorShown:
    return ExecutorShown.model_validate({"name": row.id, **row.body})


async def _beats(door: Doors) -> Mapping[str, ExecutorShown] | None:
    try:
        entries = await door.heartbeats.entries()
    except TransientFault as fault:
        log.warning("heartbeats cannot be read", extra={"reason": str(fault)})
        return None
    found: dict[str, ExecutorShown] = {}
    for key, value in entries.items():
        try:
            beat = _Beat.model_validate(value)
        except ValidationError:
            log.warning("a heartbeat that cannot be read", extra={"executor": key})
            continue
        told = {name: getattr(beat, name) for name in ExecutorShown.model_fields}
        found[key] = ExecutorShown.model_validate({**told, "alive": True, "seen_us": beat.at_us})
    return found
