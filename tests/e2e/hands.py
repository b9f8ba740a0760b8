"""Executors of a pool of their own, which a test starts, ends and kills; and what they work on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from penstock_adapters.bundles import default_roots
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.jetstream import JetStreamApi, StoredMessage
from penstock_contracts import subjects
from penstock_contracts.ids import task_id
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import Stream
from penstock_testkit.stack import MODULES, Json, RunningStack

POOL = "hands"
STOP_WITHIN_S = 20.0
AS_AUTHOR = ("-c", "user.name=T", "-c", "user.email=t@localhost")
GREET_OTHERWISE: Json = {
    "type": "find_replace",
    "find": "hello",
    "replace": "hallo",
    "files": ["*.txt"],
}


class Hands:
    """One executor process of the pool `POOL`, beside the stack's own, which never gets a task.

    Args:
        program: what the interpreter runs, in place of the executor itself.
        settings: what differs from the stack's own executor.
    """

    def __init__(
        self,
        stack: RunningStack,
        name: str = "hands-1",
        ops_port: int = 0,
        program: tuple[str, ...] = ("-m", MODULES["executor"]),
        **settings: str,
    ) -> None:
        self._stack = stack
        self._name = name
        self._ops_port = ops_port
        self._program = program
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Start it and wait until it takes tasks; without effect while it runs."""
        if self._process is not None:
            return
        settings = _environ_of(self._stack.pid("executor")) | {
            "PENSTOCK_NAME": self._name,
            "PENSTOCK_INSTANCE": self._name,
            "PENSTOCK_POOL": POOL,
            "PENSTOCK_CAPACITY": "1",  # while it has a task, the next one goes to others
            "PENSTOCK_OPS_PORT": str(self._ops_port),
            **self._settings,
        }
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, env=settings, stdout=log, stderr=log
            )

        async def works() -> bool:
            return b"tasks can run" in self._log.read_bytes()[begin:]

        await self._stack.until(works)

    @property
    def _log(self) -> Path:
        return self._stack.home / "logs" / f"{self._name}.log"

    def said(self, words: str) -> bool:
        """Tell whether words stand in its log."""
        return words in self._log.read_text()

    async def stop(self) -> None:
        """End it and wait until it has given back what it had."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it with no chance to do anything more."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it where it is."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on from there."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(STOP_WITHIN_S):
            _ = await process.wait()


def _environ_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@asynccontextmanager
async def patching_stack(place: Path) -> AsyncGenerator[tuple[RunningStack, Hands]]:
    """Run four services, the patcher from a folder of our own, and hands of our own."""
    (place / "work").mkdir()
    (root,) = default_roots()
    _ = shutil.copytree(root / "patcher", place / "agents" / "patcher")
    settings = {
        "PENSTOCK_SANDBOX": "bubblewrap",
        "PENSTOCK_WORKSPACE_ROOTS": str(place / "work"),
        "PENSTOCK_AGENT_ROOTS": str(place / "agents"),
        "PENSTOCK_POOLS": f"default,{POOL}",
    }
    async with RunningStack.started(place / "state", **settings) as stack:
        await stack.register_bundle(place / "agents" / "patcher")
        hands = Hands(stack)
        try:
            yield stack, hands
        finally:
            await hands.stop()


def patch_node(**more: object) -> Json:
    """Give the node that patches the repository it is given."""
    given = {"repository_path": "{{inputs.repository}}", "operations": [GREET_OTHERWISE]}
    return {"agent": "patcher", "pool": POOL, "with": given, **more}


INPUTS: Json = {"type": "object", "properties": {"repository": {"type": "string"}}}

# --- repositories -------------------------------------------------------------------------------


def git(repository: Path, *args: str) -> str:
    """Run git; gives what it printed."""
    command = ["git", "-C", str(repository), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_repository(path: Path) -> Path:
    """Make a checked-out repository with one file to change and one to leave alone."""
    path.mkdir()
    (path / "greeting.txt").write_text("hello\n")
    (path / "other.md").write_text("hello\n")
    git(path, "init", "-q", "-b", "main")
    git(path, "add", ".")
    git(path, *AS_AUTHOR, "commit", "-q", "-m", "First")
    return path


def commit(repository: Path, file: str, content: str) -> None:
    """Commit a new content of one file."""
    (repository / file).write_text(content)
    git(repository, "add", file)
    git(repository, *AS_AUTHOR, "commit", "-q", "-m", f"Change {file}")


def look(repository: Path) -> dict[str, bytes]:
    """Give all that a landing could change: refs, HEAD, index and files, and what lies about."""
    seen = {"refs": git(repository, "for-each-ref").encode()}
    for path in sorted(repository.rglob("*")):
        name = path.relative_to(repository).as_posix()
        if path.is_file() and not name.startswith(".git/objects/"):
            seen[name] = path.read_bytes()
    return seen


def landings(repository: Path) -> int:
    """Count the commits that Penstock made."""
    return git(repository, "log", "--all", "--format=%B").count("Penstock-Run:")


# --- runs ---------------------------------------------------------------------------------------


async def asked(stack: RunningStack, repository: Path, workflow: str = "patch") -> tuple[str, str]:
    """Start a run and wait for its plan; gives run and approval."""
    run = await stack.trigger(workflow, repository=str(repository))
    return run, await stack.pending_approval(run)


async def asked_again(stack: RunningStack, run: str, before: str) -> str:
    """Wait until a run asks with another approval; gives that."""
    found: list[str] = []

    async def another() -> bool:
        found[:] = [await stack.pending_approval(run)]
        return found[0] != before

    await stack.until(another)
    return found[0]


def of_topic(stack: RunningStack, run: str, topic: str) -> list[Json]:
    """Give the data of a run's events of one kind."""
    return [event.data for event in stack.stored(run) if event.topic == f"run.{topic}.v1"]


