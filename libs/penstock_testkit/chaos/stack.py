"""The whole stack, prepared for what the nemesis does to it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from penstock_adapters.embedded.home import read_object
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.supervisor import ChildEvent, ChildState
from penstock_testkit.chaos.clocks import Clocks
from penstock_testkit.chaos.executor import WITNESSES
from penstock_testkit.chaos.proxy import Link
from penstock_testkit.stack import MODULES, SERVICES, RunningStack

SERVERS = ("nats", "postgres")
TARGETS = (*SERVICES, *SERVERS)
LINKS = tuple(
    f"{service}/{server}"
    for service in SERVICES
    for server in SERVERS
    if (service, server) != ("executor", "postgres")
)
STOP_SIGNALS = {"postgres": signal.SIGINT}
LAUNCHER = Path(__file__).with_name("launched.py")
COMES_BACK_S = 180.0  # a postmaster waits up to 20 s for its remains, and then recovers
CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


class Disk:
    """A small disk of JetStream's own, where root may mount one; it vanishes with this process.

    Attributes:
        obstacle: why there is none.
    """

    def __init__(self, place: Path, size_mib: int) -> None:
        """Describe a disk to be mounted at `place`."""
        self._place = place
        self._size_mib = size_mib
        self.obstacle = "it is not mounted"

    def mount(self) -> None:
        """Mount it, seen by nobody but this process and what it starts."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._place.mkdir(parents=True, exist_ok=True)
        steps = (
            lambda: libc.unshare(CLONE_NEWNS),
            lambda: libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None),
            lambda: libc.mount(
                b"tmpfs",
                os.fsencode(self._place),
                b"tmpfs",
                0,
                f"size={self._size_mib}m,mode=0700".encode(),
            ),
        )
        for step in steps:
            if step() != 0:
                self.obstacle = f"no disk can be mounted: {os.strerror(ctypes.get_errno())}"
                return
        self.obstacle = ""

    @property
    def ballast(self) -> Path:
        """The file that fills it."""
        return self._place / "ballast"

    def fill(self) -> None:
        """Take what room there is; again later, as the server frees what it no longer needs."""
        file = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            room = os.statvfs(self._place)
            free = room.f_bavail * room.f_frsize
            if free:
                os.posix_fallocate(file, os.fstat(file).st_size, free)
        except OSError:
            return  # the server was faster
        finally:
            os.close(file)

    def empty(self) -> None:
        """Give the room back."""
        self.ballast.unlink(missing_ok=True)


