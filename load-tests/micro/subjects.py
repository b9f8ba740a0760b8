"""What the subjects of EVENTS cost nats-server in memory.

    python load-tests/micro/subjects.py [runs]

Publishes the events of so many runs (60,000) by one way of naming them after the other, each to a
server of its own, and prints what that server has in memory when everything is stored, and again
once its caches have gone (which takes minutes).
"""

import asyncio
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from penstock_adapters.nats.connection import NatsSettings, connect
from penstock_adapters.nats.streams import ensure_streams
from penstock_contracts import subjects
from penstock_contracts.subjects import Stream
from penstock_testkit.servers import RealNats, RealServers

TYPES: Final = (
    "run_started", "task_scheduled", "task_started", "node_succeeded", "run_succeeded",
    "gate_opened", "attempt_failed", "retry_scheduled",
)  # fmt: skip
RUNS: Final = 60_000
EVENTS_EACH: Final = 16  # of a run
MIB: Final = 1024 * 1024
PAYLOAD: Final = b"x" * 600
FLUSH_EACH: Final = 50  # runs
CACHES_GONE_S: Final = 260.0
WAIT_S: Final = 60.0
WAYS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "a subject for each run and type": lambda run, kind: _event(run, kind),
    "a subject for each run": lambda run, _: _event(run, "any"),
    "a subject for each shard and type": lambda run, kind: _event(subjects.shard_of(run), kind),
    "a subject for each type": lambda _, kind: _event("any", kind),
}


def _event(shard: str, kind: str) -> str:
    return subjects.events_of("default", "run", event_type=kind).replace(".*.", f".{shard}.")


def memory_of(pid: int) -> int:
    """Give the bytes that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def nats_in(folder: str) -> Iterator[RealNats]:
    """Run a server whose state is below `folder`."""
    nats = RealServers(Path(folder) / "state").nats
    nats.start()
    try:
        yield nats
    finally:
        nats.kill()


async def measure(name: str, runs: int) -> None:
    """Store the events of so many runs, and print what it took."""
    way = WAYS[name]
    with (
        tempfile.TemporaryDirectory(prefix="penstock-subjects-") as folder,
        nats_in(folder) as nats,
    ):
        before, login = memory_of(nats.pid), nats.login()
        bus = await connect(NatsSettings(login.url, login.user, login.password, login.inbox_prefix))
        try:
            await ensure_streams(bus, (Stream.EVENTS,))
            for number in range(runs):
                run = str(uuid.uuid4())
                for event in range(EVENTS_EACH):
                    bus.send(way(run, TYPES[event % len(TYPES)]), PAYLOAD)
                if number % FLUSH_EACH == 0:
                    await bus.flush(WAIT_S)
            await bus.flush(WAIT_S)
            at_once = memory_of(nats.pid) - before
            await asyncio.sleep(CACHES_GONE_S)
            later = memory_of(nats.pid) - before
        finally:
            await bus.close()
    print(
        f"{name:<36}{at_once / MIB:>8.0f} MiB at once{later / MIB:>8.0f} MiB later"
        f"{later / runs:>8.0f} bytes a run",
        flush=True,
    )


async def main() -> None:
    """Measure each way in turn."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    for name in WAYS:
        await measure(name, runs)


if __name__ == "__main__":
    asyncio.run(main())
