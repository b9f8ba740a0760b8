"""The guides' own commands, on a real stack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.guides import Reader, save_files

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
GUIDES = ("agent-development", "approvals", "patching")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the guides' files, in which a stack was started."""
    place = tmp_path_factory.mktemp("guides")
    place.chmod(0o755)
    for guide in GUIDES:
        save_files(guide, place)
    reader = Reader(place)
    try:
        started = reader.shell("penstock up --detach")
        assert started.returncode == 0, started.stdout
        yield place
    finally:
        assert reader.shell("penstock down").returncode == 0


def test_an_agent_is_written_as_the_guide_says(folder: Path):
    Reader(folder).follow("agent-development")


def test_patching_is_as_the_guide_says(folder: Path):
    Reader(folder).follow("patching")


def test_approvals_are_as_the_guide_says(folder: Path):
    def kill_the_executor() -> None:
        reader.until(lambda: reader.node_is("pay", "running"), "the agent at work")
        children = reader.ask("status")["children"]
        (pid,) = (each["pid"] for each in children if each["name"] == "executor")
        os.kill(pid, signal.SIGKILL)
        reader.until(lambda: reader.node_is("pay", "unknown"), "the timeout of the claim")

    reader = Reader(folder, doing={"kill -9 PID": kill_the_executor})
    reader.follow("approvals")
