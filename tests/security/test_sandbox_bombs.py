"""Agents that take all they can get, in Python and in C, in every sandbox that the machine has."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from penstock_adapters.bubblewrap.tree import SHARED_PROCESSES
from penstock_runtime.ports.sandbox import (
    LOG_LINE_BYTES,
    ExitReason,
    Sandbox,
    SandboxResult,
    SandboxSpec,
)
from penstock_testkit.bombs import BOMBS, LIMITS, SOURCE, Bomb, names_in_c
from penstock_testkit.escapes import Compiled, compiled_hostile
from penstock_testkit.sandbox_probes import WAIT_S, Log, processes_marked
from penstock_testkit.sandboxes import GRACE_S, opened_bubblewrap, opened_dagger

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]
each_bomb = pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)

LATE_S = 30.0  # of a machine that runs three other tests
"""How much later than its limit a bomb may have ended on a machine that is busy with others."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    built = compiled_hostile(tmp_path_factory.mktemp("bombs"), SOURCE)
    if built.program is None:
        pytest.skip(built.reason)
    return built


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with opened_bubblewrap(tmp_path_factory.mktemp("bubblewrap") / "scratch") as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """The same without control groups: limits by the kernel's other means and a watchdog."""
    scratch = tmp_path_factory.mktemp("watched") / "scratch"
    async with opened_bubblewrap(scratch, use_cgroups=False) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dagger(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with opened_dagger(tmp_path_factory.mktemp("dagger") / "scratch") as sandbox:
        health = await sandbox.check()
        assert health.available, health.obstacle
        yield sandbox


async def gone_off(sandbox: Sandbox, bundle: Path, bomb: Bomb, *command: str) -> SandboxResult:
    """Let it go off, and see that it ends as it has to and leaves nothing."""
    mark, log = f"mark-{uuid4().hex}", Log()
    spec = SandboxSpec(bomb.name, bundle, (*command, mark), b"{}", LIMITS)
    async with asyncio.timeout(WAIT_S + LATE_S):
        result = await sandbox.run(spec, log)
    assert result.reason in bomb.ends, result
    assert result.wall_s < LIMITS.wall_s + GRACE_S + LATE_S
    assert sum(len(line.text) for line in log.lines) <= LIMITS.log_bytes
    assert all(len(line.text.encode()) <= LOG_LINE_BYTES for line in log.lines)
    assert processes_marked(mark) == []
    if result.reason is ExitReason.EXITED:
        assert result.exit_code == 0, (result, log.text("stderr"))
        if bomb.most is not None:
            assert 0 <= int(result.output or b"-1") <= bomb.most
    return result


async def still_works(sandbox: Sandbox, bundle: Path) -> None:
    spec = SandboxSpec("after", bundle, ("sh", "-c", "exit 0"), b"{}", LIMITS)
    async with asyncio.timeout(WAIT_S):
        result = await sandbox.run(spec, Log())
    assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), result


async def by_python(sandbox: Sandbox, bomb: Bomb, folder: Path) -> None:
    bundle = folder / "bundle"
    bundle.mkdir(mode=0o755)
    await gone_off(sandbox, bundle, bomb, "python", "-S", "-c", bomb.program())
    await still_works(sandbox, bundle)


async def by_c(sandbox: Sandbox, bomb: Bomb, folder: Path, compiled: Compiled) -> None:
    assert compiled.program is not None
    bundle = folder / "bundle"
    bundle.mkdir(mode=0o755)
    shutil.copy(compiled.program, bundle / "bombs")
    await gone_off(sandbox, bundle, bomb, "/penstock/agent/bombs", bomb.name)
    await still_works(sandbox, bundle)


async def test_both_agents_have_the_same_bombs() -> None:
    assert names_in_c() == tuple(bomb.name for bomb in BOMBS)


@each_bomb
async def test_bubblewrap_holds_python(bubblewrap: Sandbox, bomb: Bomb, tmp_path: Path):
    await by_python(bubblewrap, bomb, tmp_path)


@each_bomb
async def test_bubblewrap_holds_c(
    bubblewrap: Sandbox, bomb: Bomb, tmp_path: Path, compiled: Compiled
):
    await by_c(bubblewrap, bomb, tmp_path, compiled)


@each_bomb
async def test_the_watchdog_holds_c(
    watched: Sandbox, bomb: Bomb, tmp_path: Path, compiled: Compiled
):
    if bomb.name == "threads" and os.geteuid() == 0:
        # All agents of root have one uid: what the kernel counts is what they have together.
        bomb = replace(bomb, most=SHARED_PROCESSES)
    await by_c(watched, bomb, tmp_path, compiled)


@pytest.mark.dagger
@each_bomb
async def test_dagger_holds_python(dagger: Sandbox, bomb: Bomb, tmp_path: Path):
    await by_python(dagger, bomb, tmp_path)


@pytest.mark.dagger
@each_bomb
async def test_dagger_holds_c(dagger: Sandbox, bomb: Bomb, tmp_path: Path, compiled: Compiled):
    await by_c(dagger, bomb, tmp_path, compiled)
