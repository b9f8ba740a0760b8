"""An approved plan becomes a commit, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock_adapters.git.checking import checked_tip
from penstock_adapters.git.command import run
from penstock_adapters.git.desk import Desk
from penstock_adapters.git.effects import Plan
from penstock_adapters.git.entries import Entry, read_changes
from penstock_adapters.git.finishing import finish
from penstock_adapters.git.planning import check_only
from penstock_adapters.git.reading import take
from penstock_adapters.git.refs import BranchMissing, Tip, backup_ref, move, with_backup
from penstock_adapters.git.rollback import script
from penstock_adapters.git.staging import Stage, staged
from penstock_adapters.git.target import Target
from penstock_adapters.git.trailers import Trailers, check_key, landed_since, with_trailers
from penstock_adapters.git.worktrees import checkouts
from penstock_adapters.process.supervision import complete
from penstock_runtime.ports.repositories import (
    BaseChanged,
    EffectDiffers,
    Landed,
    Opened,
    OutOfTime,
    RepositoryRefused,
)

TRIES = 5
"""How often a landing begins again because the tip moved under it."""

Step = Callable[[str], None]
"""Told before each step that cannot be taken together with the next."""


@dataclass(slots=True)
class Landing:
    """One landing of one plan."""

    target: Target
    opened: Opened
    plan: Plan
    key: str
    trailers: Trailers
    roots: Sequence[Path] | None
    lock_wait_s: float
    now_s: Callable[[], float]
    step: Step
    in_time: Callable[[], bool]
    unfinished: list[str] = field(default_factory=list[str])

    async def land(self) -> Landed:
        """Do it; see the port."""
        check_key(self.key)
        if self.opened.ref != self.plan.ref:
            raise EffectDiffers(f"the clone was made of {self.opened.ref}, not {self.plan.ref}")
        before = await self._before()
        if before is not None:
            return before
        desk = Desk.beside(self.opened.clone, sha256=self.target.sha256)
        wanted = {change.new for change in self.plan.changes if change.new is not None}
        contents = await take(self.opened.clone, wanted, desk)
        for _ in range(TRIES):
            tip = await checked_tip(self.target, self.plan)
            commit = await self._commit(desk, tip)
            if await self._publish(desk, tip, commit, contents):
                return self._landed(commit, tip.commit)
        raise BaseChanged([f"{self.plan.ref} moves faster than it can be landed on"])

    async def _before(self) -> Landed | None:
        try:
            tip, previous = await with_backup(self.target, self.plan.ref, self.key)
        except BranchMissing:
            return None
        if previous is None:
            return None
        commit = await landed_since(self.target, previous, tip, self.key)
        if commit is None:
            return None
        await self._check_same(commit)
        self.unfinished += await finish(
            self.target, self.plan, commit, self.key, self.lock_wait_s, self.roots
        )
        return replace(self._landed(commit, previous), before=True)

    async def _check_same(self, commit: str) -> None:
        command = self.target.command(
            "diff-tree", "-r", "-z", "--raw", "--no-renames", "--root", f"{commit}^", commit
        )
        answer = await run(command)
        if tuple(read_changes(answer.out)) != self.plan.changes:
            raise RepositoryRefused(
                f"another change has landed under the key {self.key}: commit {commit[:12]}"
            )

    async def _commit(self, desk: Desk, tip: Tip) -> str:
        if tip.commit != self.opened.commit:
            await desk.fetch(self.target, tip.commit, known=(self.opened.commit,))
        after: list[Entry] = [change.after for change in self.plan.changes]
        tree = await desk.tree_with(tip.commit, after)
        check_only(after, await desk.changes(tip.commit, tree))
        message = with_trailers(self.plan.message, self.trailers, self.key)
        return await desk.commit(tree, tip.commit, message, int(self.now_s()))

    async def _publish(self, desk: Desk, tip: Tip, commit: str, contents: dict[str, bytes]) -> bool:
        """Move the branch and bring its worktrees up to it; False: it was not there any more."""
        async with AsyncExitStack() as stack:
            stages = [
                await stack.enter_async_context(
                    staged(each, self.plan, contents, self.key, self.lock_wait_s)
                )
                for each in await checkouts(self.target, tip.ref, self.roots)
            ]
            self.step("objects")
            await desk.send(self.target, commit, tip.commit)
            moving = _Moving(self, tip, commit, stages)
            await complete(moving.run())
        self.unfinished += moving.unfinished
        return moving.moved

    def _landed(self, commit: str, previous: str) -> Landed:
        return Landed(
            commit,
            previous,
            backup_ref(self.key),
            script(self.target.common, self.plan.ref, commit, previous),
            unfinished=tuple(self.unfinished),
        )


class _Moving:
    """The one moment: the branch moves, and the files follow. Not to be interrupted between."""

    def __init__(self, landing: Landing, tip: Tip, commit: str, stages: Sequence[Stage]) -> None:
        self._landing = landing
        self._tip = tip
        self._commit = commit
        self._stages = stages
        self.moved = False
        self.unfinished: list[str] = []

    async def run(self) -> None:
        """Do it."""
        landing = self._landing
        landing.step("branch")
        if not landing.in_time():
            raise OutOfTime("the attempt's time was over before the branch could be moved")
        self.moved = await move(landing.target, self._tip, self._commit, landing.key)
        if not self.moved:
            return
        landing.step("files")
        for stage in self._stages:
            try:
                stage.apply()
            except (RepositoryRefused, OSError) as error:
                self.unfinished.append(f"{stage.checkout.worktree} is not up to date: {error}")
