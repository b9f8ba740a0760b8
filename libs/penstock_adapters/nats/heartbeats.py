"""Heartbeats of executors, in the key-value bucket of that name."""

import logging
from collections.abc import Mapping
from typing import Final

import orjson
from pydantic import JsonValue

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import outcome_of
from penstock_adapters.nats.replies import Frame
from penstock_adapters.nats.streams import ensure_heartbeats
from penstock_adapters.nats.wire import header_block
from penstock_contracts.subjects import HEARTBEAT_BUCKET, token
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Published

LOOK_S: Final = 60.0
_log = logging.getLogger(__name__)
_BUCKET: Final = f"KV_{HEARTBEAT_BUCKET}"
_DELETED: Final = header_block({"KV-Operation": "DEL"})


async def keep_bucket(connection: NatsConnection) -> None:
    """Make the bucket anew after each reconnect, until cancelled; for the scheduler.

    It is kept in memory: a server that was started again does not have it.
    """
    while True:
        session = connection.session
        while not await connection.wait_connected(LOOK_S):
            pass
        try:
            await ensure_heartbeats(connection)
        except TransientFault as fault:
            _log.warning("heartbeats cannot be kept", extra={"reason": str(fault)})
            continue
        while not await connection.wait_disconnected(session, LOOK_S):
            pass


class NatsHeartbeats:
    """Entries that expire by themselves; implements the port `Heartbeats`."""

    def __init__(self, connection: NatsConnection) -> None:
        """Write over `connection`; the bucket is made by the scheduler."""
        self._connection = connection
        self._api = JetStreamApi(connection)

    async def put(self, name: str, value: Mapping[str, JsonValue]) -> None:
        """See the port."""
        await self._write(Frame(_key(name), orjson.dumps(dict(value))))

    async def remove(self, name: str) -> None:
        """See the port."""
        await self._write(Frame(_key(name), b"", _DELETED))

    async def entries(self) -> Mapping[str, Mapping[str, JsonValue]]:
        """Give all entries by executor name; for those who may read the bucket.

        Raises:
            TransientFault: the server does not answer.
        """
        keys = _key("*").removesuffix("*")
        answer = await self._api.call(f"STREAM.INFO.{_BUCKET}", {"subjects_filter": f"{keys}>"})
        subjects: Mapping[str, int] = answer["state"].get("subjects") or {}
        found: dict[str, Mapping[str, JsonValue]] = {}
        for subject in subjects:
            message = await self._api.last_message_on(_BUCKET, subject)
            if message is not None and message.payload:
                found[subject.removeprefix(keys)] = orjson.loads(message.payload)
        return found

    async def _write(self, frame: Frame) -> None:
        timeout_s = self._connection.settings.request_timeout_s
        reply = (await self._connection.exchange((frame,), timeout_s))[0]
        if outcome_of(reply) is not Published.DONE:
            raise TransientFault(f"the heartbeat {frame.subject} was not stored")


def _key(name: str) -> str:
    return f"$KV.{HEARTBEAT_BUCKET}.{name if name == '*' else token(name)}"
