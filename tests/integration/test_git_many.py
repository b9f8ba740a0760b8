"""300 generated repositories: each plan is applied exactly, or refused with nothing changed."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    BaseChanged,
    Landed,
    Opened,
    ProposedFile,
    ProposedFiles,
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import (
    File,
    git,
    index,
    object_id,
    put_object,
    snapshot,
    tip,
    tree,
)
from tests.integration.git_cases import BRANCH, EXECUTABLE, LINK, Case, make_case, raw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CASES = 300
BATCHES = 6
AT_ONCE = 4
KEY = "0f3c1d2e-5a7b-4c8d-9e0f-112233445566"
ROLLBACK_TIMEOUT_S = 30
TREE_ENTRY = tuple[str, str]

Snapshot = dict[str, tuple[int, bytes]]


def git_knows_sha256() -> bool:
    said = subprocess.run(
        ["git", "version"], check=True, capture_output=True, text=True, timeout=ROLLBACK_TIMEOUT_S
    ).stdout.split()[2]
    return tuple(int(part) for part in said.split(".")[:2]) >= (2, 29)


def everything(folder: Path, case: Case) -> Snapshot:
    """All files of a case but its objects, which may gain unused ones, and the marker."""
    inside = os.path.relpath(case.git_dir / "objects", folder)
    return snapshot(folder, without=(inside,))


def expected_tree(case: Case) -> dict[bytes, TREE_ENTRY]:
    files: dict[bytes, File] = dict(case.files)
    for path, file in case.wanted.items():
        if file is None:
            del files[raw(path)]
        else:
            files[raw(path)] = file
    return {path: entry(case, file) for path, file in files.items()}


def entry(case: Case, file: File) -> TREE_ENTRY:
    if file.mode == "160000":
        return (file.mode, file.content.decode())
    return (file.mode, object_id(file.content, sha256=case.sha256))


def propose(case: Case, clone: Path) -> ProposedFiles:
    """Write the wanted contents into the clone as an agent does."""
    files: list[ProposedFile] = []
    for path, file in case.wanted.items():
        if file is None:
            files.append(ProposedFile(path, None, None))
            continue
        blob = object_id(file.content, sha256=case.sha256)
        if case.lying_blob:
            blob = put_object(clone, b"another", sha256=case.sha256, name="ab" + blob[2:])
        elif case.missing_blob:
            blob = "ab" + blob[2:]
        else:
            put_object(clone, file.content, sha256=case.sha256)
        files.append(ProposedFile(path, file.mode, blob))
    return ProposedFiles(tuple(files), f"Change {len(files)} files")


class Play:
    """One case from opening to rollback."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.folder = folder
        self.case = case
        self.repositories = GitRepositories([folder], lock_wait_s=0.1)
        self.before: Snapshot = {}
        self.opened: Opened | None = None

    async def run(self) -> str:
        case = self.case
        scratch = self.folder.with_name(self.folder.name + ".scratch")
        scratch.mkdir()
        self.before = everything(self.folder, case)
        landed = refusal = None
        try:
            landed = await self._land(scratch)
        except (RepositoryRefused, BaseChanged) as error:
            refusal = str(error)
        if landed is None:
            assert case.obstacles, f"refused without a reason: {refusal}"
            assert everything(self.folder, case) == self.before, refusal
        else:
            assert not case.obstacles, "applied in spite of them"
            await self._applied(landed)
        assert not case.marker.exists(), case.marker.read_text()
        return "refused" if landed is None else "applied"

    async def _land(self, scratch: Path) -> Landed:
        case = self.case
        self.opened = opened = await self.repositories.open(case.path, case.ref, scratch)
        plan = await self.repositories.plan(case.path, opened, propose(case, opened.clone))
        if case.meanwhile is not None:
            case.meanwhile()
            self.before = everything(self.folder, case)
        await self.repositories.check(case.path, plan.effect, plan.base)
        self.effect, self.base = plan.effect, plan.base
        self.old_tip = tip(case.git_dir)
        self.old_indexes = [index(git_dir) for _, git_dir in self._worktrees()]
        return await self.repositories.land(
            case.path, opened, plan.effect, plan.base, KEY, {"Penstock-Run": "r"}
        )

    def _worktrees(self) -> list[tuple[Path, Path]]:
        return [each for each in (self.case.checked_out, self.case.other) if each is not None]

    async def _applied(self, landed: Landed) -> None:
        case = self.case
        assert landed.unfinished == ()
        assert landed.previous == self.old_tip
        assert tip(case.git_dir) == landed.commit
        assert tree(case.git_dir, landed.commit) == expected_tree(case)
        parents = git(case.git_dir, "rev-list", "--parents", "-n1", landed.commit).split()
        assert parents[1:] == [self.old_tip.encode()]
        self._check_surroundings()
        if case.checked_out is not None:
            self._check_worktree(*case.checked_out)
        now = everything(self.folder, case)
        assert self.opened is not None
        again = await self.repositories.land(
            case.path, self.opened, self.effect, self.base, KEY, {}
        )
        assert (again.before, again.commit, again.previous) == (True, landed.commit, self.old_tip)
        assert everything(self.folder, case) == now
        self._check_rollback(landed)

    def _check_surroundings(self) -> None:
        """Nothing but the branch, its backup, and one worktree may be another than before."""
        case = self.case
        now = everything(self.folder, case)
        changed = {name for name in {*self.before, *now} if self.before.get(name) != now.get(name)}
        shared = os.path.relpath(case.git_dir, self.folder) + "/"
        allowed = {f"{shared}refs/heads/{BRANCH}", f"{shared}logs/refs/heads/{BRANCH}"}
        own = ""
        if case.checked_out is not None:
            worktree, git_dir = (os.path.relpath(place, self.folder) for place in case.checked_out)
            own = worktree + "/"
            allowed |= {f"{git_dir}/index", f"{git_dir}/logs/HEAD"}
        stray = [
            name
            for name in sorted(changed - allowed)
            if not name.startswith(f"{shared}refs/penstock")
            and not name.startswith(f"{shared}logs")
            and not (own and name.startswith(own) and not name.startswith(shared))
            and "/sharedindex." not in name
        ]
        assert stray == []

    def _check_worktree(self, worktree: Path, git_dir: Path) -> None:
        case = self.case
        prefix = os.path.relpath(worktree, self.folder)
        files = contents(self.before, prefix)
        for path, file in case.wanted.items():
            name = os.fsdecode(raw(path))
            if file is None:
                del files[name]
            else:
                files[name] = as_checked_out(name, file)
        assert contents(everything(self.folder, case), prefix) == files
        listed = {
            line.split(b"\t", 1)[1]: tuple(line.split(b"\t")[0].decode().split(" ")[1:3])
            for line in index(git_dir).split(b"\0")[:-1]
        }
        staged = {
            line.split(b"\t", 1)[1]: tuple(line.split(b"\t")[0].decode().split(" ")[1:3])
            for line in self.old_indexes[0].split(b"\0")[:-1]
        }
        for path, file in case.wanted.items():
            if file is None:
                del staged[raw(path)]
            else:
                staged[raw(path)] = entry(case, file)
        assert listed == staged

    def _check_rollback(self, landed: Landed) -> None:
        case = self.case
        done = subprocess.run(
            ["sh", "-s"],
            input=landed.rollback.encode(),
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"},
            cwd="/",
            capture_output=True,
            timeout=ROLLBACK_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert tip(case.git_dir) == self.old_tip
        assert [index(git_dir) for _, git_dir in self._worktrees()] == self.old_indexes
        now = everything(self.folder, case)
        for worktree, _ in self._worktrees():
            prefix = os.path.relpath(worktree, self.folder)
            assert contents(now, prefix) == contents(self.before, prefix)


def as_checked_out(name: str, file: File) -> tuple[str, bytes]:
    content = file.content
    if name.endswith(".bat"):
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return (file.mode, content)


def contents(found: Snapshot, prefix: str) -> dict[str, tuple[str, bytes]]:
    """Files of a worktree with git's idea of their mode."""
    files: dict[str, tuple[str, bytes]] = {}
    for name, (mode, content) in found.items():
        inside = os.path.relpath(name, prefix)
        if inside.startswith(("..", ".git/")) or inside in (".", ".git") or stat.S_ISDIR(mode):
            continue
        kind = EXECUTABLE if mode & 0o100 else "100644"
        files[inside] = (LINK if stat.S_ISLNK(mode) else kind, content)
    return files


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_every_plan_is_applied_exactly_or_refused_with_nothing_changed(
    tmp_path: Path, batch: int
):
    sha256 = git_knows_sha256()
    room = asyncio.Semaphore(AT_ONCE)
    outcomes: Counter[str] = Counter()

    async def play(seed: int) -> None:
        folder = tmp_path / str(seed)
        folder.mkdir()
        async with room:
            case = make_case(folder, seed, sha256=sha256)
            try:
                outcomes[await Play(folder, case).run()] += 1
            except BaseException as error:
                error.add_note(f"seed {seed}, {case.layout}, obstacles: {case.obstacles}")
                raise

    async with asyncio.TaskGroup() as group:
        for seed in range(batch, CASES, BATCHES):
            group.create_task(play(seed))
    assert outcomes["applied"] > CASES / BATCHES / 4
    assert outcomes["refused"] > CASES / BATCHES / 10
