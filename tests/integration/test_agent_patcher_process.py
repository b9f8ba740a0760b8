"""The patcher as the executor runs it: a process per phase, and inside the real sandbox."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from penstock_contracts.agent.v1 import AgentManifest
from penstock_runtime.ports.sandbox import Limits, Mount, SandboxSpec
from penstock_testkit.sandbox_probes import Log
from penstock_testkit.sandboxes import opened_bubblewrap
from tests.integration.patcher_repository import Bare, bare
from tests.integration.test_agent_processes import AGENTS, manifest

RUN_TIMEOUT_S = 60.0
MIB = 1024 * 1024
PATCH = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-def load(): pass\n+def load(x): pass\n"
RENAME = {"type": "rename", "file": "a.py", "symbol": "load", "new_name": "fetch"}
FILES = {"a.py": b"def load(): pass\n", "b.py": b"from a import load\nload()\n"}


@dataclass
class Result:
    code: int
    output: dict[str, Any]
    log: str


def run(folder: Path, phase: str, given: object, **environment: str) -> Result:
    source, target = folder / "input.json", folder / f"{phase}.json"
    source.write_text(json.dumps(given))
    ended = subprocess.run(
        [sys.executable, *manifest("patcher")["command"][1:]],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "PENSTOCK_PHASE": phase,
            "PENSTOCK_INPUT": str(source),
            "PENSTOCK_OUTPUT": str(target),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    return Result(ended.returncode, json.loads(target.read_text()), ended.stdout + ended.stderr)


def fits(side: str, value: object) -> None:
    jsonschema.Draft202012Validator(manifest("patcher")[side]).validate(value)


@pytest.fixture
def repository(tmp_path: Path) -> Bare:
    return bare(tmp_path / "clone.git", FILES)


def test_the_manifest_fits_the_contract():
    parsed = AgentManifest.model_validate(manifest("patcher"))
    assert (parsed.name, parsed.plans, parsed.repeats) == ("patcher", True, False)
    assert [(each.input, each.mode) for each in parsed.workspaces] == [("repository_path", "git")]
    for side in ("input", "output"):
        jsonschema.Draft202012Validator.check_schema(manifest("patcher")[side])


@pytest.mark.parametrize("name", ["operations", "diff"])
def test_the_examples_fit_the_schema(name: str):
    fits("input", json.loads((AGENTS / f"patcher/fixtures/{name}.json").read_text()))


def test_plan_then_apply(tmp_path: Path, repository: Bare):
    given = {"repositoryPath": str(repository.folder), "operations": [RENAME]}
    fits("input", given)
    planned = run(tmp_path, "plan", given, PENSTOCK_FEEDBACK="shorter\x1b[31m, please")
    assert planned.code == 0, planned.log
    plan = planned.output["plan"]
    assert [each["path"] for each in plan["effect"]["files"]] == ["a.py", "b.py"]
    assert plan["effect"]["message"] == "Rename load to fetch in a.py"
    assert "\x1b" not in planned.log
    files = [{**each, "new": each["blob"]} for each in plan["effect"]["files"]]
    repository.git("read-tree", "main")
    rows = "".join(f"{each['mode']} {each['new']}\t{each['path']}\n" for each in files)
    repository.git("update-index", "--index-info", given=rows.encode())
    diff = repository.git("diff-index", "--cached", "-p", "--full-index", "--binary", "main")
    effect = {"kind": "git", "files": files, "diff": diff.decode()}
    applied = run(tmp_path, "apply", {"input": given, "plan": {"effect": effect, "base": {}}})
    assert applied.code == 0, applied.log
    fits("output", applied.output)
    assert applied.output["applied"] is True
    assert applied.output["files_modified"] == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("fields", "files", "conflicts"),
    [
        ({"patch_content": PATCH, "dry_run": True}, ["a.py"], []),
        ({"patch_content": PATCH.replace("pass", "fail")}, [], ["a.py"]),
        ({"operations": [{"type": "find_replace", "find": "x", "replace": "y"}]}, [], []),
    ],
)
def test_plans_that_end_at_once(
    tmp_path: Path,
    repository: Bare,
    fields: dict[str, object],
    files: list[str],
    conflicts: list[str],
):
    given = {"repository_path": str(repository.folder), **fields}
    result = run(tmp_path, "plan", given)
    assert result.code == 0, result.log
    output = result.output["output"]
    fits("output", output)
    assert (output["applied"], output["backup_path"]) == (False, "")
    assert output["files_modified"] == files
    assert [each["file"] for each in output["conflicts"]] == conflicts


@pytest.mark.parametrize(
    ("phase", "fields", "code"),
    [
        ("plan", {"patch_content": "no patch"}, "invalid_patch"),
        ("plan", {}, "invalid_input"),
        ("plan", {"patch_content": PATCH, "operations": [RENAME]}, "invalid_input"),
        ("run", {"patch_content": PATCH}, "unknown_phase"),
        ("apply", {"patch_content": PATCH}, "invalid_input"),
    ],
)
def test_failures_are_declared(
    tmp_path: Path, repository: Bare, phase: str, fields: dict[str, object], code: str
):
    result = run(tmp_path, phase, {"repository_path": str(repository.folder), **fields})
    assert result.code == 10
    assert result.output["error"]["code"] == code
    assert result.output["error"]["retryable"] is False


@pytest.mark.real
async def test_it_works_inside_the_sandbox(tmp_path: Path, repository: Bare):
    inside = "/penstock/repository_path"
    operations = [RENAME, {"type": "config", "file": "c.json", "key": "a", "value": 2}]
    repository.commit({**FILES, "c.json": b'{"a": 1}\n'})
    limits = manifest("patcher")["limits"]
    spec = SandboxSpec(
        "patch",
        AGENTS / "patcher",
        ("python", "-m", "penstock_agent_patcher"),
        json.dumps({"repository_path": inside, "operations": operations}).encode(),
        Limits(
            memory_bytes=limits["memory_mb"] * MIB,
            processes=limits["processes"],
            cpu_s=limits["cpu_s"],
            wall_s=limits["wall_s"],
            output_bytes=limits["output_kb"] * 1024,
            log_bytes=limits["log_kb"] * 1024,
            disk_bytes=limits["disk_mb"] * MIB,
        ),
        mounts=(Mount(repository.folder, inside, writable=True),),
        env={"PENSTOCK_PHASE": "plan"},
    )
    log = Log()
    async with opened_bubblewrap(tmp_path / "scratch", readable=[AGENTS / "sdk"]) as sandbox:
        result = await sandbox.run(spec, log)
    assert result.exit_code == 0, (result, log.lines)
    effect = json.loads(result.output or b"")["plan"]["effect"]
    contents = {
        each["path"]: repository.git("cat-file", "blob", each["blob"]) for each in effect["files"]
    }
    assert contents == {
        "a.py": b"def fetch(): pass\n",
        "b.py": b"from a import fetch\nfetch()\n",
        "c.json": b'{"a": 2}\n',
    }
