"""Bare repositories with given files, and the patcher's two phases on them."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_agent_patcher.models import PatcherInput, PatcherOutput, Proposal
from penstock_agent_patcher.planning import apply_effect, propose

GIT_TIMEOUT_S = 30.0
IDENTITY = {
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
Entry = bytes | tuple[str, bytes]


@dataclass(frozen=True)
class Bare:
    """One bare repository with a commit on `main`."""

    folder: Path

    def git(self, *command: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", *command],
            input=given,
            env={"PATH": "/usr/bin:/bin", "GIT_DIR": str(self.folder), **IDENTITY},
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        ).stdout

    def commit(self, files: Mapping[str, Entry], branch: str = "main") -> str:
        """Make a commit of just these files; an entry is its content, or mode and content."""
        rows = b""
        for path, entry in files.items():
            mode, content = entry if isinstance(entry, tuple) else ("100644", entry)
            if mode == "160000":
                blob = content
            else:
                blob = self.git("hash-object", "-w", "--stdin", given=content).strip()
            rows += mode.encode() + b" " + blob + b"\t" + path.encode() + b"\0"
        self.git("read-tree", "--empty")
        self.git("update-index", "-z", "--index-info", given=rows)
        tree = self.git("write-tree").decode().strip()
        commit = self.git("commit-tree", "-m", "base", tree).decode().strip()
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def plan(self, **fields: object) -> Proposal | PatcherOutput:
        task = {"repository_path": str(self.folder), **fields}
        return propose(PatcherInput.model_validate(json.loads(json.dumps(task))))

    def changed(self, **fields: object) -> dict[str, bytes | None]:
        """The contents a plan proposes; the plan must not be a refusal."""
        made = self.plan(**fields)
        assert isinstance(made, Proposal), made
        return {
            each.path: None if each.blob is None else self.git("cat-file", "blob", each.blob)
            for each in made.files
        }

    def refusal(self, **fields: object) -> list[tuple[str, str]]:
        """File and reason of each conflict; nothing may be proposed."""
        made = self.plan(**fields)
        assert isinstance(made, PatcherOutput), made
        assert made.applied is False
        assert made.files_modified == ()
        return [(each.file, each.reason) for each in made.conflicts]

    def approved(self, made: Proposal, branch: str = "main") -> dict[str, Any]:
        """The effect as the executor makes it of a proposal: a diff between two trees."""
        rows = b""
        files: list[dict[str, object]] = []
        for each in made.files:
            mode, blob = (each.mode, each.blob) if each.blob else ("0", "0" * 40)
            rows += f"{mode} {blob}\t{each.path}\0".encode()
            mode_or_none = each.mode if each.blob else None
            files.append({"path": each.path, "mode": mode_or_none, "new": each.blob})
        self.git("read-tree", branch)
        self.git("update-index", "-z", "--index-info", given=rows)
        tree = self.git("write-tree").decode().strip()
        options = ("--binary", "--full-index", "--no-renames", "--no-color")
        diff = self.git("diff-tree", "-p", *options, branch, tree)
        text = diff.decode("utf-8", "surrogateescape")
        return {"kind": "git", "message": made.message, "diff": text, "files": files}

    def apply(self, effect: Mapping[str, Any], **fields: object) -> PatcherOutput:
        return apply_effect(
            PatcherInput.model_validate({"repository_path": str(self.folder), **fields}), effect
        )


def bare(folder: Path, files: Mapping[str, Entry]) -> Bare:
    """A repository with these files on `main`."""
    subprocess.run(
        ["git", "init", "-q", "--bare", "--initial-branch=main", str(folder)],
        env={"PATH": "/usr/bin:/bin", **IDENTITY},
        capture_output=True,
        timeout=GIT_TIMEOUT_S,
        check=True,
    )
    made = Bare(folder)
    made.commit(files)
    return made
