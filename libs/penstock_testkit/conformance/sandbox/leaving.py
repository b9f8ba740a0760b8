"""What an agent leaves in its folder for artifacts, and how that is bounded while it writes."""

# ruff: noqa: D102  (the name of a test is its documentation)
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_runtime.ports.sandbox import ExitReason, Sandbox, SandboxSpec
from penstock_testkit.conformance.sandbox.tasks import BuildSpec, SandboxTasks
from penstock_testkit.sandbox_probes import MIB, Log

ARTIFACTS_BYTES = 16 * MIB


def with_artifacts(spec: SandboxSpec, folder: Path) -> SandboxSpec:
    """Let a task leave artifacts."""
    limits = replace(spec.limits, artifacts_bytes=ARTIFACTS_BYTES)
    return replace(spec, artifacts=folder, limits=limits)


class Leaving(SandboxTasks):
    """What an agent leaves beside its output."""

    async def test_artifacts_are_left_in_their_own_folder(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path
    ) -> None:
        code = (
            "folder = os.environ['PENSTOCK_ARTIFACTS']\n"
            "os.makedirs(folder + '/deep/er')\n"
            "open(folder + '/deep/er/large.bin', 'wb').write(b'x' * (12 << 20))\n"
            "open(folder + '/small.txt', 'w').write('small')\n"
            "os.chmod(folder + '/small.txt', 0)\n"
            "give(folder)"
        )
        result = await self.finished(sandbox, with_artifacts(spec(code), artifacts), Log())
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), result.detail
        if self.isolates:
            assert json.loads(result.output or b"null") == "/penstock/artifacts"
        assert (artifacts / "deep/er/large.bin").stat().st_size == 12 * MIB
        assert (artifacts / "small.txt").stat().st_uid == os.geteuid()

    async def test_without_a_folder_for_artifacts_there_is_none(
        self, sandbox: Sandbox, spec: BuildSpec
    ) -> None:
        code = "give(['PENSTOCK_ARTIFACTS' in os.environ, os.path.exists('/penstock/artifacts')])"
        result = await self.finished(sandbox, spec(code), Log())
        assert json.loads(result.output or b"null") == [False, False]

    @pytest.mark.parametrize(
        "flood",
        [
            "[open(f'{folder}/{n}', 'wb').write(b'x' * (4 << 20)) for n in range(64)]",
            "[os.truncate(os.open(f'{folder}/{n}', 65), 10 << 20) for n in range(8)]",
            "[os.mkdir(f'{folder}/{n}') for n in range(3000)]",
            "held = [hide(f'{folder}/{n}') for n in range(64)]",
            "os.mkdir(folder + '/locked'); os.chmod(folder + '/locked', 0)",
        ],
        ids=["bytes", "sparse", "entries", "deleted", "locked"],
    )
    async def test_artifacts_are_bounded_while_they_are_written(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path, mark: str, flood: str
    ) -> None:
        if os.geteuid() == 0 and "locked" in flood:
            pytest.skip("root looks into every folder")
        code = (
            "def hide(path):\n"
            " fd = os.open(path, os.O_CREAT | os.O_WRONLY); os.unlink(path)\n"
            " os.write(fd, b'x' * (1 << 20)); return fd\n"
            "folder = os.environ['PENSTOCK_ARTIFACTS']\n"
            f"{flood}\n"
            "time.sleep(60)"
        )
        task = with_artifacts(spec(code, mark), artifacts)
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.ARTIFACTS_TOO_LARGE, result.detail
        assert "artifacts" in result.detail
        assert result.wall_s < 10

    async def test_one_artifact_cannot_grow_without_end(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path
    ) -> None:
        code = (
            "\ntry:\n with open(os.environ['PENSTOCK_ARTIFACTS'] + '/big', 'wb', 0) as file:\n"
            "  for _ in range(64): file.write(b'x' * (1 << 20))\n"
            "except OSError as error: give(error.errno)"
        )
        result = await self.finished(sandbox, with_artifacts(spec(code), artifacts), Log())
        assert result.output == b"27"  # EFBIG
        assert (artifacts / "big").stat().st_size <= ARTIFACTS_BYTES

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Path:
        """An empty folder, private as an executor's."""
        folder = tmp_path / "left here"
        folder.mkdir(mode=0o700)
        return folder
