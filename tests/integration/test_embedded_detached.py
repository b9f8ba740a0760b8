"""A supervisor in a process of its own: up, down, kill -9, and who may run it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock_adapters.embedded.detached import down, up
from penstock_adapters.embedded.faults import AlreadyRunningError, StartFailedError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_install import FALLBACK_ROOT
from penstock_adapters.embedded.processes import Identity, wait_until
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.status import StackState, StackStatus, read_status
from tests.integration.embedded_people import (
    SUPERVISOR,
    obstacle,
    open_folder,
    ordinary,
    without_namespaces,
)
from tests.integration.embedded_supervisor import service_argv

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

WITHIN_S = 30.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")


def supervisor_of(folder: StateFolder) -> list[str]:
    return [sys.executable, str(SUPERVISOR), str(folder.root)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    state = StateFolder.at(tmp_path / "a place" / ".penstock")
    yield state
    down(state, WITHIN_S)


def processes_of(status: StackStatus) -> list[Identity]:
    pids = [child.pid for child in status.children if child.pid is not None]
    found = [identity for pid in pids if (identity := Identity.of(pid)) is not None]
    assert len(found) == len(pids)
    return found


def all_gone(identities: list[Identity]) -> bool:
    return wait_until(lambda: not any(one.alive() for one in identities), WITHIN_S)


def mentions(folder: StateFolder) -> list[str]:
    """Command lines of live processes that name the folder."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and Identity.of(int(entry.name)) is not None:
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder.root) in line:
                found.append(line)
    return found


def test_up_and_down_leave_nothing_running(folder: StateFolder) -> None:
    assert read_status(folder).state is StackState.STOPPED
    assert not down(folder)
    status = up(folder, supervisor_of(folder))
    assert status.state is StackState.READY
    assert status.gateway_url.startswith("http://127.0.0.1:")
    assert len(status.children) == 6
    with pytest.raises(AlreadyRunningError):
        up(folder, supervisor_of(folder))
    assert read_status(folder).state is StackState.READY
    running = processes_of(status)
    assert down(folder)
    assert all_gone(running)
    assert mentions(folder) == []
    assert read_status(folder).state is StackState.STOPPED


def test_a_failing_start_is_told_to_whoever_waits(folder: StateFolder) -> None:
    nothing = [sys.executable, "-c", "raise SystemExit('no stack today')"]
    with pytest.raises(StartFailedError, match="no stack today"):
        up(folder, nothing)
    wrong = {**os.environ, "PENSTOCK_POSTGRES_URL": "postgresql://x:y@127.0.0.1:1/postgres"}
    with pytest.raises(StartFailedError, match=r"PENSTOCK_POSTGRES_URL: x at 127.0.0.1:1.*refused"):
        up(folder, supervisor_of(folder), wrong)
    assert read_status(folder).state is StackState.FAILED
    assert mentions(folder) == []


def test_no_orphans_when_the_supervisor_is_killed_and_the_next_start_recovers(
    folder: StateFolder,
) -> None:
    status = up(folder, supervisor_of(folder))
    running = processes_of(status)
    assert status.supervisor is not None
    os.kill(status.supervisor.pid, signal.SIGKILL)
    assert all_gone(running)
    assert wait_until(lambda: mentions(folder) == [], WITHIN_S)
    assert read_status(folder).state is StackState.DEAD
    again = up(folder, supervisor_of(folder))
    assert again.state is StackState.READY
    assert again.gateway_url == status.gateway_url


def test_a_supervisor_killed_during_its_start_leaves_no_orphans(folder: StateFolder) -> None:
    process = subprocess.Popen(supervisor_of(folder), start_new_session=True)
    try:
        postgres_up = folder.run / "postgres.pid"
        assert wait_until(postgres_up.exists, WITHIN_S)
    finally:
        process.kill()
        process.wait(WITHIN_S)
    assert wait_until(lambda: mentions(folder) == [], WITHIN_S)
    assert up(folder, supervisor_of(folder)).state is StackState.READY


