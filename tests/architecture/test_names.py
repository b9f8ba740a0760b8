"""A module is named after what it knows; drawers without a subject are refused."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.tree import ROOT, sources, tracked_files

DRAWERS = frozenset(
    {
        "util",
        "utils",
        "helper",
        "helpers",
        "common",
        "manager",
        "managers",
        "base",
        "misc",
        "shared",
    }
)
TOP_LEVEL = frozenset(
    {
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "Tiltfile",
        "agents",
        "contracts",
        "deploy",
        "docs",
        "libs",
        "load-tests",
        "pyproject.toml",
        "requirements-dev.lock",
        "requirements.lock",
        "services",
        "tests",
    }
)


def test_no_module_is_a_drawer():
    strays = [
        source.path
        for source in sources()
        if DRAWERS & set(Path(source.path).with_suffix("").parts)
    ]
    assert strays == []


def test_no_class_is_named_after_a_drawer():
    suffixes = ("Manager", "Helper", "Utils", "Util", "Base")
    strays = [
        f"{source.path}:{node.lineno}: {node.name}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(suffixes)
    ]
    assert strays == []


def test_the_top_level_stays_as_given():
    present = {name.split("/")[0] for name in tracked_files()}
    assert {name for name in present if not name.startswith(".")} <= TOP_LEVEL


def test_each_service_and_agent_introduces_itself():
    folders = {
        "/".join(name.split("/")[:2])
        for name in tracked_files()
        if name.startswith(("services/", "agents/")) and name.count("/") > 1
    }
    assert [
        folder for folder in sorted(folders) if not (ROOT / folder / "README.md").is_file()
    ] == []
