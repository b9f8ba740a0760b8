"""Everything that can be known of a finished chaos, in the form that the checkers judge."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence

from penstock_adapters.embedded.postgres_roles import service_of
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_adapters.postgres.ledger import PostgresLedger
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_contracts.subjects import Stream
from penstock_contracts.values import DEFAULT_TENANT, MICROSECONDS, SYSTEM_TENANT, JsonObject
from penstock_runtime.ports.projection import PAGE_MAX, ViewKey
from penstock_testkit.chaos.clients import Clients
from penstock_testkit.chaos.judge import APPROVAL, ONCE, SCHEDULER, Stored
from penstock_testkit.chaos.nemesis import Done
from penstock_testkit.chaos.observed import Log
from penstock_testkit.chaos.schedule import Kind
from penstock_testkit.chaos.stack import ChaosStack
from penstock_testkit.checking import Accepted, Effected, History, Published
from penstock_testkit.checking.folding import rows_of
from penstock_testkit.stack import RunningStack
from penstock_webhook_gateway.kinds import View

SHOWN_WITHIN_S = 90.0
READ_WITHIN_S = 600.0
EXACT_US = 2 * MICROSECONDS  # between clocks that are right
OLD_STREAMS = frozenset(stream.value for stream in Stream)


def skew_of(done: Sequence[Done]) -> int:
    """Give the microseconds by which two clocks may have differed: each as wrong as any was."""
    sizes = (abs(one.fault.size) for one in done if one.fault.kind is Kind.SKEW)
    return EXACT_US + round(2 * max(sizes, default=0.0) * MICROSECONDS)


def old_times_of(done: Sequence[Done]) -> frozenset[str]:
    """Give the streams whose messages may have come with times of the past."""
    put_back = any(one.fault.kind is Kind.OLD_JETSTREAM for one in done)
    return OLD_STREAMS if put_back else frozenset()


async def history_of(
    stack: ChaosStack, stored: Stored, clients: Clients, log: Log, done: Sequence[Done]
) -> History:
    """Collect what there is; call it once all runs have ended.

    The checks are loosened by what was `done`, and not by what was asked for.
    """
    seen, views = await _views(stack, stored)
    first, published = await _published(stack)
    return History(
        store=stored.records,
        published=published,
        first_sequence=first,
        views=views,
        seen=seen,
        fold=rows_of,
        effects=_effects(stored, clients),
        accepted=_accepted(log),
        open_index=await _open(stack),
        old_times=old_times_of(done),
        caught_up=True,
        ended=True,
        skew_us=skew_of(done),
    )


def _true_us(at_s: float) -> int:
    """Give the time of day of a monotonic one: the clocks of services may have been wrong."""
    return round((at_s + time.time() - time.monotonic()) * MICROSECONDS)


def _effects(stored: Stored, clients: Clients) -> list[Effected]:
    """Give what agents did; their sandbox is told no nonce, so it is the committed one."""
    nonces = {
        (run, event.data["node"], event.data["attempt"]): event.data["nonce"]
        for run, events in stored.runs.items()
        for event in events
        if event.topic == "run.task_started.v1" and event.data.get("nonce")
    }
    return [
        Effected(
            run_id=act.run,
            node=act.node,
            attempt=act.attempt,
            phase=act.phase,
            agent=act.agent,
            nonce=nonces.get((act.run, act.node, act.attempt)),
            key=act.key,
            once=act.agent in ONCE,
            at_us=_true_us(act.at_s),
        )
        for act in clients.acts
        if act.phase != "plan"
    ]


def _accepted(log: Log) -> list[Accepted]:
    return [
        Accepted(promise.trigger_id, (run,), _true_us(promise.at_s))
        for run, promise in log.promises.items()
        if promise.trigger_id
    ]


async def _views(
    stack: RunningStack, stored: Stored
) -> tuple[Mapping[str, int], Mapping[ViewKey, JsonObject]]:
    """Read the gateway's rows, once it has caught up or has had time to."""
    url = stack.endpoints.postgres_urls[service_of("penstock_gateway")]
    seen: Mapping[str, int] = {}
    async with PostgresProjection(url) as store:

        async def level() -> bool:
            nonlocal seen
            seen = await store.seen()
            return all(seen.get(name, 0) >= len(them) for name, them in stored.records.items())

        with contextlib.suppress(TimeoutError):  # the checks say what is missing
            await stack.until(level, SHOWN_WITHIN_S)
        rows: dict[ViewKey, JsonObject] = {}
        for kind in View:
            for tenant in (DEFAULT_TENANT, SYSTEM_TENANT):
                before: tuple[int, str] | None = None
                while page := await store.page(kind, tenant, before=before, limit=PAGE_MAX):
                    rows |= {row.key: row.body for row in page}
                    before = page[-1].sort_key, page[-1].id
    return seen, rows


async def _published(stack: RunningStack) -> tuple[int, list[Published]]:
    """Read EVENTS from its first message to its present last."""
    connection = await stack.bus()
    info = await JetStreamApi(connection).stream_info(Stream.EVENTS)
    found: list[Published] = []
    tail = NatsStreamTail(connection)
    async with asyncio.timeout(READ_WITHIN_S), tail.follow(Stream.EVENTS, ">") as messages:
        if info.last_sequence < info.first_sequence:
            return info.first_sequence, found
        async for message in messages:
            found.append(Published(message.sequence, message.subject, message.payload))
            if message.sequence >= info.last_sequence:
                break
    return info.first_sequence, found


async def _open(stack: RunningStack) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for database in (SCHEDULER, APPROVAL):
        url = stack.endpoints.postgres_urls[service_of(database)]
        async with PostgresLedger(url) as ledger:
            for name in await ledger.partitions():
                entries, last = dict[str, int](), ""
                while page := await ledger.open_after(name, last, PAGE_MAX):
                    entries |= {entry.aggregate_id: entry.due_us for entry in page}
                    last = page[-1].aggregate_id
                found[name] = entries
    return found
