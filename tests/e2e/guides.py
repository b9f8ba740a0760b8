"""A guide as a person follows it: its files are saved, its commands run, its outputs compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BLOCK_WITHIN_S = 60
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:yaml|py))\n")
AFTER_TRIGGER = re.compile(r"(?<=\n)(?<!\\\n)(?=penstock runs )")  # only then `RUN` is known
RUN_STARTED = re.compile(r"^run ([0-9a-f-]{36}) of ", re.MULTILINE)
FAILURE = re.compile(
    r"^(error|ask: denied|ask: expired|patch: workspace_refused):|^nothing was", re.MULTILINE
)
VARYING = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"  # a time
    r"|(?:sha256:)?(?<![0-9a-f])[0-9a-f]{8}[0-9a-f-]*"  # an id or a digest, or its beginning
)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced text of a guide; `language` says what is to be done with it."""

    language: str
    text: str

    @property
    def file(self) -> tuple[str, str] | None:
        """Name and content, if it is a file to be saved."""
        named = FILE_NAME.match(self.text)
        return None if named is None else (named[1], self.text[named.end() :])


def fences(guide: str) -> list[Fence]:
    """Give the fenced texts of `docs/guides/<guide>.md`, in order."""
    text = (ROOT / f"docs/guides/{guide}.md").read_text(encoding="utf-8")
    return [Fence(*found) for found in FENCE.findall(text)]


def save_files(guide: str, folder: Path) -> None:
    """Save every file of a guide."""
    for fence in fences(guide):
        if fence.file is not None:
            name, content = fence.file
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")


def comparable(text: str) -> str:
    """Give a text without ids, times and layout."""
    return " ".join(VARYING.sub("#", text).split())


@dataclass(slots=True)
class Reader:
    """Somebody who types what a guide says.

    Attributes:
        folder: where they are; the state folder is in it.
        doing: what is done where a fence without a command begins so, as in `kill -9 PID`.
        run: the run that they started last; `RUN` in a command.
        seen: the approval that they looked at last; `APPROVAL`, if the run asks for no other.
    """

    folder: Path
    doing: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    run: str = ""
    seen: str = ""

    def follow(self, guide: str) -> None:
        """Do everything that the guide says, and see that it happens."""
        steps = fences(guide)
        for step, after in zip(steps, [*steps[1:], Fence("end", "")], strict=True):
            if step.language == "console":
                self._type(step.text, after.text if after.language == "text" else "")
            for beginning, action in self.doing.items():
                if step.language == "text" and step.text.startswith(beginning):
                    action()

    def _type(self, commands: str, expected: str) -> None:
        said, failed = "", False
        for part in AFTER_TRIGGER.split(commands):
            script = self._script(part)
            ended = self.shell(script)
            said += f"$ {script}\n{ended.stdout}"
            for run in RUN_STARTED.findall(ended.stdout):
                self.run = run
            failed = ended.returncode != 0
            if failed:
                break
        if any(expected.startswith(beginning) for beginning in self.doing):
            expected = ""
        assert failed == bool(FAILURE.search(expected)), said
        for line in map(comparable, expected.splitlines()):
            assert line in comparable(said), f"{line!r} is not in:\n{said}"

    def _script(self, commands: str) -> str:
        script = re.sub(r"\bRUN\b", self.run, commands)
        if re.search(r"\bAPPROVAL\b", script):
            script = re.sub(r"\bAPPROVAL\b", self._approval(), script)
        return script

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run commands until one fails."""
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PENSTOCK_HOME": str(self.folder / ".penstock"),
                "PENSTOCK_AGENT_ROOTS": os.pathsep.join(
                    map(str, (self.folder / "own-agents", ROOT / "agents"))
                ),
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=BLOCK_WITHIN_S,
        )

    def ask(self, *line: str) -> Any:
        """Give what a verb prints for scripts."""
        ended = self.shell(f"penstock --json {' '.join(line)} 2>/dev/null")
        return json.loads(ended.stdout)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again and again, each time by a process of its own."""
        end = time.monotonic() + BLOCK_WITHIN_S
        while not holds():
            assert time.monotonic() < end, f"{what}: not within {BLOCK_WITHIN_S} s"

    def node_is(self, node: str, status: str) -> bool:
        """Whether a node of the last run has this status."""
        return self.ask("runs", "show", self.run)["nodes"][node]["status"] == status

    def _approval(self) -> str:
        def asked() -> bool:
            for item in self.ask("approvals", "list")["items"]:
                if item["run_id"] == self.run:
                    self.seen = item["approval_id"]
                    return True
            return self.ask("runs", "show", self.run)["run"]["status"] != "running"

        self.until(asked, f"an approval of {self.run}")
        return self.seen