def test_leftovers_are_ended_but_strangers_are_not(folder: StateFolder) -> None:
    folder.create()
    idle = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(idle) as leftover, subprocess.Popen(idle) as stranger:
        try:
            ours, theirs = Identity.of(leftover.pid), Identity.of(stranger.pid)
            assert ours is not None
            assert theirs is not None
            ours.record(folder.run / "executor.pid")
            # A record whose pid now belongs to somebody who started at another time.
            Identity(theirs.pid, theirs.start_ticks - 1, theirs.boot_id).record(
                folder.run / "scheduler.pid"
            )
            assert down(folder)
            assert leftover.wait(WITHIN_S) != 0
            assert theirs.alive()
            assert list(folder.run.glob("*.pid")) == []
        finally:
            leftover.kill()
            stranger.kill()


async def test_a_signal_during_the_start_stops_what_was_started(folder: StateFolder) -> None:
    process = await asyncio.create_subprocess_exec(*supervisor_of(folder))
    started = folder.run / "nats.pid"
    assert await asyncio.to_thread(wait_until, started.exists, WITHIN_S)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WITHIN_S):
        assert await process.wait() == 0
    assert mentions(folder) == []


def test_an_ordinary_user_runs_it() -> None:
    if reason := obstacle():
        pytest.skip(reason)
    with open_folder() as place:
        folder = StateFolder.at(place / ".penstock")
        with supervised(ordinary(supervisor_of(folder)), folder):
            status = read_status(folder)
            owner = folder.root.stat().st_uid
            assert status.supervisor is not None
            for pid in (status.supervisor.pid, *(child.pid for child in status.children)):
                assert Path(f"/proc/{pid}").stat().st_uid == owner
            assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
            assert not (folder.postgres / "install").exists()


@as_root
def test_root_runs_postgres_unprivileged_and_leaves_parents_alone(folder: StateFolder) -> None:
    parent = folder.root.parent
    parent.mkdir(mode=0o700)
    status = up(folder, supervisor_of(folder))
    (postgres,) = (child.pid for child in status.children if child.name == "postgres")
    assert Path(f"/proc/{postgres}").stat().st_uid != 0
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    assert (folder.postgres / "data" / "PG_VERSION").is_file()


@as_root
def test_root_without_namespaces_below_open_parents_opens_only_its_own_folder() -> None:
    with open_folder() as place:
        place.chmod(0o755)
        folder = StateFolder.at(place / ".penstock")
        with supervised(without_namespaces(supervisor_of(folder)), folder):
            assert stat.S_IMODE(folder.root.stat().st_mode) == 0o711
            assert (folder.postgres / "data" / "PG_VERSION").is_file()


@as_root
def test_root_without_namespaces_below_a_closed_parent_finds_another_place(
    folder: StateFolder,
) -> None:
    before = set(FALLBACK_ROOT.glob("penstock-0-*"))
    with supervised(without_namespaces(supervisor_of(folder)), folder):
        assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    (made,) = set(FALLBACK_ROOT.glob("penstock-0-*")) - before
    try:
        assert stat.S_IMODE((made / "data").stat().st_mode) == 0o700
    finally:
        subprocess.run(["rm", "-rf", str(made)], check=True, timeout=WITHIN_S)


@contextmanager
def supervised(argv: list[str], folder: StateFolder) -> Iterator[None]:
    """Run a supervisor in the foreground of its own process until the block ends."""
    process = subprocess.Popen(argv)
    try:
        assert wait_until(
            lambda: process.poll() is not None or read_status(folder).state is StackState.READY,
            WITHIN_S,
        )
        assert process.poll() is None, read_status(folder).fault
        yield
    finally:
        process.terminate()
        assert process.wait(WITHIN_S) == 0
    assert mentions(folder) == []


async def test_the_lock_is_free_after_a_failed_start(folder: StateFolder) -> None:
    stack = EmbeddedStack(folder.root, service_argv("--fail"))
    with pytest.raises(StartFailedError):
        await stack.start()
    assert not down(folder)
