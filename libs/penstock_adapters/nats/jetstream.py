"""The JetStream API calls that the adapters need, answered by the stream's leader."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from penstock_adapters.nats.connection import NatsConnection
from penstock_adapters.nats.wire import time_us_of
from penstock_contracts.records import time_text
from penstock_runtime.faults import TransientFault

NO_MESSAGE: Final = 10037
STREAM_NOT_FOUND: Final = 10059
STREAM_NAME_IN_USE: Final = 10058
CONSUMER_NOT_FOUND: Final = 10014
WRONG_LAST_SEQUENCE: Final = 10071
CONDITION_IN_FLIGHT: Final = 10164  # in clusters: one before it has not been decided yet

# Nobody answers a question that reached a cluster while a stream's leader was being elected.
ASK_AGAIN_S: Final = 1.0


class RefusedError(TransientFault):
    """JetStream answered a request with an error.

    Attributes:
        err_code: JetStream's own number of the reason.
    """

    def __init__(self, request: str, err_code: int, description: str) -> None:
        super().__init__(f"JetStream refused {request}: {description} ({err_code})")
        self.err_code = err_code


@dataclass(frozen=True, slots=True)
class At:
    """The first message that the server stored at that time or later."""

    time_us: int


Start = int | At
"""Where reading begins: a sequence, or a time."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream says of itself.

    Attributes:
        created_us: creation time of this incarnation.
        first_sequence: of the first message kept; last_sequence + 1 when none is.
        config: its settings as the server gives them.
        stored_bytes: what its messages take on disk.
        replicated: several servers keep it, and agree on each message first.
    """

    created_us: int
    first_sequence: int
    last_sequence: int
    messages: int
    config: Mapping[str, Any]
    stored_bytes: int = 0
    replicated: bool = False


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message read by its place."""

    subject: str
    sequence: int
    time_us: int
    encoded: str

    @property
    def payload(self) -> bytes:
        """The message's bytes."""
        return b64decode(self.encoded)


class JetStreamApi:
    """Requests over one connection; every one of them is bounded."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._prefix = connection.api_prefix

    def subject(self, verb: str) -> str:
        """Give the subject of an API call."""
        return f"{self._prefix}.{verb}"

    async def call(
        self,
        verb: str,
        body: Mapping[str, Any] | None = None,
        *,
        ask_again_s: float | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Make an API call, as `NatsConnection.request` makes one.

        Raises:
            RefusedError: JetStream said no.
            TransientFault: no answer.
        """
        payload = orjson.dumps(body) if body is not None else b""
        raw = await self._connection.request(
            self.subject(verb), payload, ask_again_s=ask_again_s, timeout_s=timeout_s
        )
        answer: dict[str, Any] = orjson.loads(raw)
        error = answer.get("error")
        if error is not None:
            raise RefusedError(verb, int(error.get("err_code", 0)), str(error.get("description")))
        return answer

    async def stream_info(self, stream: str) -> StreamInfo:
        """Read a stream's settings and state.

        Raises:
            RefusedError: with `STREAM_NOT_FOUND`.
            TransientFault: no answer.
        """
        answer = await self.call(f"STREAM.INFO.{stream}", ask_again_s=ASK_AGAIN_S)
        return stream_info_of(answer)

    async def message_at(self, stream: str, sequence: int) -> StoredMessage | None:
        """Read the message at a sequence; None if there is none."""
        return await self._message(stream, {"seq": sequence})

    async def last_message_on(self, stream: str, subject: str) -> StoredMessage | None:
        """Read the last message that matches `subject`, wildcards allowed."""
        return await self._message(stream, {"last_by_subj": subject})

    async def next_message_on(
        self, stream: str, subject: str, from_sequence: int
    ) -> StoredMessage | None:
        """Read the first message at or behind `from_sequence` that matches `subject`."""
        return await self._message(stream, {"seq": from_sequence, "next_by_subj": subject})

    async def _message(self, stream: str, question: Mapping[str, Any]) -> StoredMessage | None:
        try:
            answer = await self.call(f"STREAM.MSG.GET.{stream}", question, ask_again_s=ASK_AGAIN_S)
        except RefusedError as refused:
            if refused.err_code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return StoredMessage(
            str(message["subject"]),
            int(message["seq"]),
            time_us_of(message["time"]),
            str(message.get("data", "")),
        )

    async def purge(self, stream: str, subject_filter: str, before_sequence: int = 0) -> None:
        """Delete what matches, below a sequence if one is given."""
        body: dict[str, Any] = {"filter": subject_filter}
        if before_sequence:
            body["seq"] = before_sequence
        await self.call(f"STREAM.PURGE.{stream}", body)

    async def create_ephemeral(
        self,
        stream: str,
        name: str,
        subject_filter: str,
        start: Start,
        idle_s: int,
        timeout_s: float | None = None,
    ) -> None:
        """Create an unacknowledged pull consumer that reads from a place on.

        Args:
            stream: what it reads.
            name: unused name, so that the request can be permitted by subject.
            subject_filter: what it matches.
            start: first sequence, from 1, or a server time.
            idle_s: seconds without a pull after which the server removes it.
            timeout_s: bound of the wait, if it is less than the connection's.
        """
        config = {
            "name": name,
            "ack_policy": "none",
            **_place(start),
            "filter_subject": subject_filter,
            "inactive_threshold": idle_s * 1_000_000_000,
            "max_waiting": 64,
            "mem_storage": True,
            "num_replicas": 1,
        }
        await self.call(
            f"CONSUMER.CREATE.{stream}.{name}.{subject_filter}",
            {"stream_name": stream, "config": config, "action": "create"},
            timeout_s=timeout_s,
        )

    async def delete_consumer(self, stream: str, name: str, timeout_s: float | None = None) -> None:
        """Delete a consumer, waiting no longer than `timeout_s` for the answer."""
        await self.call(f"CONSUMER.DELETE.{stream}.{name}", timeout_s=timeout_s)


def _place(start: Start) -> Mapping[str, Any]:
    if isinstance(start, At):
        return {"deliver_policy": "by_start_time", "opt_start_time": time_text(start.time_us)}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": start}


def stream_info_of(answer: Mapping[str, Any]) -> StreamInfo:
    """Read the answer of STREAM.INFO, CREATE or UPDATE."""
    state = answer["state"]
    last = int(state["last_seq"])
    messages = int(state["messages"])
    first = int(state["first_seq"]) if messages else last + 1
    config: Mapping[str, Any] = answer["config"]
    # While replicas are taken away they still have to agree, though the setting is lower already.
    cluster: Mapping[str, Any] | None = answer.get("cluster")
    return StreamInfo(
        created_us=time_us_of(answer["created"]),
        first_sequence=first,
        last_sequence=last,
        messages=messages,
        config=config,
        stored_bytes=int(state["bytes"]),
        replicated=bool(cluster and cluster.get("replicas"))
        or int(config.get("num_replicas", 1)) > 1,
    )
