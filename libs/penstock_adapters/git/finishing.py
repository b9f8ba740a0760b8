"""What a landing leaves to do that died after it moved the branch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock_adapters.git.command import run
from penstock_adapters.git.effects import Plan
from penstock_adapters.git.reading import split_batch
from penstock_adapters.git.refs import commit_at
from penstock_adapters.git.staging import staged
from penstock_adapters.git.target import Target
from penstock_adapters.git.worktrees import Checkout, checkouts
from penstock_runtime.ports.repositories import RepositoryRefused


async def finish(
    target: Target,
    plan: Plan,
    commit: str,
    key: str,
    wait_s: float,
    roots: Sequence[Path] | None,
) -> tuple[str, ...]:
    """Bring worktrees up to a commit that has landed already.

    Returns:
        What could not be done, one sentence for each worktree.
    """
    if await commit_at(target, plan.ref) != commit:
        return ()  # others have committed since: they have seen to it
    try:
        found = await checkouts(target, plan.ref, roots)
        contents = await _contents(target, plan) if found else {}
    except RepositoryRefused as refusal:
        return (str(refusal),)
    unfinished = [await _finish(checkout, plan, contents, key, wait_s) for checkout in found]
    return tuple(sentence for sentence in unfinished if sentence)


async def _finish(
    checkout: Checkout, plan: Plan, contents: dict[str, bytes], key: str, wait_s: float
) -> str:
    try:
        async with staged(checkout, plan, contents, key, wait_s, halfway=True) as stage:
            stage.apply()
    except RepositoryRefused as refusal:
        return f"{checkout.worktree} is not up to date: {refusal}"
    except OSError as error:
        return f"{checkout.worktree} is not up to date: {error.strerror}"
    return ""


async def _contents(target: Target, plan: Plan) -> dict[str, bytes]:
    names = sorted({change.new for change in plan.changes if change.new is not None})
    if not names:
        return {}
    asked = "".join(f"{name}\n" for name in names).encode("ascii")
    return split_batch((await run(target.command("cat-file", "--batch"), stdin=asked)).out)
