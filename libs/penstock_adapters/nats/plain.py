"""A trigger's publisher as anybody would write it: plain nats-py, one message, one answer.

Nothing here is special to Penstock: what the demo and the command line publish with it, any NATS
client can publish. The server's acknowledgement says that JetStream holds the trigger; that it
was accepted is seen in the event it leads to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

from penstock_runtime.faults import TransientFault

CONNECT_WITHIN_S = 5
ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the server answered.

    Attributes:
        duplicate: the same `Nats-Msg-Id` was published a moment ago; it is still one message.
    """

    stream: str
    sequence: int
    duplicate: bool


async def publish_trigger(
    creds: Mapping[str, str], subject: str, payload: bytes, headers: Mapping[str, str]
) -> Delivered:
    """Publish one trigger and wait for the server's acknowledgement.

    Args:
        creds: url, user, password and inbox_prefix, as in `credentials/trigger.creds`.
        subject: `penstock_contracts.subjects.trigger(tenant, path)`.
        payload: any JSON, or a CloudEvent.
        headers: `Nats-Msg-Id` makes repeating safe.

    Raises:
        TransientFault: no server answers, the login is refused, or the stream does not take it.
    """
    # nats-py declares neither its options nor its answers completely.
    connect = cast("Any", nats.connect)
    connection: Client | None = None
    try:
        connection = cast(
            "Client",
            await connect(
                creds["url"],
                user=creds["user"],
                password=creds["password"],
                inbox_prefix=creds["inbox_prefix"].encode(),
                connect_timeout=CONNECT_WITHIN_S,
                allow_reconnect=False,
                name="penstock-trigger",
            ),
        )
        stream: JetStreamContext = cast("Any", connection).jetstream()
        given = dict(headers) or None
        answer = await stream.publish(subject, payload, timeout=ANSWER_WITHIN_S, headers=given)
        return Delivered(answer.stream, answer.seq, bool(answer.duplicate))
    except (NatsError, OSError, TimeoutError) as error:
        reason = f"{error}" or type(error).__name__
        raise TransientFault(f"the trigger was not delivered: {reason}") from error
    finally:
        if connection is not None:
            await connection.close()
