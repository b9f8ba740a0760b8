"""The compliance checker inside the real sandbox: read-only, no network, a SARIF artifact."""

import json
from pathlib import Path

import pytest

from penstock_runtime.ports.sandbox import Limits, Mount, SandboxSpec
from penstock_testkit.sandbox_probes import Log
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

AGENTS = Path(__file__).parents[2] / "agents"
MIB = 1024 * 1024
LIMITS = Limits(
    memory_bytes=512 * MIB,
    processes=64,
    cpu_s=60,
    wall_s=60,
    output_bytes=64 * 1024,
    log_bytes=256 * 1024,
    disk_bytes=64 * MIB,
)


async def test_the_checker_reads_a_mounted_repository(tmp_path: Path) -> None:
    repository = tmp_path / "a repository"
    repository.mkdir()
    (repository / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    (repository / "composer.lock").write_text(
        json.dumps({"packages": [{"name": "fern/moss", "license": ["GPL-3.0-only"]}]})
    )
    (repository / ".env").write_text("DB_PASSWORD=kq8vR2mLp9xT\n")
    inside = "/penstock/repository_path"
    spec = SandboxSpec(
        "comply",
        AGENTS / "compliance-checker",
        ("python", "-m", "penstock_agent_compliance_checker"),
        json.dumps({"repositoryPath": inside, "rules": "all"}).encode(),
        LIMITS,
        mounts=(Mount(repository, inside),),
    )
    log = Log()
    async with opened_bubblewrap(tmp_path / "scratch", readable=[AGENTS / "sdk"]) as sandbox:
        result = await sandbox.run(spec, log)
    assert result.exit_code == 0, (result, log.lines)
    output = json.loads(result.output or b"")
    found = {(one["file"], one["rule"]) for one in output["violations"]}
    assert ("composer.lock", "license-conflict") in found
    assert (".env", "secret:environment") in found
    assert output["passed"] is False
