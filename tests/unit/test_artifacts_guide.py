"""What the guide says of artifacts is so."""

from __future__ import annotations

import re
from pathlib import Path

from penstock_adapters.yaml import read_document
from penstock_contracts.agent.v1 import AgentLimits, AgentManifest
from penstock_contracts.artifact.v1 import ARTIFACTS_MAX, NAME_MAX_CHARS
from penstock_core.workflow.validation import validate
from penstock_runtime.ports.sandbox import ARTIFACT_ENTRIES_MAX
from penstock_scheduler.settings import SchedulerSettings

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/artifacts.md").read_text(encoding="utf-8")


def rows() -> dict[str, str]:
    found = re.findall(r"^\| (.+?) \|(?:.+\|)? (.+?) \|$", GUIDE, re.MULTILINE)
    return dict(found)


def test_its_bounds_are_the_code_s():
    told = rows()
    assert f"{AgentLimits().artifacts_mb} MB" in told["all files together"]
    assert told["artifacts of a task"] == str(ARTIFACTS_MAX)
    assert told["files and folders in the folder"] == f"{ARTIFACT_ENTRIES_MAX:,}"
    assert told["a name"] == f"{NAME_MAX_CHARS} characters"


def test_its_settings_are_the_code_s():
    told, fields = rows(), SchedulerSettings.model_fields
    assert float(told["`PENSTOCK_ARTIFACT_DAYS`"]) == fields["artifact_days"].default
    assert int(told["`PENSTOCK_ARTIFACT_CACHE_MB`"]) == fields["artifact_cache_mb"].default


def test_its_workflow_is_valid():
    example = re.search(r"```yaml\n(apiVersion.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    scanner = read_document(
        (ROOT / "agents/security-scanner/agent.yaml").read_text(encoding="utf-8"), "agent.yaml"
    )
    text = {"type": "object", "properties": {"file": {"type": "string"}}}
    agents = {
        "security-scanner": AgentManifest.model_validate(scanner.value),
        "reporter": AgentManifest.model_validate({"name": "reporter", "input": text}),
    }
    assert validate(read_document(example[1], "guide").value, agents) == ()


def test_its_program_leaves_what_it_says(tmp_path: Path, monkeypatch: object) -> None:
    example = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", str(tmp_path))  # type: ignore[attr-defined]
    # penstock: ignore[bandit:B102] -- the guide's own example
    exec(compile(example[1], "guide", "exec"), {})  # noqa: S102 - the guide's own
    assert (tmp_path / "report/full.txt").read_text() == "every line of it"
