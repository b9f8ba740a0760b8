"""Worktrees that have a branch checked out: all of them move with it, or nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.git.command import run
from penstock_adapters.git.target import Target, worktree_of
from penstock_runtime.ports.repositories import RepositoryRefused

WORKTREES_MAX = 64
"""Most worktrees of one repository."""

_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A worktree.

    Attributes:
        git_dir: its own HEAD and index.
        worktree: its files.
    """

    target: Target
    git_dir: Path
    worktree: Path

    async def has(self, ref: str) -> bool:
        """Whether this branch is the one checked out."""
        command = self.target.command("symbolic-ref", "-q", "HEAD", git_dir=self.git_dir)
        answer = await run(command, accept=(0, 1), limit=8 * 1024)
        return answer.code == 0 and answer.out.rstrip(b"\n") == ref.encode()


async def checkouts(target: Target, ref: str, roots: Sequence[Path] | None) -> list[Checkout]:
    """Find the worktrees in which a branch is checked out.

    Raises:
        RepositoryRefused: one lies outside the allowed roots, or something is under way in it
            that ends by moving the branch.
    """
    found: list[Checkout] = []
    for checkout in _all(target):
        if _rebases(checkout.git_dir, ref):
            raise RepositoryRefused(f"{ref} is being rebased in {checkout.worktree}")
        if not await checkout.has(ref):
            continue
        if roots is not None and not any(
            checkout.worktree.is_relative_to(root.resolve()) for root in roots
        ):
            raise RepositoryRefused(
                f"{ref} is checked out in {checkout.worktree}, outside the allowed roots"
            )
        for name, what in _UNDER_WAY.items():
            if (checkout.git_dir / name).exists():
                raise RepositoryRefused(f"{what} is under way in {checkout.worktree}")
        found.append(checkout)
    return found


def _all(target: Target) -> list[Checkout]:
    found: list[Checkout] = []
    if not target.bare:
        inside = target.git_dir == target.common
        main = target.path if inside and target.path != target.common else target.common.parent
        found.append(Checkout(target, target.common, main))
    folder = target.common / "worktrees"
    linked = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(linked) > WORKTREES_MAX:
        raise RepositoryRefused(f"more than {WORKTREES_MAX} worktrees")
    for git_dir in linked:
        pointer = git_dir / "gitdir"
        worktree = worktree_of(pointer) if pointer.exists() else None
        if worktree is not None:
            found.append(Checkout(target, git_dir, worktree))
        elif (git_dir / "locked").exists():
            raise RepositoryRefused(f"the worktree of {git_dir} is locked and not at hand")
    return found


def _rebases(git_dir: Path, ref: str) -> bool:
    for name in ("rebase-merge/head-name", "rebase-apply/head-name"):
        file = git_dir / name
        if file.is_file() and file.read_text(errors="replace").strip() == ref:
            return True
    return False
