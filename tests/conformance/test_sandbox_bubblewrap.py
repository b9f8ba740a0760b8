"""The bubblewrap adapter keeps the contract, with cgroups and without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_runtime.ports.sandbox import ExitReason
from penstock_testkit.conformance.sandbox import BuildSpec, Log, SandboxConformance
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real


class TestBubblewrapSandbox(SandboxConformance):
    @pytest.fixture
    async def sandbox(self, tmp_path: Path):
        async with opened_bubblewrap(tmp_path / "scratch here") as sandbox:
            yield sandbox
        assert list((tmp_path / "scratch here").iterdir()) == []

    async def test_a_closed_one_runs_nothing(self, sandbox: BubblewrapSandbox, spec: BuildSpec):
        await sandbox.close()
        await sandbox.close()
        result = await sandbox.run(spec("pass"), Log())
        assert (result.reason, result.detail[:21]) == (
            ExitReason.START_FAILED,
            "the sandbox is closed",
        )


class TestBubblewrapWithoutCgroups(SandboxConformance):
    """Limits by the watchdog alone, and no parked processes."""

    # Under root all agents share one uid, so the kernel's limit per uid is not used.
    bounds_processes = os.geteuid() != 0

    @pytest.fixture
    async def sandbox(self, tmp_path: Path):
        scratch = tmp_path / "scratch"
        async with opened_bubblewrap(scratch, use_cgroups=False, spare=0) as sandbox:
            yield sandbox

    async def test_it_says_what_holds_less_firmly(self, sandbox: BubblewrapSandbox):
        health = await sandbox.check()
        assert any("watchdog" in reason for reason in health.degraded)
