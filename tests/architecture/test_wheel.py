"""The wheel holds what the packages read at run time, and nothing that is not theirs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, tracked_files

BUILT_WITHIN_S = 60
PACKAGES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "hatch"
]["build"]["targets"]["wheel"]["packages"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Names of the files in a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUILT_WITHIN_S)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def test_every_file_of_a_package_is_in_it(built: frozenset[str]):
    wanted = {
        f"{Path(package).name}/{name.removeprefix(f'{package}/')}"
        for package in PACKAGES
        for name in tracked_files()
        if name.startswith(f"{package}/")
    }
    assert wanted - built == set()


def test_each_agent_takes_its_manifest_along(built: frozenset[str]):
    wanted = {
        f"penstock_agent_{Path(name).parent.name.replace('-', '_')}/agent.yaml"
        for name in tracked_files()
        if name.startswith("agents/") and Path(name).name == "agent.yaml" and name.count("/") == 2
    }
    assert wanted
    assert wanted - built == set()


def test_only_our_packages_are_in_it(built: frozenset[str]):
    tops = {name.split("/")[0] for name in built}
    packages = {Path(package).name for package in PACKAGES}
    assert {top for top in tops if not top.endswith(".dist-info")} <= packages
