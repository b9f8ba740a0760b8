"""Pipelined publishing: a window of messages is sent in one write, its acknowledgements counted."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import orjson

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.replies import NOBODY, Frame
from penstock_adapters.nats.wire import header_block
from penstock_runtime.ports.bus import Outgoing, Published

WINDOW_MESSAGES: Final = 1000  # the server drops publishes beyond 10,000 unanswered per stream
WINDOW_BYTES: Final = 8 * 1024 * 1024  # and one connection is cut at its max_pending
_GOOD: Final = b'{"stream"'
_ERROR: Final = b'"error"'
_LIMIT: Final = 10077
_ONE_PER_SUBJECT: Final = "maximum messages per subject exceeded"
_NO_SPACE: Final = frozenset(
    {
        _LIMIT,  # maximum messages exceeded, maximum bytes exceeded
        10002,  # resource limits exceeded for account
        10023,  # insufficient resources
        10028,  # insufficient memory resources
        10047,  # insufficient storage resources
    }
)


class NatsPublisher:
    """Publishes batches; implements the port `Publisher`."""

    def __init__(self, connection: NatsConnection, ack_timeout_s: float = 5.0) -> None:
        """Publish over `connection`, waiting `ack_timeout_s` seconds for each window's acks."""
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._ack_timeout_s = ack_timeout_s

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """See the port.

        Raises:
            ValueError: a message exceeds the server's largest payload, or a subject is none;
                nothing has been sent.
        """
        frames = [self._frame(message) for message in batch]
        outcomes: list[Published] = []
        while len(outcomes) < len(batch):
            start = len(outcomes)
            stop = start + self._window(frames, start)
            outcomes.extend(await self._send(batch[start:stop], frames[start:stop]))
        return outcomes

    def _frame(self, message: Outgoing) -> Frame:
        headers = header_block({"Nats-Msg-Id": message.message_id}) if message.message_id else None
        size = len(message.payload) + (len(headers) if headers else 0)
        if size > self._connection.max_payload:
            raise ValueError(
                f"a message of {size} bytes for {message.subject} exceeds the "
                f"{self._connection.max_payload} bytes that the bus takes: store it as an artifact"
            )
        return Frame(message.subject, message.payload, headers)

    @staticmethod
    def _window(frames: Sequence[Frame], start: int) -> int:
        count, size = 0, 0
        for frame in islice(frames, start, start + WINDOW_MESSAGES):
            size += len(frame.payload)
            if count and size > WINDOW_BYTES:
                break
            count += 1
        return count

    async def _send(self, batch: Sequence[Outgoing], frames: Sequence[Frame]) -> list[Published]:
        outcomes = [Published.FAILED] * len(batch)
        awaited: list[int] = []
        for index, message in enumerate(batch):
            if message.stream is not None:
                awaited.append(index)
            elif self._connection.send(message.subject, message.payload, "", frames[index].headers):
                outcomes[index] = Published.DONE
        if awaited:
            replies = await self._connection.exchange(
                [frames[index] for index in awaited], self._ack_timeout_s
            )
            for index, reply in zip(awaited, replies, strict=True):
                outcomes[index] = outcome_of(reply)
        return outcomes

    async def purge_subject(self, stream: str, subject: str) -> None:
        """See the port."""
        await self._api.purge(stream, subject)


def outcome_of(reply: bytes | None) -> Published:
    """Read a publish acknowledgement."""
    if reply is None or reply is NOBODY:
        return Published.FAILED
    if reply.startswith(_GOOD) and _ERROR not in reply:
        return Published.DONE
    try:
        error = orjson.loads(reply)["error"]
        code, description = int(error["err_code"]), str(error["description"])
    except (ValueError, KeyError, TypeError):
        return Published.FAILED
    if code == _LIMIT and description == _ONE_PER_SUBJECT:
        return Published.ALREADY_THERE
    return Published.FULL if code in _NO_SPACE else Published.FAILED
