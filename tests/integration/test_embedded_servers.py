"""The real servers that other tests stand on: what a test may do to them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest
from nats.js.api import StreamConfig

from penstock_adapters.embedded.faults import PlacementFailedError, ServerMissingError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import jetstream_greets
from penstock_adapters.embedded.ports import PortBook, draw_free_port, is_free
from penstock_adapters.embedded.postgres_install import find_programs, outside_of, place
from penstock_adapters.embedded.postgres_server import postgres_asks
from penstock_testkit.servers import RealServers

pytestmark = pytest.mark.real

WITHIN_S = 5


@pytest.fixture(scope="module")
def servers() -> Iterator[RealServers]:
    with RealServers.started() as running:
        yield running


async def messages(servers: RealServers) -> int:
    """Publish once to a stream of the test's own and tell how many messages it holds."""
    client = await nats.connect(**servers.nats.connect_options(), allow_reconnect=False)
    try:
        js = client.jetstream(timeout=WITHIN_S)
        await js.add_stream(StreamConfig(name="MINE", subjects=["mine.>"]))
        await js.publish("mine.a", b"")
        return (await js.stream_info("MINE")).state.messages
    finally:
        await client.close()


async def test_jetstream_survives_a_kill_and_not_its_loss(servers: RealServers) -> None:
    assert await messages(servers) == 1
    before = servers.nats.pid
    servers.nats.kill()
    assert not servers.nats.running
    servers.nats.start()
    assert servers.nats.pid != before
    assert await messages(servers) == 2
    servers.nats.lose_jetstream()
    assert await messages(servers) == 1


def test_databases_are_fresh_and_survive_kill_and_restart(servers: RealServers) -> None:
    one, two = servers.postgres.fresh_database(), servers.postgres.fresh_database()
    with psycopg.connect(one.owner) as connection:
        connection.execute("CREATE TABLE here (n int)")
    servers.postgres.kill()
    servers.postgres.start()
    servers.postgres.restart()
    for urls, found in ((one, "here"), (two, None)):
        with psycopg.connect(urls.admin) as connection:
            assert connection.execute("SELECT to_regclass('here')::text").fetchone() == (found,)
    with psycopg.connect(servers.postgres.urls("penstock_gateway").auditor) as auditor:
        row = auditor.execute("SELECT current_user, current_database()").fetchone()
        assert row == ("auditor", "penstock_gateway")
    assert servers.postgres.data.is_dir()
    servers.postgres.create_roles()  # safe to repeat


def test_a_paused_server_does_not_answer_until_it_is_resumed(servers: RealServers) -> None:
    host, port = servers.nats.url.removeprefix("nats://").split(":")
    servers.nats.pause()
    try:
        assert not jetstream_greets(host, int(port))
    finally:
        servers.nats.resume()
    assert jetstream_greets(host, int(port))


def test_probes_tell_other_servers_and_silence_apart(servers: RealServers) -> None:
    silent = draw_free_port()
    assert not jetstream_greets("127.0.0.1", silent)
    assert not postgres_asks("127.0.0.1", silent)
    host, port = servers.nats.url.removeprefix("nats://").split(":")
    assert not postgres_asks(host, int(port))
    assert not is_free(int(port))


def test_ports_are_remembered_distinct_and_below_the_ephemeral_range(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    first = book.assign(("a", "b", "c"))
    assert len(set(first.values())) == 3
    assert all(10_240 <= port < 32_768 for port in first.values())
    assert PortBook(tmp_path / "ports.json").assign(("c", "a")) == {
        "c": first["c"],
        "a": first["a"],
    }


def test_programs_that_are_missing_or_broken_are_named() -> None:
    with pytest.raises(ServerMissingError, match="PENSTOCK_POSTGRES_URL"):
        find_programs(wheel="penstock_has_no_such_wheel")
    with pytest.raises(ServerMissingError, match="does not run"):
        find_programs(wheel="json")


def test_programs_that_are_too_old_are_refused() -> None:
    with pytest.raises(ServerMissingError, match="too old: 99"):
        find_programs(minimum_major=99)


@pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")
def test_a_strangers_folder_in_the_place_for_data_is_not_used(tmp_path: Path) -> None:
    folder = StateFolder.at(tmp_path / "state")
    folder.create()
    stranger = outside_of(folder, tmp_path)
    stranger.mkdir()
    os.chown(stranger, 12_345, 12_345)
    with pytest.raises(PlacementFailedError, match="belongs to another user"):
        place(folder, find_programs(), tmp_path)
    os.chown(stranger, 0, 0)
    placed = place(folder, find_programs(), tmp_path)
    assert placed.base == stranger
    assert stat.S_IMODE(stranger.stat().st_mode) == 0o755
    copied = (placed.bin / "postgres").stat()
    again = place(folder, find_programs(), tmp_path)
    assert (again.bin / "postgres").stat().st_ino == copied.st_ino