def claims(stack: RunningStack, run: str) -> list[Json]:
    """Give the claims of a run; a plan that takes over a second tells its start without one."""
    return [started for started in of_topic(stack, run, "task_started") if started.get("nonce")]


async def until_event(stack: RunningStack, run: str, topic: str, count: int = 1) -> Json:
    """Wait until a run has so many events of one kind; gives the last."""

    async def there() -> bool:
        return len(of_topic(stack, run, topic)) >= count

    await stack.until(there)
    return of_topic(stack, run, topic)[-1]


async def refused(stack: RunningStack, run: str) -> tuple[str, str]:
    """Wait until a run has failed; gives code and message of its node."""
    ended = await stack.ended(run)
    assert ended["run"]["status"] == "failed", ended
    (failed,) = of_topic(stack, run, "node_failed")
    return failed["error"]["code"], failed["error"]["message"]


async def settled(stack: RunningStack, *words: str) -> None:
    """Settle an unknown outcome at the terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "penstock_cli", "runs", "settle", *words),
        env={**os.environ, "PENSTOCK_HOME": str(stack.home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(STOP_WITHIN_S):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


# --- the bus ------------------------------------------------------------------------------------


@asynccontextmanager
async def on_bus(stack: RunningStack, user: BusUser) -> AsyncGenerator[NatsConnection]:
    """Connect as one of the bus' users."""
    login = stack.endpoints.logins[user]
    connection = await connect(
        NatsSettings(
            url=login.url,
            user=login.user,
            password=login.password,
            inbox_prefix=login.inbox_prefix,
        )
    )
    try:
        yield connection
    finally:
        await connection.close()


async def queued(stack: RunningStack, run: str, agent: str = "patcher") -> StoredMessage:
    """Wait until the task of an `apply` lies in the queue; gives the message."""
    api = JetStreamApi(await stack.bus())
    found: list[StoredMessage] = []

    async def lies() -> bool:
        last = of_topic(stack, run, "task_scheduled")[-1]
        if last.get("phase") != "apply":
            return False
        task = task_id(run, last["node"], last["attempt"], "apply")
        subject = subjects.task("default", POOL, agent, task)
        message = await api.last_message_on(Stream.TASKS, subject)
        found[:] = [] if message is None else [message]
        return message is not None

    await stack.until(lies)
    return found[0]


async def tamper(stack: RunningStack, run: str, change: Callable[[Json], None]) -> None:
    """Put another message in the place of an `apply` that lies in the queue."""
    message = await queued(stack, run)
    envelope: Json = json.loads(message.payload)
    change(envelope["data"])
    await JetStreamApi(await stack.bus()).call(
        f"STREAM.MSG.DELETE.{Stream.TASKS}", {"seq": message.sequence}
    )
    outcome = await stack.publish(Stream.TASKS, message.subject, json.dumps(envelope).encode())
    assert outcome.value == "done", outcome
