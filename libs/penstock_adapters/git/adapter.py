"""Repositories of the host, reached with the git program."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from penstock_adapters.git.checking import checked_tip
from penstock_adapters.git.desk import Desk
from penstock_adapters.git.effects import Plan
from penstock_adapters.git.landing import Landing, Step
from penstock_adapters.git.opening import make_clone
from penstock_adapters.git.planning import make_plan
from penstock_adapters.git.staging import LOCK_WAIT_S
from penstock_adapters.git.target import locate
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.repositories import (
    GitPlan,
    Landed,
    Opened,
    ProposedFiles,
    RepositoryRefused,
)


def _go_on(_step: str) -> None:
    pass


class GitRepositories:
    """Fulfils the port `Repositories`.

    Args:
        roots: folders inside which all of a repository has to lie, its worktrees included;
            None: anywhere.
        lock_wait_s: how long another git command may hold an index.
        now_s: date of the commits, seconds since the epoch.
        on_step: told the name of each step of a landing before it is taken: `objects`, `branch`,
            `files`. For tests that end the process there.
    """

    def __init__(
        self,
        roots: Sequence[Path] | None = None,
        *,
        lock_wait_s: float = LOCK_WAIT_S,
        now_s: Callable[[], float] = time.time,
        on_step: Step = _go_on,
    ) -> None:
        self._roots = roots
        self._lock_wait_s = lock_wait_s
        self._now_s = now_s
        self._on_step = on_step

    async def open(self, path: Path, ref: str | None, scratch: Path) -> Opened:
        """Make a private clone; see the port."""
        with _refusing():
            return await make_clone(await locate(path, self._roots), ref, scratch)

    async def plan(self, path: Path, opened: Opened, proposed: ProposedFiles) -> GitPlan:
        """Turn what an agent proposes into effect and base; see the port."""
        with _refusing():
            target = await locate(path, self._roots)
            desk = Desk.beside(opened.clone, sha256=target.sha256)
            return await make_plan(desk, opened, proposed)

    async def check(self, path: Path, effect: JsonObject, base: JsonObject) -> None:
        """See whether a plan still fits; see the port."""
        with _refusing():
            target = await locate(path, self._roots)
            await checked_tip(target, Plan.read(effect, base))

    async def land(
        self,
        path: Path,
        opened: Opened,
        effect: JsonObject,
        base: JsonObject,
        key: str,
        trailers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        in_time: Callable[[], bool] = lambda: True,
    ) -> Landed:
        """Make an approved plan a commit; see the port."""
        with _refusing():
            target = await locate(path, self._roots)
            landing = Landing(
                target=target,
                opened=opened,
                plan=Plan.read(effect, base),
                key=key,
                trailers=trailers,
                roots=self._roots,
                lock_wait_s=self._lock_wait_s,
                now_s=self._now_s,
                step=self._on_step,
                in_time=in_time,
            )
            return await landing.land()


@contextmanager
def _refusing() -> Generator[None, None, None]:
    """What the file system refuses is refused."""
    try:
        yield
    except OSError as error:
        raise RepositoryRefused(f"{error.strerror}: {error.filename}") from error
