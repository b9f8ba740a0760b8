"""Publishing in memory."""

from collections.abc import Sequence

from penstock_adapters.memory.streams import MemoryServer, Refusal
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Outgoing, Published

_OUTCOMES = {
    Refusal.SUBJECT_TAKEN: Published.ALREADY_THERE,
    Refusal.FULL: Published.FULL,
    Refusal.WRONG_SEQUENCE: Published.FAILED,
    Refusal.NO_STREAM: Published.FAILED,
}


class MemoryPublisher:
    """`Publisher` over a `MemoryServer`. Message ids deduplicate nothing: nobody relies on it."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """See the port.

        Raises:
            ValueError: a message exceeds the largest payload; nothing has been sent.
        """
        for message in batch:
            if len(message.payload) > self._server.max_payload:
                raise ValueError(
                    f"a message of {len(message.payload)} bytes for {message.subject} exceeds the "
                    f"{self._server.max_payload} bytes that the bus takes: store it as an artifact"
                )
        return [self._publish(message) for message in batch]

    def _publish(self, message: Outgoing) -> Published:
        if message.stream is None:
            sent = self._server.send(message.subject, message.payload)
            return Published.DONE if sent else Published.FAILED
        headers = {"Nats-Msg-Id": message.message_id} if message.message_id else {}
        try:
            stored = self._server.store(message.subject, message.payload, headers)
        except TransientFault:
            return Published.FAILED
        return _OUTCOMES[stored] if isinstance(stored, Refusal) else Published.DONE

    async def purge_subject(self, stream: str, subject: str) -> None:
        """See the port."""
        self._server.purge(stream, subject)
