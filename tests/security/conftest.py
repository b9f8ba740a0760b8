"""Bubblewrap for the tests of this folder, and a word on the control groups they have met."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bubblewrap.cgroups import find_cgroups
from penstock_runtime.ports.sandbox import ExitReason, SandboxResult, SandboxSpec
from penstock_testkit.escapes import PRELUDE
from penstock_testkit.sandbox_probes import LIMITS, WAIT_S
from penstock_testkit.sandboxes import opened_bubblewrap
from tests.security.inside import BuildSpec, Inside


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = find_cgroups()
    if found is None:
        said = "none may be made: limits were held by the watchdog, version 1 and 2 on fixtures"
    else:
        other = 2 if found.version == 1 else 1
        said = f"version {found.version} is real, version {other} was a fixture tree"
    terminalreporter.write_line(f"control groups here: {said}; the watchdog is always real")


@pytest.fixture
async def sandbox(tmp_path: Path):
    async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
        yield sandbox


@pytest.fixture
def spec(tmp_path: Path) -> BuildSpec:
    bundle = tmp_path / "bundle"
    bundle.mkdir()

    def build(code: str, *arguments: str) -> SandboxSpec:
        command = ("python", "-S", "-c", PRELUDE + code, *arguments)
        return SandboxSpec("escape", bundle, command, b"{}", LIMITS)

    return build


@pytest.fixture
def inside(sandbox: BubblewrapSandbox, spec: BuildSpec) -> Inside:
    async def run(code: str, *arguments: str) -> object:
        lines: list[str] = []
        task = spec(code, *arguments)
        running = sandbox.run(task, lambda line: lines.append(line.text))
        result: SandboxResult = await asyncio.wait_for(running, WAIT_S)
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), (result, lines)
        return json.loads(result.output or b"null")

    return run
