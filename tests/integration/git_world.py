"""A repository, an agent that writes blobs, and the adapter between them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    GitPlan,
    Landed,
    Opened,
    ProposedFile,
    ProposedFiles,
)
from penstock_testkit.builders.repositories import (
    File,
    check_out,
    make_repository,
    put_object,
    snapshot,
    tip,
)

KEY = "11111111-2222-3333-4444-555555555555"
SCRIPT_TIMEOUT_S = 30.0
FILES: dict[bytes, File] = {
    b"a.txt": File(b"one\ntwo\n"),
    b"src/b.py": File(b"def b():\n    return 1\n"),
    b"untouched.bin": File(bytes(range(256))),
}
NEW = File(b"one\nTWO\n")

Snapshot = dict[str, tuple[int, bytes]]


@dataclass
class GitWorld:
    """One repository below a folder; `repositories` may be replaced."""

    folder: Path
    files: Mapping[bytes, File] = field(default_factory=lambda: dict(FILES))
    bare: bool = False
    repositories: GitRepositories = field(init=False)
    opened: Opened = field(init=False)
    plan: GitPlan = field(init=False)
    scratches: int = 0

    def __post_init__(self) -> None:
        self.path = self.folder / "repository"
        self.git_dir = self.path if self.bare else self.path / ".git"
        self.repositories = GitRepositories([self.folder], lock_wait_s=0.05)
        make_repository(self.git_dir, self.files, bare=self.bare)
        if not self.bare:
            check_out(self.git_dir, self.path)

    async def open(self, ref: str | None = None) -> Opened:
        self.scratches += 1
        scratch = self.folder.with_name(f"{self.folder.name}.scratch{self.scratches}")
        scratch.mkdir()
        self.opened = await self.repositories.open(self.path, ref, scratch)
        return self.opened

    async def propose(
        self, files: Mapping[str, File | None] | None = None, message: str = "Change it"
    ) -> GitPlan:
        """Open, write what an agent would write, and plan."""
        await self.open()
        proposed = ProposedFiles(self.write(files or {"a.txt": NEW}), message)
        self.plan = await self.repositories.plan(self.path, self.opened, proposed)
        return self.plan

    def write(self, files: Mapping[str, File | None]) -> tuple[ProposedFile, ...]:
        return tuple(
            ProposedFile(path, None, None)
            if file is None
            else ProposedFile(path, file.mode, put_object(self.opened.clone, file.content))
            for path, file in files.items()
        )

    async def check(self) -> None:
        await self.repositories.check(self.path, self.plan.effect, self.plan.base)

    async def land(self, key: str = KEY, in_time: Callable[[], bool] = lambda: True) -> Landed:
        plan, trailers = self.plan, {"Penstock-Run": "r-1"}
        return await self.repositories.land(
            self.path, self.opened, plan.effect, plan.base, key, trailers, in_time
        )

    def tip(self, branch: str = "main") -> str:
        return tip(self.git_dir, branch)

    def everything(self) -> Snapshot:
        """All files but the objects."""
        inside = os.path.relpath(self.git_dir / "objects", self.folder)
        return snapshot(self.folder, without=(inside,))


def run_script(script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a rollback script as a person would."""
    return subprocess.run(
        ["sh", "-s"],
        input=script.encode(),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
