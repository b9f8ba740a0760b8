"""Executors that are killed: each does what a real one does in one phase, with the real parts.

Run as a program: `python dying.py PHASE FOLDER`. It says `there` when it is in the middle.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.dagger.connection import Connection
from penstock_adapters.dagger.waits import Waits
from penstock_adapters.git import GitRepositories
from penstock_adapters.process import ProcessSandbox
from penstock_adapters.process.scratch import Scratch
from penstock_runtime.ports.repositories import Opened
from penstock_runtime.ports.sandbox import EgressRule, Mount, SandboxSpec
from penstock_testkit.sandbox_probes import LIMITS, LogLine

LONG = replace(LIMITS, wall_s=60, cpu_s=60)
HOLD = (
    "import os, signal, time\n"
    "signal.signal(15, signal.SIG_IGN)\n"
    "os.fork() or os.setsid()\n"  # a daemon among them
    "open(os.environ['PENSTOCK_WORK'] + '/made', 'w').close()\n"
    "print('up', flush=True); time.sleep(600)"
)
CONNECT = (
    "import os, socket, sys, time\n"
    "there = socket.socket(socket.AF_UNIX); there.connect(os.environ['PENSTOCK_EGRESS_SOCKET'])\n"
    "there.sendall(f'CONNECT 127.0.0.1:{sys.argv[1]} HTTP/1.1\\r\\n\\r\\n'.encode())\n"
    "assert b' 200 ' in there.recv(4096); print('up', flush=True); time.sleep(600)"
)


def there(_line: LogLine | None = None) -> None:
    """Say that we are in the middle."""
    sys.stdout.write("there\n")
    sys.stdout.flush()


async def opening(folder: Path) -> None:
    """Making an identity, parking bwraps, trying one."""
    there()
    sandbox = BubblewrapSandbox(folder / "scratch", spare=4)
    await sandbox.check()
    await asyncio.sleep(60)


async def running(folder: Path) -> None:
    """An agent with a daemon, deaf to SIGTERM, on a folder that it may write to."""
    sandbox = BubblewrapSandbox(folder / "scratch")
    mounts = (Mount(folder / "writable", "/penstock/repo", writable=True),)
    await sandbox.run(replace(held(folder, HOLD), mounts=mounts), there)


async def unsandboxed(folder: Path) -> None:
    """The same as a plain process."""
    sandbox = ProcessSandbox(folder / "scratch", allow_unsandboxed=True)
    await sandbox.run(held(folder, HOLD), there)


async def egress(folder: Path) -> None:
    """A connection through the proxy is open."""
    port = (folder / "port").read_text()
    sandbox = BubblewrapSandbox(folder / "scratch")
    spec = replace(held(folder, CONNECT, port), egress=(EgressRule("127.0.0.1", int(port)),))
    await sandbox.run(spec, there)


async def cloning(folder: Path) -> None:
    """A git of ours hangs while a private clone is made."""
    scratch = Scratch(folder / "scratch")
    await GitRepositories().open(folder / "repository", None, scratch.task_folder())


async def landing(folder: Path) -> None:
    """A git of ours hangs while an approved change is landed."""
    given = json.loads((folder / "plan.json").read_text())
    _ = Scratch(folder / "scratch").task_folder()
    opened = Opened(Path(given["clone"]), given["ref"], given["commit"])
    await GitRepositories().land(
        folder / "repository", opened, given["effect"], given["base"], given["key"]
    )


async def connecting(folder: Path) -> None:
    """The client of an engine hangs while it starts."""
    scratch = Scratch(folder / "scratch")
    connection = Connection(folder / "programs" / "dagger", None, scratch.task_folder(), Waits())
    await connection.session()


async def cleaning(folder: Path) -> None:
    """What an agent left is being removed."""
    scratch = Scratch(folder / "scratch")
    task = scratch.task_folder()
    for number in range(200):
        (task / f"{number}" / "a" / "b").mkdir(parents=True)
        for name in range(40):
            (task / f"{number}" / "a" / "b" / f"{name}").touch()
    there()
    scratch.remove(task)
    await asyncio.sleep(60)


async def working(folder: Path) -> None:
    """Tasks without end, one after the other, three at a time."""
    sandbox = BubblewrapSandbox(folder / "scratch")
    await sandbox.check()
    there()

    async def go_on() -> None:
        while True:
            await sandbox.run(held(folder, "print('x')"), lambda _: None)

    await asyncio.gather(go_on(), go_on(), go_on())


def held(folder: Path, code: str, *arguments: str) -> SandboxSpec:
    """A task with the folder's name on its command line, by which it is found from outside."""
    command = ("python", "-S", "-c", code, *arguments, f"in {folder}")
    return SandboxSpec("t", folder / "bundle", command, b"{}", LONG)


PHASES = {
    one.__name__: one
    for one in (
        opening, running, unsandboxed, egress, cloning, landing, connecting, cleaning, working,
    )
}  # fmt: skip


if __name__ == "__main__":
    os.umask(0o022)
    asyncio.run(PHASES[sys.argv[1]](Path(sys.argv[2])))
