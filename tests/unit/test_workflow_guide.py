"""The guide's example is valid, and the guide names every code a problem may carry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock_adapters.yaml import read_document
from penstock_contracts.agent.v1 import AgentManifest
from penstock_core.workflow.plan import definition_digest
from penstock_core.workflow.problems import ProblemCode
from penstock_core.workflow.validation import validate, validate_manifest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/workflows.md").read_text(encoding="utf-8")
MANIFESTS = sorted((ROOT / "agents").glob("*/agent.yaml"))


def manifest_of(file: Path) -> AgentManifest:
    document = read_document(file.read_text(encoding="utf-8"), file.parent.name)
    return AgentManifest.model_validate(document.value)


def test_the_example_is_valid_with_the_agents_of_this_repository():
    example = re.search(r"```yaml\n(apiVersion.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    agents = {manifest.name: manifest for manifest in map(manifest_of, MANIFESTS)}
    document = read_document(example.group(1), "guide")
    assert validate(document.value, agents) == ()
    assert definition_digest(document.value).startswith("sha256:")


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.parent.name)
def test_the_manifests_of_this_repository_are_usable(file: Path):
    assert validate_manifest(manifest_of(file)) == ()


@pytest.mark.parametrize("code", list(ProblemCode))
def test_every_code_is_in_the_guide(code: ProblemCode):
    assert f"`{code}`" in GUIDE
