"""The guide that builds an agent from scratch: every command and every file of it, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.guides import Fence, Reader, fences

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
GUIDE = "agent-in-ten-minutes"
UP = "PENSTOCK_AGENT_ROOTS="


class Builder(Reader):
    """Somebody who saves each file when the guide comes to it, and not before."""

    def follow(self, guide: str) -> None:
        steps = fences(guide)
        for step, after in zip(steps, [*steps[1:], Fence("end", "")], strict=True):
            if step.file is not None:
                name, content = step.file
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_text(content, encoding="utf-8")
            elif step.language == "console":
                self._type(step.text, after.text if after.language == "text" else "")
            elif step.text.startswith(UP):
                started = self.shell("penstock up --detach")
                assert started.returncode == 0, started.stdout


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    tmp_path.chmod(0o755)
    (tmp_path / "own-agents").mkdir()
    one = Builder(tmp_path)
    yield one
    assert one.shell("penstock down").returncode == 0


def test_every_fence_is_followed():
    known = [step for step in fences(GUIDE) if step.file or step.language in ("console", "text")]
    assert known == fences(GUIDE)


def test_an_agent_is_built_as_the_guide_says(builder: Builder):
    builder.follow(GUIDE)
