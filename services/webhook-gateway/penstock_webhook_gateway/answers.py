"""What came of the requests of people, kept so that a repeated one is answered as the first was.

A command that is delivered twice leaves no second event, so there is nothing to wait for: its
outcome has to be found. It is a row of the read model, which every gateway has and a restart keeps.
"""

from penstock_contracts.records import EventMeta, ReadEvent
from penstock_contracts.registry import read_event
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewReader, ViewRow
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.waiting import Applied


async def put_answer(changes: Changes, event: ReadEvent) -> None:
    """Keep an event as the outcome of what caused it, unless an earlier one is that."""
    tenant, cause = event.meta.tenant, event.meta.causation_id
    if await changes.get(View.ANSWER, tenant, cause) is not None:
        return
    body: JsonObject = {
        "partition": event.partition,
        "n": event.n,
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "topic": event.topic,
        "actor": event.meta.actor,
        "prev_hash": event.prev_hash,
        "data": event.data,
    }
    changes.put(
        ViewRow(
            View.ANSWER, tenant, cause, event.aggregate_id, event.meta.time_us, body=body
        )
    )  # fmt: skip


async def answer_to(reader: ViewReader, tenant: str, cause: str) -> Applied | None:
    """Give what came of a command; None if nothing is known of it.

    Raises:
        TransientFault: the store does not answer.
    """
    row = await reader.get(View.ANSWER, tenant, cause)
    if row is None:
        return None
    body = row.body
    data = body["data"]
    if not isinstance(data, dict):
        return None
    event = ReadEvent(
        partition=str(body["partition"]),
        n=int(str(body["n"])),
        aggregate_id=str(body["aggregate_id"]),
        version=int(str(body["version"])),
        topic=str(body["topic"]),
        meta=EventMeta(row.sort_key, tenant, cause, actor=str(body["actor"])),
        prev_hash=str(body["prev_hash"]),
        data=data,
    )
    return event, read_event(event.topic, event.data)
