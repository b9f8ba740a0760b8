"""Links between documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.tree import ROOT, texts

LINK = re.compile(r"\[[^\]]+\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def _is_planned(target: Path) -> bool:
    """A page of a service that is not in the tree at all yet."""
    parts = target.parts
    return parts[:1] == ("services",) and not (ROOT / Path(*parts[:2])).exists()


def test_relative_links_lead_to_files():
    broken: list[str] = []
    for name, text in texts():
        if not name.endswith(".md"):
            continue
        for match in LINK.finditer(FENCE.sub("", text)):
            file = (ROOT / name).parent / match[1]
            target = file.resolve().relative_to(ROOT)
            if not file.exists() and not _is_planned(target):
                broken.append(f"{name}: {match[1]}")
    assert broken == []


def test_the_first_screen_shows_the_two_commands():
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40]
    assert any("git clone" in line for line in first_screen)
    assert any("make demo" in line for line in first_screen)
