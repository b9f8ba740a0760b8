"""Whether what a plan was made against is still so."""

from __future__ import annotations

from penstock_adapters.git.command import run
from penstock_adapters.git.effects import Plan
from penstock_adapters.git.entries import Entry, read_tree
from penstock_adapters.git.refs import BranchMissing, Tip, tip_of
from penstock_adapters.git.target import Target
from penstock_runtime.ports.repositories import BaseChanged


async def checked_tip(target: Target, plan: Plan) -> Tip:
    """Find the tip of the plan's branch and see that each of its files there is as planned.

    Raises:
        BaseChanged: the branch is gone, or a file is another.
    """
    try:
        tip = await tip_of(target, plan.ref)
    except BranchMissing:
        raise BaseChanged([f"{plan.ref} is no longer there"]) from None
    plan.check(await _entries(target, tip.commit, [change.path for change in plan.changes]))
    return tip


async def _entries(target: Target, commit: str, paths: list[str]) -> dict[str, Entry]:
    answer = await run(target.command("ls-tree", "-z", "--full-tree", commit, "--", *paths))
    return read_tree(answer.out)
