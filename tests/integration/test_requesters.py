"""Who asked for a run, on a real server: credentials say it, payloads do not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from pydantic_core import to_json

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.streams import ensure_streams
from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_contracts.subjects import STREAM_SUBJECTS, Stream
from penstock_contracts.trigger.v1 import GatewayTrigger
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_runtime.ports.inbox import Source
from penstock_scheduler.catalog import CatalogDomain
from penstock_testkit.conformance.bus import WAIT_S, take_exactly
from penstock_testkit.servers import RealNats, RealServers

pytestmark = pytest.mark.real

TENANT = "default"
SOURCE = Source(Stream.TRIGGERS, STREAM_SUBJECTS[Stream.TRIGGERS][0])


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("requesters") / "state").nats
    server.start()
    yield server
    server.kill()


class Bus:
    """Connections by user, and what the server has refused."""

    def __init__(self, nats: RealNats, stack: AsyncExitStack) -> None:
        self.refused: list[str] = []
        self._nats = nats
        self._stack = stack

    async def login(self, user: BusUser) -> NatsConnection:
        as_user = self._nats.login(user)
        settings = NatsSettings(
            as_user.url, as_user.user, as_user.password, as_user.inbox_prefix, user.value
        )
        made = await connect(settings, lambda error: self.refused.append(str(error)))
        self._stack.push_async_callback(made.close)
        return made

    async def publish(self, user: BusUser, subject: str, payload: bytes) -> Published:
        publisher = NatsPublisher(await self.login(user), ack_timeout_s=1.0)
        return (await publisher.publish([Outgoing(Stream.TRIGGERS, subject, payload)]))[0]


@pytest.fixture
async def bus(nats: RealNats) -> AsyncIterator[Bus]:
    async with AsyncExitStack() as stack:
        made = Bus(nats, stack)
        streams = OWNED_STREAMS[BusUser.SCHEDULER]
        owner = await made.login(BusUser.SCHEDULER)
        await ensure_streams(owner, streams, timeout_s=WAIT_S)
        yield made


@asynccontextmanager
async def reading(bus: Bus) -> AsyncIterator[NatsInbox]:
    inbox = NatsInbox(await bus.login(BusUser.SCHEDULER), [SOURCE])
    await inbox.attach({})
    yield inbox
    await inbox.close()


def event(kind: str = GatewayTrigger.MANUAL) -> bytes:
    return Envelope(
        id="e1", source="penstock/webhook-gateway/ann", type=kind, actor="token:ann",
        data={"inputs": {}},
    ).encode()  # fmt: skip


async def test_a_payload_is_not_believed_about_who_sent_it(bus: Bus):
    forged = subjects.trigger(TENANT, "workflow.demo")
    honest = subjects.gateway_trigger(TENANT, "workflow.demo")
    plain = subjects.trigger(TENANT, "ci.push")
    async with reading(bus) as inbox:
        assert await bus.publish(BusUser.TRIGGER, forged, event()) is Published.DONE
        body = to_json({"actor": "token:ann"})
        assert await bus.publish(BusUser.TRIGGER, plain, body) is Published.DONE
        assert await bus.publish(BusUser.GATEWAY, honest, event()) is Published.DONE
        read = [CatalogDomain().read(message) for message in await take_exactly(inbox, 3)]
    assert [one.actor for one in read] == ["trigger:workflow", "trigger:ci", "token:ann"]
    assert len({one.aggregate_id for one in read}) == 3
    assert bus.refused == []


@pytest.mark.parametrize("path", ["gateway", "gateway.workflow.demo", "gateway.gateway.x"])
async def test_the_trigger_user_cannot_publish_as_the_gateway(bus: Bus, path: str):
    async with reading(bus) as inbox:
        await take_all(inbox)
        subject = subjects.trigger(TENANT, path)
        assert await bus.publish(BusUser.TRIGGER, subject, event()) is not Published.DONE
        assert await inbox.confirm_empty()
    assert any("permissions violation" in error.lower() for error in bus.refused)


async def take_all(inbox: NatsInbox) -> None:
    while not await inbox.confirm_empty():
        await inbox.take(100, WAIT_S)
