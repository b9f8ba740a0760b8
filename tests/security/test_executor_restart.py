"""A whole executor process, killed while its agents run and started again by its supervisor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from uuid import uuid4

import pytest

from penstock_adapters.process.child import wait_readable
from penstock_testkit.sandbox_probes import WAIT_S, processes_marked
from penstock_testkit.stack import RunningStack
from tests.e2e.bundles import open_place, write_agent

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(120)]

HOLD = (
    "import signal; signal.signal(15, signal.SIG_IGN)\n"
    "os.fork() or os.setsid()\n"
    "print('up', flush=True); time.sleep(15)"
)


@pytest.fixture
def mark() -> str:
    return f"mark-{uuid4().hex}"


@pytest.fixture
async def stack(tmp_path: Path, mark: str) -> AsyncGenerator[RunningStack]:
    with open_place() as place:
        agents = Path(place) / "agents"
        bundle = write_agent(agents, "holder", mark=mark)
        async with RunningStack.started(
            tmp_path / "state",
            PENSTOCK_AGENT_ROOTS=str(agents),
            PENSTOCK_SCRATCH=str(tmp_path / "scratch"),
        ) as stack:
            await stack.register_bundle(bundle)
            await stack.apply("hold", {"only": {"agent": "holder", "with": {"do": HOLD}}})
            yield stack


async def test_nothing_of_a_killed_executor_is_left(
    stack: RunningStack, tmp_path: Path, mark: str
) -> None:
    for _ in range(2):
        await stack.trigger("hold")

    async def both_run() -> bool:
        return len(processes_marked(mark)) >= 4  # each has a child of its own

    await stack.until(both_run)
    old = stack.pid("executor")
    ends = opened(processes_marked(mark))
    assert left_by(old, tmp_path / "scratch") != []

    await stack.kill("executor")

    async with asyncio.timeout(WAIT_S):
        for end in ends:
            await wait_readable(end)
            os.close(end)

    async def swept() -> bool:
        return left_by(old, tmp_path / "scratch") == []

    await stack.until(swept)
    assert stack.pid("executor") != old
    assert f"penstock-sandbox-{old}-" not in mounts()


def opened(pids: list[int]) -> list[int]:
    ends: list[int] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            ends.append(os.pidfd_open(pid))
    return ends


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def left_by(pid: int, scratch: Path) -> list[Path]:
    """Its folders and control groups."""
    name = f"penstock-sandbox-{pid}-*"
    # `os.walk` goes on where a group has gone since it was listed: other tests end theirs.
    groups = [Path(at, one) for at, names, _ in os.walk("/sys/fs/cgroup") for one in names]
    return [*scratch.glob(name), *(group for group in groups if fnmatch(group.name, name))]