class ChaosStack(RunningStack):
    """Services behind proxies and with clocks of their own, each of which can be disturbed.

    Attributes:
        links: proxies by `service/server`.
        clocks: by service.
        witnesses: file that agents' acts are appended to.
        starts: when each child was started, monotonic seconds.
        readies: when each child was ready.
    """

    def __init__(self, home: Path, environ: Mapping[str, str], disk: Disk | None = None) -> None:
        """Prepare a stack in `home`."""
        told = {
            "PENSTOCK_SANDBOX": "inline",
            WITNESSES: str(home / "witnesses.jsonl"),
            **environ,
        }
        super().__init__(home, told)
        self.witnesses = home / "witnesses.jsonl"
        self.disk = disk
        self.starts: dict[str, list[float]] = defaultdict(list)
        self.readies: dict[str, list[float]] = defaultdict(list)
        self._control = home / "chaos.json"
        self._ports: dict[str, int] = {}
        home.mkdir(parents=True, exist_ok=True)
        self.clocks = Clocks(home / "clocks", SERVICES)
        self.links = {name: Link(name, self._port_behind(name)) for name in LINKS}
        modules = MODULES | {"executor": "penstock_testkit.chaos.executor"}
        commands = {name: self._command(name, modules[name]) for name in SERVICES}
        self._stack = EmbeddedStack(
            home, commands, on_event=self._note, environ={**os.environ, **told}
        )

    def _command(self, name: str, module: str) -> list[str]:
        start = [sys.executable, "-I", "-S", str(LAUNCHER), name, str(self._control)]
        return [*start, sys.executable, "-m", module]

    def _port_behind(self, link: str) -> Callable[[], int]:
        server = link.partition("/")[2]
        return lambda: self._port(server)

    def _port(self, server: str) -> int:
        if server not in self._ports:
            book = read_object(self._stack.folder.run / "ports.json") or {}
            self._ports[server] = int(str(book[server]))
        return self._ports[server]

    def _note(self, event: ChildEvent) -> None:
        if event.state is ChildState.STARTING:
            self.starts[event.name].append(time.monotonic())
        elif event.state is ChildState.READY:
            self.readies[event.name].append(time.monotonic())

    async def start(self) -> None:
        """Open the proxies, then start everything."""
        for link in self.links.values():
            await link.open()
        library = self.clocks.library
        document = {
            "links": {name: link.port for name, link in self.links.items()},
            "preload": str(library) if library else "",
            "clocks": str(self.clocks.folder),
        }
        self._control.write_text(json.dumps(document))
        await super().start()

    async def stop(self) -> None:
        """Let everything go on, and end it."""
        for name in TARGETS:
            self.go_on(name)
        for link in self.links.values():
            link.change(link.weather.CLEAR)
        await super().stop()
        for link in self.links.values():
            await link.close()

    # --- processes --------------------------------------------------------------------------

    def lives(self, name: str) -> bool:
        """Tell whether a child has a process now."""
        return self._stack.pid(name) is not None

    def signal(self, name: str, number: signal.Signals, *, whole: bool = False) -> None:
        """Send a signal to a child, and to its own children if `whole`."""
        pid = self._stack.pid(name)
        if pid is None:
            return
        for one in (pid, *(_children_of(pid) if whole else ())):
            try:
                os.kill(one, number)
            except ProcessLookupError:
                continue

    def pause(self, name: str) -> None:
        """Stop a process, and what it has started, where it is."""
        self.signal(name, signal.SIGSTOP, whole=True)

    def go_on(self, name: str) -> None:
        """Let a paused process go on."""
        self.signal(name, signal.SIGCONT, whole=True)

    async def end(self, names: Iterable[str], *, orderly: bool) -> None:
        """End processes together and wait until each is ready again."""
        before = {name: len(self.readies[name]) for name in names}
        for name in before:
            stop = STOP_SIGNALS.get(name, signal.SIGTERM)
            self.signal(name, stop if orderly else signal.SIGKILL)

        async def back() -> bool:
            return all(len(self.readies[name]) > count for name, count in before.items())

        await self.until(back, COMES_BACK_S)

    # --- JetStream's store ------------------------------------------------------------------

    @property
    def jetstream(self) -> Path:
        """The folder that holds all of JetStream."""
        return self._stack.folder.nats / "store" / "jetstream"

    async def lose_jetstream(self) -> None:
        """Delete everything that JetStream has stored, under a server that then dies."""
        await self._replace_jetstream(None)

    async def keep_jetstream(self, copy: Path) -> None:
        """Copy JetStream's folder as it is at one moment."""
        self.pause("nats")
        try:
            shutil.rmtree(copy, ignore_errors=True)
            _ = await asyncio.to_thread(shutil.copytree, self.jetstream, copy)
        finally:
            self.go_on("nats")

    async def put_jetstream_back(self, copy: Path) -> None:
        """Put an older copy of JetStream's folder in its place."""
        await self._replace_jetstream(copy)

    async def _replace_jetstream(self, copy: Path | None) -> None:
        before = len(self.readies["nats"])
        self.pause("nats")  # nothing may be written between deletion and death
        grave = self.jetstream.with_name(f"lost-{before}-{time.monotonic_ns()}")
        if self.jetstream.exists():
            _ = self.jetstream.rename(grave)
        if copy is not None:
            _ = await asyncio.to_thread(shutil.copytree, copy, self.jetstream)
        self.signal("nats", signal.SIGKILL)

        async def back() -> bool:
            return len(self.readies["nats"]) > before

        await self.until(back, COMES_BACK_S)
        await asyncio.to_thread(shutil.rmtree, grave, ignore_errors=True)


def _children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]
