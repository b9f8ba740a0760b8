"""Every way out that is listed, tried in every sandbox that the machine has, in Python and in C."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from penstock_adapters.process import ProcessSandbox
from penstock_runtime.ports.sandbox import ExitReason, Sandbox, SandboxSpec
from penstock_testkit.escapes import (
    ESCAPES,
    Compiled,
    Escape,
    compiled_hostile,
    names_in_c,
    program,
)
from penstock_testkit.sandbox_probes import LIMITS
from penstock_testkit.sandboxes import opened_bubblewrap, opened_dagger

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]
numbers_of_x86 = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="numbers of calls of x86_64"
)
each_way = pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)

WAIT_S = 60.0


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """What the host has to be reached: a file, a port, a home, an abstract socket, a process."""
    secret = tmp_path / "secret.txt"
    secret.write_text("of the host")
    monkeypatch.setenv("PENSTOCK_TEST_HOST_SECRET", "of the host")
    name = f"penstock-{uuid4().hex}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE),  # its environment shows the variable
    ):
        local.bind(f"\0{name}")
        local.listen()
        port = str(server.getsockname()[1])
        yield (str(secret), port, str(Path.home()), name, str(os.getpid()))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    built = compiled_hostile(tmp_path_factory.mktemp("hostile"))
    if built.program is None:
        pytest.skip(built.reason)
    return built


async def through(sandbox: Sandbox, folder: Path, command: tuple[str, ...]) -> bool:
    spec = SandboxSpec("escape", folder, command, b"{}", LIMITS)
    lines: list[str] = []
    async with asyncio.timeout(WAIT_S):
        result = await sandbox.run(spec, lambda line: lines.append(line.text))
    assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), (result.detail, lines)
    return bool(json.loads(result.output or b"null"))


async def by_python(sandbox: Sandbox, escape: Escape, folder: Path, given: tuple[str, ...]) -> bool:
    bundle = folder / "bundle"
    bundle.mkdir()
    return await through(sandbox, bundle, ("python", "-S", "-c", program(escape), *given))


async def by_c(
    sandbox: Sandbox, escape: Escape, folder: Path, given: tuple[str, ...], hostile: Compiled
) -> bool:
    assert hostile.program is not None
    bundle = folder / "bundle"
    bundle.mkdir(mode=0o755)
    shutil.copy(hostile.program, bundle / "hostile")
    where = "/penstock/agent" if not isinstance(sandbox, ProcessSandbox) else str(bundle)
    return await through(sandbox, bundle, (f"{where}/hostile", escape.name, *given))


@pytest_asyncio.fixture(loop_scope="module")
async def process(tmp_path: Path) -> AsyncIterator[Sandbox]:
    sandbox = ProcessSandbox(tmp_path / "scratch", allow_unsandboxed=True)
    yield sandbox
    await sandbox.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with opened_bubblewrap(tmp_path_factory.mktemp("bubblewrap")) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dagger(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with opened_dagger(tmp_path_factory.mktemp("dagger")) as sandbox:
        health = await sandbox.check()
        assert health.available, health.obstacle
        yield sandbox


HARMLESS = (
    "host-file",
    "other-environments",
    "signal-host",
    "neighbours",
    "host-loopback",
    "abstract-sockets",
)
"""What does no harm where it succeeds; under root the others would."""


@pytest.mark.parametrize("name", HARMLESS)
async def test_without_isolation_both_agents_get_through(
    process: Sandbox, name: str, tmp_path: Path, given: tuple[str, ...], hostile: Compiled
):
    """An attempt that never succeeds anywhere shows nothing."""
    (escape,) = [one for one in ESCAPES if one.name == name]
    (tmp_path / "c").mkdir()
    assert await by_python(process, escape, tmp_path, given)
    assert await by_c(process, escape, tmp_path / "c", given, hostile)


async def test_both_agents_try_the_same() -> None:
    assert names_in_c() == tuple(escape.name for escape in ESCAPES)


@numbers_of_x86
@each_way
async def test_bubblewrap_denies_python(
    bubblewrap: Sandbox, escape: Escape, tmp_path: Path, given: tuple[str, ...]
):
    found = await by_python(bubblewrap, escape, tmp_path, given)
    assert escape.told("bubblewrap", through=found)


@each_way
async def test_bubblewrap_denies_c(
    bubblewrap: Sandbox, escape: Escape, tmp_path: Path, given: tuple[str, ...], hostile: Compiled
):
    found = await by_c(bubblewrap, escape, tmp_path, given, hostile)
    assert escape.told("bubblewrap", through=found)


@pytest.mark.dagger
@numbers_of_x86
@each_way
async def test_dagger_denies_python(
    dagger: Sandbox, escape: Escape, tmp_path: Path, given: tuple[str, ...]
):
    found = await by_python(dagger, escape, tmp_path, given)
    assert escape.told("dagger", through=found)


@pytest.mark.dagger
@each_way
async def test_dagger_denies_c(
    dagger: Sandbox, escape: Escape, tmp_path: Path, given: tuple[str, ...], hostile: Compiled
):
    found = await by_c(dagger, escape, tmp_path, given, hostile)
    assert escape.told("dagger", through=found)
