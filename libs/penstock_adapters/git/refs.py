"""Branches: which one is meant, where it is, and moving it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock_adapters.git.command import CommandFailed, run
from penstock_adapters.git.target import Target
from penstock_runtime.ports.repositories import BACKUP_REFS, RepositoryRefused

BRANCHES = "refs/heads/"
_LINE = 8 * 1024  # bytes of an answer of one line
_ANSWER = 1024 * 1024
_FORMAT = "%(refname) %(objecttype) %(objectname) %(symref)"
_NO_REF = re.compile(r"[\s~^:?*\[\\]|\.\.|//|@\{|/$|\.$")  # git-check-ref-format(1)


class BranchMissing(RepositoryRefused):
    """There is no such branch, or it has no commit yet."""


class OutcomeUnknown(Exception):
    """A branch was being moved when something broke, and it cannot be seen whether it was."""


@dataclass(frozen=True, slots=True)
class Tip:
    """A branch by its full name and the commit it is at."""

    ref: str
    commit: str


def full_name(ref: str) -> str:
    """The full name of a branch given short or full.

    Raises:
        RepositoryRefused: it names something that is no branch.
    """
    if ref.startswith("refs/") and not ref.startswith(BRANCHES):
        raise RepositoryRefused(f"{ref} is not a branch")
    return ref if ref.startswith(BRANCHES) else BRANCHES + ref


async def named(target: Target, ref: str | None) -> Tip:
    """Find the tip of a branch; None: of the one that HEAD names.

    Raises:
        BranchMissing: there is none.
        RepositoryRefused: HEAD is detached, or the name is no branch's.
    """
    if ref is None:
        command = target.command("symbolic-ref", "-q", "HEAD", git_dir=target.git_dir)
        answer = await run(command, accept=(0, 1), limit=_LINE)
        if answer.code != 0:
            raise RepositoryRefused(
                f"HEAD of {target.path} is detached: name the branch to work on"
            )
        ref = answer.out.decode("utf-8", "replace").rstrip("\n")
    return await tip_of(target, full_name(ref))


async def tip_of(target: Target, ref: str) -> Tip:
    """Find the tip of a branch by its full name.

    Raises:
        BranchMissing: there is none.
        RepositoryRefused: the name is no branch's, or another name for one.
    """
    return (await with_backup(target, ref, ""))[0]


async def with_backup(target: Target, ref: str, key: str) -> tuple[Tip, str | None]:
    """Find the tip of a branch, and what a landing with this key has kept of it.

    Raises:
        BranchMissing: there is no such branch.
        RepositoryRefused: the name is no branch's, or another name for one.
    """
    if _NO_REF.search(ref) or not ref.isprintable():
        raise RepositoryRefused(f"{ref!a} is not the name of a branch")
    kept = backup_ref(key)
    asked = [ref, kept] if key else [ref]
    command = target.command("for-each-ref", f"--format={_FORMAT}", "--", *asked)
    answer = await run(command, limit=_ANSWER)
    found: dict[str, list[str]] = {}
    for line in answer.out.decode("utf-8", "replace").splitlines():
        name, *about = line.split(" ")
        found[name] = about
    if ref not in found:
        raise BranchMissing(f"{ref} does not exist, or has no commit yet")
    kind, commit, symbolic = found[ref]
    if symbolic:
        raise RepositoryRefused(f"{ref} is only another name for {symbolic}")
    if kind != "commit":
        raise RepositoryRefused(f"{ref} is not at a commit")
    return Tip(ref, commit), found[kept][1] if kept in found else None


async def commit_at(target: Target, ref: str) -> str | None:
    """The commit a branch is at, or None."""
    try:
        return (await tip_of(target, ref)).commit
    except BranchMissing:
        return None


def backup_ref(key: str) -> str:
    """Where the tip before a landing is kept."""
    return BACKUP_REFS + key


async def move(target: Target, old: Tip, commit: str, key: str) -> bool:
    """Keep the old tip under its backup name and move the branch, in this order, or do neither.

    Returns:
        Whether it was moved; False: it was no longer at its old tip.

    Raises:
        CommandFailed: for another reason it cannot be moved.
        OutcomeUnknown: whether it was moved cannot be seen.
    """
    orders = (
        "start",
        f"update {backup_ref(key)} {old.commit}",
        f"update {old.ref} {commit} {old.commit}",
        "prepare",
        "commit",
    )
    command = target.command("update-ref", "-m", f"penstock: land {key}", "--stdin")
    try:
        await run(command, stdin="".join(f"{line}\n" for line in orders).encode())
    except CommandFailed as failure:
        try:
            now = await commit_at(target, old.ref)
        except RepositoryRefused:
            raise OutcomeUnknown(str(failure)) from failure
        if now == old.commit:
            raise
        return now == commit
    return True
