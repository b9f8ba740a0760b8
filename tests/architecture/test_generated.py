"""Files written by a program are what that program would write today."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_testkit.generate import Generator, differences, discover, write
from tests.architecture.tree import ROOT


@pytest.mark.parametrize("generator", discover(), ids=lambda generator: generator.name)
def test_generated_files_are_fresh(generator: Generator):
    assert differences(ROOT, [generator]) == [], "run `make generate`"


def test_differences_are_found_and_mended(tmp_path: Path):
    def generate(_root: Path) -> dict[str, str]:
        return {"made/one.md": "1\n", "made/two.md": "2\n"}

    generator = Generator("sample", generate, ("made/*.md",))
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "one.md").write_text("old\n")
    (tmp_path / "made" / "gone.md").write_text("left over\n")

    found = differences(tmp_path, [generator])
    assert {(item.path, item.kind) for item in found} == {
        ("made/one.md", "stale"),
        ("made/two.md", "missing"),
        ("made/gone.md", "left over"),
    }

    assert write(tmp_path, [generator]) == found
    assert differences(tmp_path, [generator]) == []
