"""Every way out that is listed, tried in every sandbox that the machine has."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_runtime.ports.sandbox import ExitReason, Sandbox, SandboxSpec
from penstock_testkit.escapes import ESCAPES, Escape, program
from penstock_testkit.sandbox_probes import LIMITS
from penstock_testkit.sandboxes import opened_bubblewrap, opened_dagger

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

WAIT_S = 60.0


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def through(sandbox: Sandbox, escape: Escape, folder: Path, port: int) -> bool:
    bundle, secret = folder / "bundle", folder / "secret.txt"
    bundle.mkdir()
    secret.write_text("of the host")
    command = ("python", "-S", "-c", program(escape), str(secret), str(port), str(Path.home()))
    spec = SandboxSpec("escape", bundle, command, b"{}", LIMITS)
    lines: list[str] = []
    async with asyncio.timeout(WAIT_S):
        result = await sandbox.run(spec, lambda line: lines.append(line.text))
    assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), (result.detail, lines)
    return bool(json.loads(result.output or b"null"))


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


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of calls of x86_64")
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_bubblewrap_denies(bubblewrap: Sandbox, escape: Escape, tmp_path: Path, port: int):
    assert await through(bubblewrap, escape, tmp_path, port) == ("bubblewrap" in escape.open_in)


@pytest.mark.dagger
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of calls of x86_64")
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_dagger_denies(dagger: Sandbox, escape: Escape, tmp_path: Path, port: int):
    assert await through(dagger, escape, tmp_path, port) == ("dagger" in escape.open_in)
