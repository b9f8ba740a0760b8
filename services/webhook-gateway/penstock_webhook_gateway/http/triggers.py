"""Routes that bring triggers in: by hand, by any JSON, and from Alertmanager."""

import asyncio
import contextlib
import re
from dataclasses import dataclass

from aiohttp import web
from pydantic import JsonValue

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import derive, gateway_trigger_id, trigger_aggregate_id
from penstock_contracts.records import ReadEvent
from penstock_contracts.subjects import Stream
from penstock_contracts.trigger.v1 import (
    DIRECT_SOURCE,
    GatewayTrigger,
    TriggerIgnored,
    TriggerMatched,
)
from penstock_contracts.values import Wire
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing
from penstock_webhook_gateway.http.access import OPERATE, Principal
from penstock_webhook_gateway.http.alertmanager import AlertGroup, triggers_of
from penstock_webhook_gateway.http.bodies import ManualTrigger
from penstock_webhook_gateway.http.context import (
    IDEMPOTENCY_KEY,
    SOURCE,
    TRACEPARENT,
    caller,
    check_published,
    command_id,
    doors,
    encoded,
    model,
    read_json,
    read_object,
    reply,
    sending,
)
from penstock_webhook_gateway.http.problems import Problem, refused
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.waiting import TooManyWaiters

PATH_MAX = 200  # characters of a trigger's subject behind `trigger.`
_PATH = re.compile(rf"(?=.{{1,{PATH_MAX}}}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.post("/api/workflows/{name}/trigger", trigger_workflow),
        web.post("/api/triggers/{path}", trigger_path),
        web.post("/api/webhooks/alertmanager", alertmanager),
    ]


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """A trigger about to be published; `source` and `id` name it for ever."""

    path: str
    source: str
    id: str
    type: GatewayTrigger
    data: JsonValue

    @property
    def trigger_id(self) -> str:
        """How the catalog will call it."""
        return gateway_trigger_id(self.source, self.id)


async def trigger_workflow(request: web.Request) -> web.Response:
    """Start one workflow with `inputs`."""
    who = caller(request, OPERATE)
    body = await read_object(request) if request.can_read_body else {}
    path = f"{DIRECT_SOURCE}.{request.match_info['name']}"
    data: JsonValue = {"inputs": model(ManualTrigger, body).inputs}
    return await _accept(request, who, path, GatewayTrigger.MANUAL, data)


async def trigger_path(request: web.Request) -> web.Response:
    """Publish any JSON as a trigger under a path such as `ci.build.failed`."""
    who = caller(request, OPERATE)
    return await _accept(
        request, who, request.match_info["path"], GatewayTrigger.WEBHOOK, await read_json(request)
    )


async def _accept(
    request: web.Request, who: Principal, path: str, kind: GatewayTrigger, data: JsonValue
) -> web.Response:
    new = NewTrigger(path, f"{SOURCE}/{who.name}", command_id(request, who), kind, data)
    waiters = doors(request).waiters
    if IDEMPOTENCY_KEY in request.headers:
        known = await _known(request, who, new.trigger_id)
        if known is not None:
            return known
    try:
        with waiters.expect(new.trigger_id) as matched:
            await publish(request, who, [new])
            event, told = await asyncio.wait_for(
                asyncio.shield(matched), doors(request).waits.trigger_s
            )
    except TimeoutError:
        return reply({"trigger_id": new.trigger_id, "status": "delivered"}, 202)
    return await _answer(request, event, told)


async def _known(request: web.Request, who: Principal, trigger_id: str) -> web.Response | None:
    """Answer a repeated request as the first one; None if its trigger is not known here."""
    row_id = trigger_aggregate_id(who.tenant, trigger_id)
    row = await doors(request).reader.get(View.TRIGGER, who.tenant, row_id)
    if row is None:
        return None
    if "code" in row.body:
        raise refused(str(row.body["code"]), str(row.body.get("detail", "")))
    return reply({name: row.body.get(name) for name in ("trigger_id", "runs", "faults")}, 201)


async def _answer(request: web.Request, event: ReadEvent, told: Wire) -> web.Response:
    if isinstance(told, TriggerIgnored):
        raise refused(told.code, told.detail)
    if not isinstance(told, TriggerMatched):
        raise refused(Code.MALFORMED, f"the trigger became {event.topic}")
    runs = [{"run_id": run.run_id, "workflow": run.workflow} for run in told.runs]
    await _until_shown(request, [run.run_id for run in told.runs], event.meta.tenant)
    body = {"trigger_id": told.trigger_id, "runs": runs, "faults": list(told.faults)}
    return reply(body, 201)


async def _until_shown(request: web.Request, runs: list[str], tenant: str) -> None:
    """Wait a moment until the runs can be read here; they are accepted in any case."""
    reader, waiters = doors(request).reader, doors(request).waiters
    with contextlib.suppress(TimeoutError, TooManyWaiters, TransientFault):
        async with asyncio.timeout(doors(request).waits.trigger_s):
            for run in runs:
                with waiters.expect(derive("start_run", run)) as started:
                    if await reader.get(View.RUN, tenant, run) is None:
                        await started


async def publish(request: web.Request, who: Principal, new: list[NewTrigger]) -> None:
    """Publish triggers in one batch, under the gateway's own token: they say who asks.

    Raises:
        Problem: a path is not valid, one is too large, or the bus does not take them.
    """
    batch: list[Outgoing] = []
    for trigger in new:
        subject = _subject(who.tenant, trigger.path)
        trace = sending(request, subject, trigger.id)
        envelope = Envelope(
            id=trigger.id,
            source=trigger.source,
            type=trigger.type,
            subject=trigger.path,
            datacontenttype="application/json",
            tenant=who.tenant,
            actor=who.actor,
            traceparent=trace,
            data=trigger.data,
        )
        payload, parent = encoded(envelope), request.get(TRACEPARENT)
        batch.append(Outgoing(Stream.TRIGGERS.value, subject, payload, None, trace, parent))
    check_published(await doors(request).publisher.publish(batch))


def _subject(tenant: str, path: str) -> str:
    if not _PATH.fullmatch(path):
        detail = (
            f"not a trigger path: words of letters, digits, - and _, joined by dots, "
            f"at most {PATH_MAX} characters"
        )
        raise Problem(422, "malformed", detail)
    return subjects.gateway_trigger(tenant, path)


async def alertmanager(request: web.Request) -> web.Response:
    """Take a group of alerts (webhook version 4): one trigger an alert, whatever is sent again."""
    who = caller(request, OPERATE)
    group = model(AlertGroup, await read_object(request), foreign=True)
    new = [
        NewTrigger(path, "alertmanager", key, GatewayTrigger.ALERT, data)
        for path, key, data in triggers_of(group)
    ]
    if new:
        await publish(request, who, new)
    return reply({"accepted": len(new), "trigger_ids": [item.trigger_id for item in new]}, 202)
