"""How the connection behaves when the server is not there, refuses, or goes away."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest

from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.inbox import NatsInbox
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.replies import Frame
from penstock_adapters.nats.streams import ensure_streams
from penstock_adapters.nats.wire import header_block
from penstock_adapters.nats.work import NatsControl
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Published
from penstock_testkit.conformance.bus import (
    RUN_0,
    WAIT_S,
    command,
    commands,
    numbers,
    take_exactly,
)
from penstock_testkit.servers import RealNats, RealServers

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    server = RealServers(tmp_path_factory.mktemp("connection") / "state").nats
    server.start()
    yield server
    server.kill()


@pytest.fixture
def settings(nats: RealNats) -> NatsSettings:
    if not nats.running:
        nats.start()
    login = nats.login()
    return NatsSettings(
        login.url, login.user, login.password, login.inbox_prefix, reconnect_wait_s=0.02
    )


@pytest.fixture
async def bus(settings: NatsSettings) -> AsyncIterator[NatsConnection]:
    connection = await connect(settings)
    await ensure_streams(connection, (Stream.RUNS,))
    await JetStreamApi(connection).purge(Stream.RUNS, ">")
    yield connection
    await connection.close()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_names_the_address_and_the_mend_when_nobody_listens():
    settings = NatsSettings(f"nats://127.0.0.1:{free_port()}", "me", "hidden")
    with pytest.raises(TransientFault) as caught:
        await connect(settings)
    text = str(caught.value)
    assert settings.address() in text
    assert "as me" in text
    assert "PENSTOCK_NATS_URL" in text
    assert "hidden" not in text + repr(settings)


async def test_says_so_when_the_credentials_are_refused(settings: NatsSettings):
    with pytest.raises(TransientFault, match=r"(?i)authorization"):
        await connect(replace(settings, password="wrong"))


async def test_asks_again_when_a_refusing_server_resets_before_it_could_say_why():
    seen = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        if seen <= 6:  # closing with this option set is a reset
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.close()
            return
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1000}\r\n')
        await reader.readline()
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransientFault, match=r"(?i)authorization"):
            await connect(NatsSettings(f"nats://127.0.0.1:{port}", reconnect_wait_s=0.02))
    assert seen > 6


async def test_gives_up_on_a_server_that_says_nothing():
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TransientFault, match="cannot connect"):
            await connect(NatsSettings(url, connect_timeout_s=0.2))


async def test_refuses_an_address_that_is_none():
    with pytest.raises(TransientFault, match="cannot connect"):
        await connect(NatsSettings("nats://127.0.0.1:port"))


async def test_takes_the_server_of_several_that_answers(settings: NatsSettings):
    url = f"nats://127.0.0.1:{free_port()},{settings.url}"
    connection = await connect(replace(settings, url=url))
    assert connection.is_connected
    await connection.close()


def test_encrypts_when_the_address_asks_for_it():
    assert NatsSettings("nats://host").tls() is None
    assert NatsSettings("tls://host:4443").tls() is not None
    assert NatsSettings("host").address() == "host:4222"


async def test_what_was_not_written_is_dropped_and_not_sent_later(
    bus: NatsConnection, nats: RealNats
):
    # Without a turn of the event loop between them, the loss is found after the publish was
    # queued: the library would keep it and send it after the reconnect.
    session = bus.session
    nats.kill()
    path = command(1).subject
    sent = bus.send(path, b"1")
    awaited = asyncio.create_task(bus.exchange([Frame(path, b"2")], WAIT_S))
    assert await bus.wait_disconnected(session, WAIT_S)
    assert sent
    assert await awaited == [None], "the wait ends with the connection"
    assert not bus.send(path, b"3")
    nats.start()
    assert await bus.wait_connected(WAIT_S)
    assert (await JetStreamApi(bus).stream_info(Stream.RUNS)).messages == 0


async def test_an_orderly_stop_of_the_server_is_survived(bus: NatsConnection, nats: RealNats):
    session = bus.session
    nats.restart()
    assert await bus.wait_disconnected(session, WAIT_S)
    assert await bus.wait_connected(WAIT_S)
    assert await NatsPublisher(bus).publish([command(1)]) == [Published.DONE]


async def test_a_hung_server_is_left(settings: NatsSettings, nats: RealNats):
    connection = await connect(replace(settings, ping_interval_s=1, connect_timeout_s=1))
    session = connection.session
    nats.pause()
    try:
        assert await connection.wait_disconnected(session, WAIT_S)
        assert not connection.is_connected
        with pytest.raises(TransientFault, match="does not answer"):
            await connection.request("anything")
    finally:
        nats.resume()
    assert await connection.wait_connected(WAIT_S)
    await connection.close()


async def test_a_request_that_nobody_serves_says_so(bus: NatsConnection):
    with pytest.raises(TransientFault, match="nobody"):
        await bus.request("nobody.listens.here")


Answers = Sequence[tuple[int, bytes]]  # (which ask is answered, with what; b"": nobody is there)
INFO = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1000,"headers":true}\r\n'


async def slow_server(
    on_ask: Sequence[Answers], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Play a server that, at each ask, sends the answers that are due by then."""
    writer.write(INFO)
    asked: list[bytes] = []
    while line := (await reader.readline()).split():
        if line[0] == b"PING":
            writer.write(b"PONG\r\n")
        if line[0] != b"PUB":
            continue
        await reader.readline()
        asked.append(line[2])
        for ask, answer in on_ask[len(asked) - 1] if len(asked) <= len(on_ask) else ():
            if answer:
                writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (asked[ask], len(answer), answer))
            else:
                writer.write(b"HMSG %b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % asked[ask])
    writer.close()


@pytest.mark.parametrize(
    ("on_ask", "given"),
    [
        (((), [(0, b"late")]), b"late"),
        (((), [(1, b"")], [(0, b"late")]), b"late"),
        (((), [(1, b"second")], [(0, b"late")]), b"second"),
    ],
    ids=["the first try", "nobody at the second", "the second try"],
)
async def test_a_server_that_answers_late_is_heard(on_ask: Sequence[Answers], given: bytes):
    async with await asyncio.start_server(partial(slow_server, on_ask), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = NatsSettings(f"nats://127.0.0.1:{port}", request_timeout_s=WAIT_S)
        connection = await connect(replace(settings, connect_timeout_s=WAIT_S))
        assert await connection.request("slow", ask_again_s=0.05) == given
        await connection.close()


async def test_that_nobody_is_there_is_said_at_the_first_try():
    answers: Sequence[Answers] = ([(0, b"")], [(1, b"somebody")])
    async with await asyncio.start_server(partial(slow_server, answers), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(NatsSettings(f"nats://127.0.0.1:{port}"))
        with pytest.raises(TransientFault, match="nobody"):
            await connection.request("slow", ask_again_s=WAIT_S)
        await connection.close()


async def test_a_refused_subscription_is_reported(nats: RealNats):
    login = nats.login(BusUser.EXECUTOR)
    heard: asyncio.Queue[Exception] = asyncio.Queue(10)
    connection = await connect(
        NatsSettings(login.url, login.user, login.password, login.inbox_prefix), heard.put_nowait
    )

    async def handler(_subject: str, _payload: bytes) -> None:
        raise AssertionError("nothing may arrive")

    end = await NatsControl(connection).listen(command(1).subject, handler)
    assert "ermissions" in str(await asyncio.wait_for(heard.get(), WAIT_S))
    await end()
    await connection.close()


async def test_closing_is_bounded_and_final(settings: NatsSettings, nats: RealNats):
    connection = await connect(replace(settings, drain_timeout_s=0.5))
    nats.pause()
    try:
        await asyncio.wait_for(connection.close(), WAIT_S)
    finally:
        nats.resume()
    await asyncio.wait_for(connection.wait_closed(), WAIT_S)
    assert not connection.is_connected
    assert await connection.exchange([Frame("x", b"")], 1) == [None]
    with pytest.raises(TransientFault, match="cannot listen"):
        await connection.subscribe("x", lambda *_: None)
    await connection.close()


async def test_headers_count_against_the_largest_payload(bus: NatsConnection):
    # The server would answer with an error that closes the client for good.
    headers = header_block({"Nats-Msg-Id": "x" * 100})
    payload = bytes(bus.max_payload - 50)
    with pytest.raises(ValueError, match="artifact"):
        bus.send(command(1).subject, payload, headers=headers)
    with pytest.raises(ValueError, match="artifact"):
        await bus.exchange([Frame(command(1).subject, payload, headers)], 1)
    assert await NatsPublisher(bus).publish([command(1)]) == [Published.DONE]


async def test_a_line_break_cannot_be_smuggled_in(bus: NatsConnection):
    with pytest.raises(ValueError, match="not a subject"):
        bus.send("a b", b"")
    with pytest.raises(ValueError, match="not a subject"):
        await bus.exchange([Frame("a\r\nPUB b 0", b"")], 1)
    with pytest.raises(ValueError, match="one line"):
        header_block({"Nats-Msg-Id": "a\r\nNats-Rollup: all"})


# ---- repairs of the reader ----------------------------------------------------------------------


async def reading(bus: NatsConnection, count: int) -> tuple[NatsInbox, list[int]]:
    inbox = NatsInbox(bus, [RUN_0])
    await inbox.attach({})
    await NatsPublisher(bus).publish(commands(1, count))
    return inbox, numbers(await take_exactly(inbox, count))


async def all_again(inbox: NatsInbox, bus: NatsConnection, taken: list[int]) -> None:
    """What comes after a repair is neither lost nor repeated."""
    await NatsPublisher(bus).publish(commands(len(taken) + 1, len(taken) + 50))
    taken += numbers(await take_exactly(inbox, 50))
    assert taken == list(range(1, len(taken) + 1))
    assert inbox.rebuilt == 1
    await inbox.close()


async def test_a_gap_in_the_consumer_sequence_is_repaired(bus: NatsConnection):
    inbox, taken = await reading(bus, 10)
    reader = inbox._readers[Stream.RUNS]
    # No client may send with such a reply subject, so the loss is played to the reader itself.
    reply = f"$JS.ACK.RUNS.{reader._consumer}.1.99.15.1700000000000000000.0"
    reader._on_message(command(99).subject.encode(), reply.encode(), b"99", None)
    await all_again(inbox, bus, taken)


async def test_a_heartbeat_that_is_ahead_is_repaired(bus: NatsConnection):
    inbox, taken = await reading(bus, 10)
    reader = inbox._readers[Stream.RUNS]
    ahead = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 11\r\n\r\n"
    bus.send(f"{reader._inbox}.{reader._consumer}", b"", headers=ahead)
    await all_again(inbox, bus, taken)


async def test_a_deleted_consumer_is_repaired(bus: NatsConnection):
    inbox, taken = await reading(bus, 10)
    await JetStreamApi(bus).delete_consumer(Stream.RUNS, inbox._readers[Stream.RUNS]._consumer)
    await all_again(inbox, bus, taken)


async def test_a_heartbeat_in_step_repairs_nothing(bus: NatsConnection):
    inbox, taken = await reading(bus, 10)
    reader = inbox._readers[Stream.RUNS]
    level = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 10\r\n\r\n"
    expired = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 490\r\n\r\n"
    bus.send(f"{reader._inbox}.{reader._consumer}", b"", headers=level)
    bus.send(f"{reader._inbox}.{reader._consumer}", b"", headers=expired)
    await NatsPublisher(bus).publish([command(11)])
    assert numbers(await take_exactly(inbox, 1)) == [11]
    assert taken == list(range(1, 11))
    assert inbox.rebuilt == 0
    await inbox.close()


async def test_a_stored_status_header_is_taken_for_what_it_is(bus: NatsConnection):
    inbox, _ = await reading(bus, 1)
    forged = b"NATS/1.0 409 Consumer Deleted\r\nNats-Last-Consumer: 999\r\n\r\n"
    await bus.exchange([Frame(command(2).subject, b"2", forged)], WAIT_S)
    await NatsPublisher(bus).publish([command(3)])
    assert numbers(await take_exactly(inbox, 2)) == [2, 3]
    assert inbox.rebuilt == 0
    await inbox.close()


async def test_a_full_buffer_stops_the_asking(bus: NatsConnection):
    inbox = NatsInbox(bus, [RUN_0])
    await inbox.attach({})
    await NatsPublisher(bus).publish(commands(1, 9000))
    first = await take_exactly(inbox, 1)
    reader = inbox._readers[Stream.RUNS]
    assert reader._held + reader._credit <= 4096
    rest = await take_exactly(inbox, 8999)
    assert numbers(first + rest) == list(range(1, 9001))
    await inbox.close()
