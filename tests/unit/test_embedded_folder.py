"""The state folder, its secrets and its status document."""

import json
import os
import stat
from pathlib import Path

import pytest

from penstock_adapters.embedded.credentials import SecretBook, write_once
from penstock_adapters.embedded.faults import AlreadyRunningError, StateDamagedError
from penstock_adapters.embedded.home import FolderLock, StateFolder, read_object, write_private
from penstock_adapters.embedded.processes import (
    LOG_LIMIT_BYTES,
    Identity,
    log_tail,
    open_log,
    processes_in,
)
from penstock_adapters.embedded.status import StackState, StatusBook, read_status
from penstock_adapters.embedded.supervisor import ChildEvent, ChildState


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    state = StateFolder.at(tmp_path / "with space" / ".penstock")
    state.create()
    return state


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_closed_and_parents_are_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    state = StateFolder.at(tmp_path / ".penstock")
    state.create()
    state.nats.chmod(0o777)
    state.create()
    assert mode(tmp_path) == 0o755
    for part in (state.root, state.nats, state.logs, state.run, state.credentials):
        assert mode(part) == 0o700


def test_private_files_are_replaced_whole(folder: StateFolder) -> None:
    path = folder.run / "a.json"
    write_private(path, "{}")
    path.chmod(0o644)
    write_private(path, '{"b": 1}', durable=False)
    assert mode(path) == 0o600
    assert read_object(path) == {"b": 1}
    with pytest.raises(TypeError):
        write_private(path, 3)  # pyright: ignore[reportArgumentType] - breaks in the middle
    assert read_object(path) == {"b": 1}
    assert list(folder.run.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "[1]", "{", '"text"'])
def test_a_damaged_file_is_named(folder: StateFolder, content: str) -> None:
    path = folder.run / "broken.json"
    path.write_text(content)
    with pytest.raises(StateDamagedError, match=r"broken\.json"):
        read_object(path)


def test_one_holder_of_the_lock(folder: StateFolder) -> None:
    with FolderLock(folder):
        second = FolderLock(folder)
        with pytest.raises(AlreadyRunningError, match="PENSTOCK_HOME"):
            second.acquire()
        second.release()  # holds nothing, frees nothing
        with pytest.raises(AlreadyRunningError):
            second.acquire()
    with FolderLock(folder):
        pass


def test_secrets_are_generated_once_and_differ(folder: StateFolder) -> None:
    path = folder.credentials / "secrets.json"
    book = SecretBook(path)
    book.ensure(["one", "two"])
    book.ensure_hex("key")
    assert len({book["one"], book["two"], book["key"]}) == 3
    assert len(bytes.fromhex(book["key"])) == 32
    assert mode(path) == 0o600
    written = path.stat().st_mtime_ns
    again = SecretBook(path)
    again.ensure(["two", "one"])
    again.ensure_hex("key")
    assert (again["one"], again["key"]) == (book["one"], book["key"])
    assert path.stat().st_mtime_ns == written
    with pytest.raises(KeyError):
        again["three"]


@pytest.mark.parametrize("value", ["", None, 5])
def test_an_emptied_secret_is_never_accepted(folder: StateFolder, value: object) -> None:
    path = folder.credentials / "secrets.json"
    path.write_text(json.dumps({"one": value}))
    with pytest.raises(StateDamagedError, match="one"):
        SecretBook(path)


def test_a_credentials_file_follows_its_content(folder: StateFolder) -> None:
    write_once(folder.admin_token, "a")
    inode = folder.admin_token.stat().st_ino
    write_once(folder.admin_token, "a")
    assert folder.admin_token.stat().st_ino == inode
    write_once(folder.admin_token, "b")
    assert folder.admin_token.read_text() == "b"


def test_a_process_is_known_by_more_than_its_number(folder: StateFolder) -> None:
    here = Identity.of(os.getpid())
    assert here is not None
    assert here.alive()
    record = folder.run / "me.pid"
    here.record(record)
    assert Identity.recorded(record) == here
    assert not Identity(here.pid, here.start_ticks - 1, here.boot_id).alive()
    assert not Identity(here.pid, here.start_ticks, "another boot").alive()
    assert Identity.recorded(folder.run / "nobody.pid") is None
    (folder.run / "half.pid").write_text('{"pid": "x"}')
    assert Identity.recorded(folder.run / "half.pid") is None


def test_processes_are_found_by_their_working_folder(tmp_path: Path) -> None:
    assert os.getpid() in processes_in(Path.cwd())
    assert list(processes_in(tmp_path)) == []
    assert list(processes_in(tmp_path / "absent")) == []


def test_a_grown_log_is_set_aside(folder: StateFolder) -> None:
    path = folder.log_file("nats")
    assert log_tail(path) == ""
    path.write_text("one\ntwo\nthree\n")
    assert log_tail(path, lines=2) == "two\nthree"
    os.truncate(path, LOG_LIMIT_BYTES + 1)
    os.close(open_log(path))
    assert path.stat().st_size == 0
    assert mode(path) == 0o600
    assert (folder.logs / "nats.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


def test_the_status_tells_what_was_reported(folder: StateFolder) -> None:
    assert read_status(folder).state is StackState.STOPPED
    book = StatusBook(folder.status)
    book.begin()
    book.note(ChildEvent("nats", ChildState.READY, 77, 2, "because"))
    assert read_status(folder).state is StackState.STARTING
    book.ready("http://127.0.0.1:1")
    status = read_status(folder)
    assert status.state is StackState.READY
    assert status.gateway_url == "http://127.0.0.1:1"
    assert status.supervisor == Identity.of(os.getpid())
    (child,) = status.children
    assert (child.name, child.state, child.pid, child.restarts) == ("nats", "ready", 77, 2)
    assert child.since_us > 0
    book.stopping()
    assert read_status(folder).state is StackState.STOPPING
    book.end("no room")
    status = read_status(folder)
    assert (status.state, status.fault) == (StackState.FAILED, "no room")
    assert status.supervisor is None


def test_a_status_whose_author_died_says_so(folder: StateFolder) -> None:
    book = StatusBook(folder.status)
    book.begin()
    document = json.loads(folder.status.read_text())
    document["start_ticks"] += 1
    folder.status.write_text(json.dumps(document))
    status = read_status(folder)
    assert status.state is StackState.DEAD
    assert status.supervisor is None


@pytest.mark.parametrize("content", ['{"state": "odd", "children": []}', '{"state": "ready"}'])
def test_a_foreign_status_document_is_refused(folder: StateFolder, content: str) -> None:
    folder.status.write_text(content)
    with pytest.raises(StateDamagedError, match="status document"):
        read_status(folder)
