"""The bus's object store for artifacts: its settings, its size, and who may do what with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.objects import NatsShelf
from penstock_adapters.nats.streams import artifact_settings, differing, ensure_artifacts
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import ARTIFACT_CHUNKS, ARTIFACT_STREAM
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import (
    CHUNK_BYTES,
    ArtifactDamaged,
    ArtifactMissing,
    ArtifactTooLarge,
)
from penstock_testkit.conformance.artifacts import content_of, key_of, pieces, read_all
from penstock_testkit.servers import RealNats, RealServers

pytestmark = pytest.mark.real

MIB = 1024 * 1024
BUCKET_BYTES = 24 * MIB
POWERS = (
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "allow_msg_schedules",
    "allow_msg_counter",
    "allow_direct",
    "mirror_direct",
)
CONTENT = content_of(3 * CHUNK_BYTES)
KEY = key_of(CONTENT)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("artifacts") / "state").nats
    server.start()
    yield server
    server.kill()


async def connected(nats: RealNats, user: BusUser) -> NatsConnection:
    login = nats.login(user)
    return await connect(
        NatsSettings(
            login.url, login.user, login.password, login.inbox_prefix, user.value,
            request_timeout_s=1.0,
        )
    )  # fmt: skip


@pytest.fixture
async def buses(nats: RealNats) -> AsyncIterator[dict[BusUser, NatsConnection]]:
    """Connections of everybody, and the bucket as the scheduler makes it."""
    opened = {user: await connected(nats, user) for user in BusUser}
    await ensure_artifacts(opened[BusUser.SCHEDULER], BUCKET_BYTES)
    yield opened
    for connection in opened.values():
        await connection.close()


async def test_its_settings(buses: dict[BusUser, NatsConnection]):
    info = await JetStreamApi(buses[BusUser.ADMIN]).stream_info(ARTIFACT_STREAM)
    assert differing(artifact_settings(BUCKET_BYTES), info.config) == {}
    assert {power: info.config.get(power, False) for power in POWERS} == dict.fromkeys(
        POWERS, False
    )
    assert (info.config["discard"], info.config["max_bytes"]) == ("old", BUCKET_BYTES)
    assert info.config["max_age"] == 86_400 * 1_000_000_000
    assert info.config["storage"] == "file"


async def test_executors_put_and_everybody_who_serves_them_reads(
    buses: dict[BusUser, NatsConnection],
):
    await NatsShelf(buses[BusUser.EXECUTOR]).put(KEY, pieces(CONTENT))
    for user in (BusUser.EXECUTOR, BusUser.SCHEDULER, BusUser.GATEWAY):
        assert await read_all(NatsShelf(buses[user]), KEY) == CONTENT
    await NatsShelf(buses[BusUser.SCHEDULER]).bury(KEY)
    await NatsShelf(buses[BusUser.SCHEDULER]).put(KEY, pieces(CONTENT))


@pytest.mark.parametrize("user", [BusUser.GATEWAY, BusUser.APPROVAL, BusUser.TRIGGER])
async def test_nobody_else_puts(buses: dict[BusUser, NatsConnection], user: BusUser):
    with pytest.raises(TransientFault):
        await NatsShelf(buses[user], ack_timeout_s=0.5).put(KEY, pieces(CONTENT))


@pytest.mark.parametrize("user", [BusUser.APPROVAL, BusUser.TRIGGER])
async def test_who_has_no_use_for_them_reads_none(
    buses: dict[BusUser, NatsConnection], user: BusUser
):
    with pytest.raises(TransientFault):
        await read_all(NatsShelf(buses[user]), KEY)


@pytest.mark.parametrize("user", [BusUser.EXECUTOR, BusUser.GATEWAY])
@pytest.mark.parametrize(
    "verb",
    [
        "STREAM.DELETE.{}",
        "STREAM.PURGE.{}",
        "STREAM.UPDATE.{}",
        "STREAM.MSG.DELETE.{}",
        "CONSUMER.CREATE.{}",
        "DIRECT.GET.{}",
    ],
)
async def test_nobody_but_its_owner_pulls_or_deletes(
    buses: dict[BusUser, NatsConnection], user: BusUser, verb: str
):
    with pytest.raises(TransientFault, match="does not answer"):
        await JetStreamApi(buses[user]).call(verb.format(ARTIFACT_STREAM), {})


async def test_one_that_has_lost_a_part_is_not_there(buses: dict[BusUser, NatsConnection]):
    admin = JetStreamApi(buses[BusUser.ADMIN])
    shelf = NatsShelf(buses[BusUser.EXECUTOR])
    content = content_of(20 * CHUNK_BYTES, "part")
    await shelf.put(key_of(content), pieces(content))
    reading = shelf.read(key_of(content))
    assert len(await anext(reading)) == CHUNK_BYTES
    await admin.purge(ARTIFACT_STREAM, f"{ARTIFACT_CHUNKS}>")
    with pytest.raises(ArtifactMissing, match="a part is gone"):
        async for _ in reading:  # the next part may have come before
            pass


async def test_content_that_was_exchanged_is_noticed(buses: dict[BusUser, NatsConnection]):
    executor = buses[BusUser.EXECUTOR]
    shelf = NatsShelf(executor)
    content = content_of(100, "true")
    await shelf.put(key_of(content), pieces(content))
    message = await JetStreamApi(buses[BusUser.ADMIN]).last_message_on(
        ARTIFACT_STREAM, f"{ARTIFACT_CHUNKS}*"
    )
    assert message is not None
    other = content_of(100, "false")
    await shelf.put(key_of(other), pieces(other))
    forged = await JetStreamApi(buses[BusUser.ADMIN]).last_message_on(
        ARTIFACT_STREAM, f"{ARTIFACT_CHUNKS}*"
    )
    assert forged is not None
    head = shelf._head(
        key_of(content), nuid=forged.subject.removeprefix(ARTIFACT_CHUNKS), size=100, chunks=1
    )
    await executor.exchange([head], 5)
    with pytest.raises(ArtifactDamaged):
        await read_all(shelf, key_of(content))


async def test_what_does_not_fit_is_refused_and_names_the_setting(
    buses: dict[BusUser, NatsConnection],
):
    content = content_of(BUCKET_BYTES // 2 + 1)
    with pytest.raises(ArtifactTooLarge, match="PENSTOCK_ARTIFACT_CACHE_MB"):
        await NatsShelf(buses[BusUser.EXECUTOR]).put(key_of(content), pieces(content))
