"""Reading what comes from the queue; what cannot be read is kept, never dropped."""

import base64
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MalformedMessage, first_fault
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import DEFAULT_TENANT, Wire

MAX_KEPT_BYTES = 64 * 1024


class TaskEnvelope(Wire):
    """The envelope of a task, read together with its data in one pass."""

    id: str
    type: Literal["task.execute.v1"]
    tenant: str = DEFAULT_TENANT
    traceparent: str | None = None
    data: TaskMessage


@dataclass(frozen=True, slots=True)
class Delivery:
    """A task that was understood; the tenant is the subject's."""

    tenant: str
    message_id: str
    traceparent: str | None
    task: TaskMessage


def read_task(subject: str, payload: bytes) -> Delivery:
    """Read a task.

    Raises:
        MalformedMessage: it is not a task, or not the one its subject names.
    """
    try:
        read = TaskEnvelope.model_validate_json(payload)
    except ValidationError as error:
        raise MalformedMessage(first_fault(error)) from None
    try:
        address = subjects.parse(subject)
    except ValueError as error:
        raise MalformedMessage(str(error)) from None
    named = (address.tenant, address.rest[-1])
    if named != (read.tenant, read.data.task_id):
        raise MalformedMessage("the subject names another tenant or task than the message")
    return Delivery(read.tenant, read.id, read.traceparent, read.data)


def buried(subject: str, payload: bytes, reason: str) -> tuple[str, MessageParked]:
    """Give subject and content of the DEAD message for a task that cannot be read."""
    tenant, rest = DEFAULT_TENANT, "unknown"
    try:
        address = subjects.parse(subject)
    except ValueError:
        pass
    else:
        tenant, rest = address.tenant, ".".join(address.rest)
    parked = MessageParked(
        stream=Stream.TASKS,
        sequence=0,
        subject=subject,
        code=Code.MALFORMED,
        detail=reason[:4096],
        raw=base64.b64encode(payload[:MAX_KEPT_BYTES]).decode(),
        size_bytes=len(payload),
    )
    return subjects.dead(tenant, Stream.TASKS, rest), parked
