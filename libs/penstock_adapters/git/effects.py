"""The effect and base of a plan: made, read back, and held against what a repository has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import to_json

from penstock_adapters.git.entries import FILE_MODES, LINK_MODE, Change, Entry
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.repositories import (
    FILES_MAX,
    MESSAGE_BYTES_MAX,
    PLAN_BYTES_MAX,
    BaseChanged,
    GitPlan,
    RepositoryRefused,
)

PATH_BYTES_MAX = 1024
"""Longest path of a file."""

KIND = "git"
_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_OURS = re.compile(r"^\s*(penstock-[a-z0-9-]+|approved-by)\s*:", re.IGNORECASE | re.MULTILINE)

# What a terminal would act on instead of showing it, line ends and tabs apart; so do the marks
# that turn the direction of writing round.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Characters that some file systems leave out of names, so that `.g<U+200C>it` is `.git` there.
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_FORBIDDEN = frozenset({"", ".", "..", ".git", "git~1"})
_READ_BY_GIT = frozenset({".gitattributes", ".gitmodules", ".gitignore", ".mailmap"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be landed.

    Attributes:
        commit: tip that it was made against.
    """

    ref: str
    commit: str
    message: str
    diff: str
    changes: tuple[Change, ...]

    def to_json(self) -> GitPlan:
        """Give it as the port has it.

        Raises:
            RepositoryRefused: it is larger than a plan may be.
        """
        files: list[JsonValue] = [
            {
                "path": change.path,
                "old_mode": change.old_mode,
                "old": change.old,
                "mode": change.mode,
                "new": change.new,
            }
            for change in self.changes
        ]
        effect: JsonObject = {
            "kind": KIND,
            "ref": self.ref,
            "message": self.message,
            "diff": self.diff,
            "files": files,
        }
        olds: dict[str, JsonValue] = {change.path: change.old for change in self.changes}
        base: JsonObject = {"ref": self.ref, "commit": self.commit, "files": olds}
        size = len(to_json([effect, base]))
        if size > PLAN_BYTES_MAX:
            raise RepositoryRefused(
                f"the plan has {size} bytes, {PLAN_BYTES_MAX} are allowed: make it in parts"
            )
        return GitPlan(effect, base)

    @classmethod
    def read(cls, effect: JsonObject, base: JsonObject) -> Plan:
        """Read what `to_json` gave, which people have approved since.

        Raises:
            RepositoryRefused: it is not such a thing.
        """
        ref, message, diff = effect.get("ref"), effect.get("message"), effect.get("diff")
        files, commit, olds = effect.get("files"), base.get("commit"), base.get("files")
        if effect.get("kind") != KIND or base.get("ref") != ref:
            raise RepositoryRefused("the plan is none for a git repository")
        if not (isinstance(ref, str) and isinstance(message, str) and isinstance(diff, str)):
            raise RepositoryRefused("the plan lacks its ref, its message or its diff")
        if not isinstance(files, list) or not isinstance(olds, dict) or not _is_id(commit):
            raise RepositoryRefused("the plan lacks its files or its base")
        changes = tuple(_change(file) for file in files)
        if not changes or {change.path: change.old for change in changes} != olds:
            raise RepositoryRefused("the plan's files are not those of its base")
        return cls(ref, str(commit), message, diff, changes)

    def check(self, found: Mapping[str, Entry]) -> None:
        """Hold the files planned against beside those a tip has.

        Raises:
            BaseChanged: they differ; each one is named.
        """
        differences = [
            difference
            for change in self.changes
            if (difference := _difference(change.before, found.get(change.path)))
        ]
        if differences:
            raise BaseChanged(differences)


def _difference(planned: Entry, found: Entry | None) -> str | None:
    mode, blob = (None, None) if found is None else (found.mode, found.blob)
    if (mode, blob) == (planned.mode, planned.blob):
        return None
    if planned.blob is None:
        return f"{planned.path} was not there and is now"
    if blob is None:
        return f"{planned.path} is no longer there"
    if blob == planned.blob:
        return f"{planned.path} had mode {planned.mode} and has {mode} now"
    return f"{planned.path} was {planned.blob[:12]} and is {blob[:12]} now"


def _is_id(value: JsonValue) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _change(file: JsonValue) -> Change:
    if isinstance(file, dict):
        path, old_mode, old = file.get("path"), file.get("old_mode"), file.get("old")
        mode, new = file.get("mode"), file.get("new")
        if (
            isinstance(path, str)
            and (old is None or _is_id(old))
            and (new is None or _is_id(new))
            and (isinstance(old_mode, str) if old else old_mode is None)
            and (mode in FILE_MODES if new else mode is None)
        ):
            check_path(path)
            return Change(path, _text(old_mode), _text(old), _text(mode), _text(new))
    raise RepositoryRefused("the plan names a file in a way that makes no sense")


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def check_path(path: str) -> None:
    """See that a path names a file of a repository wherever it is checked out.

    Raises:
        RepositoryRefused: it does not.
    """
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        raise RepositoryRefused(f"{path!a} is not UTF-8") from None
    if size > PATH_BYTES_MAX:
        raise RepositoryRefused(f"{path[:64]}... is longer than {PATH_BYTES_MAX} bytes")
    if "\0" in path:
        raise RepositoryRefused(f"{path!a} holds a zero byte")
    for part in path.split("/"):
        plain = _IGNORED.sub("", part).split(":")[0].rstrip(" .").casefold()
        if part in _FORBIDDEN or plain in _FORBIDDEN - {""} or (not plain and part.strip(".")):
            raise RepositoryRefused(f"{path!r} is not a path inside the repository")


def check_files(proposed: Sequence[Entry]) -> None:
    """See that all proposed files may be written by a plan.

    Raises:
        RepositoryRefused: one may not; the message names it.
    """
    if not 0 < len(proposed) <= FILES_MAX:
        raise RepositoryRefused(f"{len(proposed)} files: 1 to {FILES_MAX} are allowed")
    seen: set[str] = set()
    for entry in proposed:
        check_path(entry.path)
        if entry.path in seen:
            raise RepositoryRefused(f"{entry.path} is named twice")
        seen.add(entry.path)
        if entry.blob is None:
            continue
        if entry.mode not in FILE_MODES:
            raise RepositoryRefused(f"{entry.path}: mode {entry.mode} is not one of a file")
        if not _is_id(entry.blob):
            raise RepositoryRefused(f"{entry.path}: its blob is not an object id")
        if entry.mode == LINK_MODE and entry.path.rsplit("/", 1)[-1] in _READ_BY_GIT:
            raise RepositoryRefused(f"{entry.path}: git reads this file, it may not be a link")


def checked_message(message: str) -> str:
    """See that a commit message is text and claims no approval of its own.

    Raises:
        RepositoryRefused: it is not so.
    """
    try:
        size = len(message.encode("utf-8"))
    except UnicodeEncodeError:
        raise RepositoryRefused("the commit message is not UTF-8") from None
    if size > MESSAGE_BYTES_MAX or "\0" in message or not message.strip():
        raise RepositoryRefused(
            f"a commit message has 1 to {MESSAGE_BYTES_MAX} bytes and no zero byte"
        )
    if _CONTROL.search(message):
        raise RepositoryRefused("the commit message holds control characters")
    claim = _OURS.search(message)
    if claim is not None:
        raise RepositoryRefused(f"the commit message claims {claim.group().strip()!r}")
    return message.strip() + "\n"
