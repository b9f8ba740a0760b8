"""The process adapter keeps the contract, as far as it goes without isolation."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_adapters.process import ProcessSandbox, UnsandboxedRefused
from penstock_testkit.conformance.sandbox import SandboxConformance

pytestmark = pytest.mark.real


class TestProcessSandbox(SandboxConformance):
    isolates = False
    bounds_processes = False

    @pytest.fixture
    async def sandbox(self, tmp_path: Path):
        sandbox = ProcessSandbox(tmp_path / "scratch", allow_unsandboxed=True, grace_s=0.5)
        yield sandbox
        await sandbox.close()
        assert list((tmp_path / "scratch").iterdir()) == []

    async def test_it_says_that_it_isolates_nothing(self, sandbox: ProcessSandbox):
        health = await sandbox.check()
        assert health.isolation == "none"
        assert any("no isolation" in reason for reason in health.degraded)


def test_it_must_be_allowed_by_name(tmp_path: Path):
    with pytest.raises(UnsandboxedRefused, match="PENSTOCK_ALLOW_UNSANDBOXED"):
        ProcessSandbox(tmp_path)
