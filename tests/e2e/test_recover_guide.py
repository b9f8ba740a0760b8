"""The guide's own commands, on a real stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.guides import Reader, save_files

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]


def test_recovery_is_as_the_guide_says(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    save_files("recovery", tmp_path)
    reader = Reader(tmp_path)
    try:
        assert reader.shell("penstock up --detach").returncode == 0
        reader.follow("recovery")
        reader.until(lambda: len(reader.ask("runs", "list")["items"]) == 2, "both runs")
    finally:
        assert reader.shell("penstock down").returncode == 0
