"""An executor killed in the middle of anything leaves nothing behind its restart.

`dying.py` is that executor, with the real parts of one; what hangs is a program in the place of
git or of an engine's client that is deaf to everything but SIGKILL. The restart is a sandbox that
is opened on the same folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from penstock_adapters.process.child import wait_readable
from penstock_adapters.process.leftovers import OWNER_VARIABLE, end_leftovers
from penstock_adapters.process.owners import owner_is_gone, owner_tag
from penstock_testkit.sandbox_probes import WAIT_S
from penstock_testkit.sandboxes import opened_bubblewrap
from tests.integration.git_world import KEY, NEW, GitWorld

pytestmark = pytest.mark.real

DYING = Path(__file__).with_name("dying.py")
DEAF = """#!/bin/sh
case " $* " in *" {word} "*)
    trap '' TERM INT HUP PIPE
    echo there > '{told}'
    while :; do sleep 600 & wait; done;;
esac
exec {program} "$@"
"""
KILLS = 4


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Everything an executor of these has; the whole test needs bubblewrap."""
    for name in ("bundle", "writable", "programs", "tmp"):
        (tmp_path / name).mkdir(mode=0o755)
    os.mkfifo(tmp_path / "told")
    async with opened_bubblewrap(tmp_path / "other"):
        pass  # skips where bwrap cannot run
    return tmp_path


def hangs(folder: Path, program: str, word: str) -> None:
    """Put a program before all others that hangs where `word` is among its arguments."""
    path = folder / "programs" / program
    real = shutil.which(program) or "/bin/false"
    path.write_text(DEAF.format(word=word, told=folder / "told", program=real))
    path.chmod(0o755)


@contextmanager
def executor(phase: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    path = f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}"
    env = {
        **os.environ,
        "PATH": path,
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join(one for one in sys.path if one),
    }
    process = subprocess.Popen(
        [sys.executable, str(DYING), phase, str(folder)], env=env, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_S)
        if process.stdout is not None:
            process.stdout.close()


async def until_there(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until it is in the middle: it says so, or the program that hangs does."""
    assert process.stdout is not None
    told = os.open(folder / "told", os.O_RDWR | os.O_NONBLOCK)
    says = [asyncio.create_task(wait_readable(fd)) for fd in (process.stdout.fileno(), told)]
    try:
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait(says, return_when=asyncio.FIRST_COMPLETED)
        said = os.read(told if says[1].done() else process.stdout.fileno(), 64)
        assert said.startswith(b"there\n")
    finally:
        for one in says:
            one.cancel()
        await asyncio.wait(says)
        os.close(told)


async def killed(process: subprocess.Popen[bytes]) -> str:
    """Kill it, and give the name by which what it owns is known."""
    tag = f"{process.pid}-"
    end = os.pidfd_open(process.pid)
    process.kill()
    async with asyncio.timeout(WAIT_S):
        await wait_readable(end)
    os.close(end)
    return tag


def processes_of(folder: Path, tag: str) -> list[int]:
    """What still runs and has to do with it: by its owner, or by its arguments."""
    found: list[int] = []
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal() or int(place.name) == os.getpid():
            continue
        try:
            line, env = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        owned = f"{OWNER_VARIABLE}=".encode() in env and f"-{tag}".encode() in env
        if owned or str(folder).encode() in line:
            found.append(int(place.name))
    return found


async def check_nothing_is_left(folder: Path, tag: str) -> None:
    async with opened_bubblewrap(folder / "scratch"):  # the restart
        async with asyncio.timeout(WAIT_S):  # a namespace takes a moment to die with its first
            await until_gone(processes_of(folder, tag))
        assert processes_of(folder, tag) == []
        assert len(names_in(folder / "scratch")) == 1
    assert names_in(folder / "scratch") == []
    assert names_in(folder / "tmp") == []
    assert groups_of(tag) == []
    assert str(folder) not in mounts()


async def until_gone(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            end = os.pidfd_open(pid)
            await wait_readable(end)
            os.close(end)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def groups_of(tag: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup").rglob(f"penstock-sandbox-{tag}*"))


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("phase", ["opening", "running", "unsandboxed", "cleaning"])
async def test_nothing_is_left_of(folder: Path, phase: str):
    with executor(phase, folder) as process:
        await until_there(process, folder)
        tag = await killed(process)
    await check_nothing_is_left(folder, tag)


@pytest.mark.parametrize("number", range(KILLS))
async def test_nothing_is_left_of_work_that_is_killed_anywhere(folder: Path, number: int):
    with executor("working", folder) as process:
        await until_there(process, folder)
        await asyncio.sleep(0.013 * number)  # somewhere else in a task each time
        tag = await killed(process)
    await check_nothing_is_left(folder, tag)


async def test_nothing_is_left_of_egress(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        (folder / "port").write_text(str(server.getsockname()[1]))
        with executor("egress", folder) as process:
            await until_there(process, folder)
            connection, _ = server.accept()
            tag = await killed(process)
            connection.settimeout(WAIT_S)
            assert connection.recv(1) == b""
            connection.close()
    await check_nothing_is_left(folder, tag)


async def test_nothing_is_left_of_a_clone_whose_git_hangs(folder: Path):
    GitWorld(folder)
    hangs(folder, "git", "index-pack")
    with executor("cloning", folder) as process:
        await until_there(process, folder)
        tag = await killed(process)
    assert processes_of(folder, tag) != []
    await check_nothing_is_left(folder, tag)


async def test_nothing_is_left_of_a_landing_whose_git_hangs(folder: Path):
    world = GitWorld(folder)
    await world.propose({"a.txt": NEW})
    plan = {
        "clone": str(world.opened.clone),
        "ref": world.opened.ref,
        "commit": world.opened.commit,
        "effect": world.plan.effect,
        "base": world.plan.base,
        "key": KEY,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    hangs(folder, "git", "update-ref")
    with executor("landing", folder) as process:
        await until_there(process, folder)
        tag = await killed(process)
    assert processes_of(folder, tag) != []
    await check_nothing_is_left(folder, tag)
    await world.open()
    world.write({"a.txt": NEW})
    landed = await world.land()  # the same key again: nothing stands in its way
    assert landed.commit
    assert [path.name for path in (folder / "repository" / ".git").rglob("*.lock")] == []


async def test_nothing_is_left_of_an_engine_s_client_that_hangs(folder: Path):
    hangs(folder, "dagger", "session")
    with executor("connecting", folder) as process:
        await until_there(process, folder)
        tag = await killed(process)
    assert processes_of(folder, tag) != []
    await check_nothing_is_left(folder, tag)


async def test_what_belongs_to_the_living_is_left_alone(folder: Path):
    hangs(folder, "dagger", "session")
    with executor("connecting", folder) as process:
        await until_there(process, folder)
        assert end_leftovers() == 0
        assert processes_of(folder, f"{process.pid}-") != []
        tag = await killed(process)
    await check_nothing_is_left(folder, tag)


def test_names_of_owners():
    assert not owner_is_gone(owner_tag())
    assert not owner_is_gone(f"no-{uuid4().hex}")
    assert not owner_is_gone(str(os.getpid()))
    assert owner_is_gone(f"{os.getpid()}-1")
    assert owner_is_gone("999999999-1")


def test_the_dead_that_nobody_has_reaped_are_dead():
    with subprocess.Popen(["true"]) as process:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner_is_gone(f"{process.pid}-{fields[19]}")
