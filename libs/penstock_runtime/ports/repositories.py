"""The repositories port: the only hands that touch a git repository on behalf of an agent.

An agent never sees the repository itself. It works on a private bare clone and proposes blobs;
the executor reads them back by their ids, makes the diff that people are shown, and lands exactly
that as a commit of its own. Nothing the repository holds (hooks, filters, configuration, file
system monitors) is ever executed.

Shapes, all JSON:

- what an agent proposes: `{"files": [{"path", "mode", "blob"}], "message": .., "ref": optional}`;
  mode `100644`, `100755` or `120000`; blob null: the file is deleted
- effect of a plan: `{"kind": "git", "ref": "refs/heads/..", "message": .., "diff": ..,
  "files": [{"path", "old_mode", "old", "mode", "new"}]}`; what is missing is null
- base of a plan: `{"ref": .., "commit": .., "files": {path: blob or null}}`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from penstock_contracts.values import JsonObject

FILES_MAX = 1_000
"""Most files of one plan."""

BLOB_BYTES_MAX = 4 * 1024 * 1024
"""Largest file that a plan may touch, before and after."""

PLAN_BYTES_MAX = 64 * 1024
"""Most bytes of effect and base together, as JSON: people read it, and events carry it."""

MESSAGE_BYTES_MAX = 8 * 1024
"""Longest commit message, in UTF-8."""

BACKUP_REFS = "refs/penstock/backup/"
"""Below it lies the tip that a landing replaced, named by the landing's key."""


class RepositoryRefused(Exception):
    """What was asked for cannot be done with this repository; nothing of it was changed.

    The message is one sentence for a person and names what would have to be different.
    """


class BaseChanged(Exception):
    """What a plan was made against is no longer so; nothing was changed.

    Attributes:
        differences: one sentence each, naming the ref or file.
    """

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = tuple(differences)


class OutOfTime(RepositoryRefused):
    """The landing came to its last step too late; nothing was changed."""


class EffectDiffers(RepositoryRefused):
    """The agent's clone does not hold what was approved; nothing was changed."""


@dataclass(frozen=True, slots=True)
class ProposedFile:
    """One file as an agent wants it.

    Attributes:
        path: relative to the top of the repository, `/` between its parts.
        mode: git's file mode; None for a deletion.
        blob: object id of the content; None for a deletion.
    """

    path: str
    mode: str | None
    blob: str | None


@dataclass(frozen=True, slots=True)
class ProposedFiles:
    """What an agent proposes to change.

    Attributes:
        ref: the branch it worked on, short or full; None: the one its clone was made of.
    """

    files: tuple[ProposedFile, ...]
    message: str
    ref: str | None = None

    @classmethod
    def read(cls, effect: JsonObject) -> ProposedFiles:
        """Read the effect of an agent's plan.

        Raises:
            RepositoryRefused: it does not have the shape; the message names the place.
        """
        unknown = sorted(set(effect) - {"files", "message", "ref"})
        if unknown:
            raise RepositoryRefused(f"effect: unknown field {unknown[0]!r}")
        files, message, ref = effect.get("files"), effect.get("message"), effect.get("ref")
        if not isinstance(files, list) or not files:
            raise RepositoryRefused("effect.files: a list of at least one file is wanted")
        if len(files) > FILES_MAX:
            raise RepositoryRefused(f"effect.files: {len(files)} files, {FILES_MAX} are allowed")
        if not isinstance(message, str) or not message.strip():
            raise RepositoryRefused("effect.message: a commit message is wanted")
        if ref is not None and not isinstance(ref, str):
            raise RepositoryRefused("effect.ref: the name of a branch is wanted")
        return cls(tuple(_file(number, file) for number, file in enumerate(files)), message, ref)


def _file(number: int, file: JsonValue) -> ProposedFile:
    if isinstance(file, dict) and set(file) <= {"path", "mode", "blob"}:
        path, mode, blob = file.get("path"), file.get("mode"), file.get("blob")
        if isinstance(path, str) and isinstance(mode, str) and isinstance(blob, str):
            return ProposedFile(path, mode, blob)
        if isinstance(path, str) and "blob" in file and blob is None:
            return ProposedFile(path, None, None)
    raise RepositoryRefused(
        f"effect.files[{number}]: wanted are path, mode and blob, and nothing else"
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A private bare clone: one commit without its history, a clean configuration, no remote.

    Attributes:
        clone: the bare repository, self-contained, below the scratch folder given. Its HEAD
            names `ref`, and its index is empty.
        ref: full name of the branch it was made of.
        commit: tip of the branch when it was made.
    """

    clone: Path
    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class GitPlan:
    """What will be landed, and what it depends on; see the module for the shapes."""

    effect: JsonObject
    base: JsonObject


@dataclass(frozen=True, slots=True)
class Landed:
    """A plan became a commit.

    Attributes:
        commit: the new tip.
        previous: the tip before.
        backup_ref: keeps the tip before.
        rollback: a POSIX sh script that takes the commit back: the branch, if it still is at
            `commit`, and the files of the worktrees that have it checked out.
        before: an earlier landing with the same key had done it already.
        unfinished: worktrees whose files could not be brought up to the new tip, one sentence
            each; only after an earlier landing died half-way.
    """

    commit: str
    previous: str
    backup_ref: str
    rollback: str
    before: bool = False
    unfinished: tuple[str, ...] = ()


class Repositories(Protocol):
    """Opens, reads and changes git repositories of the host.

    Every call may raise `RepositoryRefused`; then nothing of the repository was changed. Any other
    exception out of `land` but `BaseChanged` leaves open whether the plan was landed.
    """

    async def open(self, path: Path, ref: str | None, scratch: Path) -> Opened:
        """Make a private clone in a folder of the caller's, for one task.

        Args:
            path: top folder of a worktree, or a bare repository.
            ref: branch to work on, short or full; None: the one that HEAD names.
            scratch: an existing folder, private to the task; the caller removes it.
        """
        ...

    async def plan(self, path: Path, opened: Opened, proposed: ProposedFiles) -> GitPlan:
        """Turn what an agent proposes into what people are shown and what will be landed.

        The contents come from the clone by their ids and are verified; the diff is made of them.
        Call it after the agent has ended: what the clone holds is not trusted, but it is read.
        """
        ...

    async def check(self, path: Path, effect: JsonObject, base: JsonObject) -> None:
        """See whether a plan still fits: its branch is there and each of its files is as planned.

        A moved tip that left those files alone does not void a plan.

        Raises:
            BaseChanged: it does not; each difference is named.
        """
        ...

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
        """Make an approved plan a commit at the tip of its branch, all or nothing.

        Args:
            path: as it was opened.
            opened: the clone in which the agent has made the contents again.
            effect: of the approved plan.
            base: of the approved plan.
            key: names the backup and recognizes a repetition: the task's idempotency key.
            trailers: lines for the end of the commit message, name and value.
            in_time: asked right before the branch moves; if it says no, nothing happens.

        Raises:
            BaseChanged: what the plan was made against is no longer so.
            EffectDiffers: the clone lacks a content that was approved.
            OutOfTime: it was too late to begin.
        """
        ...
