"""How long the calls of JetStream's API wait."""

from __future__ import annotations

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.reader import CREATED_WITHIN_S, DROPPED_WITHIN_S, SourceReader
from penstock_runtime.faults import TransientFault
from penstock_testkit.conformance.bus import RUN_0


class SilentConnection(NatsConnection):
    """Is connected to a server that never answers; keeps how long it was to be waited for."""

    def __init__(self) -> None:
        super().__init__(NatsSettings("nats://silent"))
        self.waited: list[tuple[str, float | None]] = []

    @property
    def is_connected(self) -> bool:
        return True

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        ask_again_s: float | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        self.waited.append((subject.split(".")[3], timeout_s))
        raise TransientFault("the bus does not answer")

    def waits_for(self, verb: str) -> list[float | None]:
        return [timeout_s for asked, timeout_s in self.waited if asked == verb]


async def test_a_call_waits_as_long_as_its_caller_says():
    connection = SilentConnection()
    api = JetStreamApi(connection)
    with pytest.raises(TransientFault):
        await api.delete_consumer("RUNS", "c", 1.0)
    with pytest.raises(TransientFault):
        await api.create_ephemeral("RUNS", "c", ">", 1, 60, 1.5)
    with pytest.raises(TransientFault):
        await api.call("STREAM.INFO.RUNS")
    assert connection.waited == [("DELETE", 1.0), ("CREATE", 1.5), ("INFO", None)]


async def test_a_reader_gives_up_on_a_silent_server_within_its_own_bounds():
    connection = SilentConnection()
    reader = SourceReader(connection, RUN_0, lambda _: None, 1)
    with pytest.raises(TransientFault):
        await reader._create()
    await reader.close()
    assert connection.waits_for("CREATE") == list(CREATED_WITHIN_S)
    assert connection.waits_for("DELETE") == [DROPPED_WITHIN_S]
