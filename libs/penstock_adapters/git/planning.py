"""From what an agent proposes to what people are shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock_adapters.git.command import TooMuchOutput
from penstock_adapters.git.desk import Desk
from penstock_adapters.git.effects import Plan, check_files, checked_message
from penstock_adapters.git.entries import FILE_MODES, LINK_MODE, Change, Entry
from penstock_adapters.git.reading import contents_of, take
from penstock_adapters.git.refs import full_name
from penstock_runtime.ports.repositories import (
    PLAN_BYTES_MAX,
    GitPlan,
    Opened,
    ProposedFiles,
    RepositoryRefused,
)

LINK_BYTES_MAX = 4_095
"""Longest target of a symbolic link (the kernel's PATH_MAX, without its zero)."""

_DIFF = (
    "diff-tree",
    "-r",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


async def make_plan(desk: Desk, opened: Opened, proposed: ProposedFiles) -> GitPlan:
    """Turn proposed files into effect and base; see the port."""
    if proposed.ref is not None and full_name(proposed.ref) != opened.ref:
        raise RepositoryRefused(
            f"the plan is for {proposed.ref}, but the clone was made of {opened.ref}"
        )
    message = checked_message(proposed.message)
    wanted = [Entry(file.path, file.mode, file.blob) for file in proposed.files]
    check_files(wanted)
    before = await desk.entries(opened.commit, [entry.path for entry in wanted])
    wanted = [entry for entry in wanted if before.get(entry.path) != entry]
    _check_before(wanted, before)
    if not wanted:
        raise RepositoryRefused("the plan changes nothing")
    contents = await take(
        opened.clone, [entry.blob for entry in wanted if entry.blob is not None], desk
    )
    _check_links(wanted, contents)
    tree = await desk.tree_with(opened.commit, wanted)
    changes = await desk.changes(opened.commit, tree)
    check_only(wanted, changes)
    diff = await _diff(desk, opened.commit, tree, changes)
    return Plan(opened.ref, opened.commit, message, diff, tuple(changes)).to_json()


def _check_before(wanted: list[Entry], before: Mapping[str, Entry]) -> None:
    for entry in wanted:
        old = before.get(entry.path)
        if old is None and entry.blob is None:
            raise RepositoryRefused(f"{entry.path} is to be deleted and does not exist")
        if old is not None and old.mode not in FILE_MODES:
            kind = "a submodule" if old.mode == "160000" else "a folder"
            raise RepositoryRefused(f"{entry.path} is {kind}")


def _check_links(wanted: list[Entry], contents: Mapping[str, bytes]) -> None:
    for entry in wanted:
        if entry.mode == LINK_MODE and entry.blob is not None:
            target = contents[entry.blob]
            if not 0 < len(target) <= LINK_BYTES_MAX or b"\0" in target:
                raise RepositoryRefused(f"{entry.path} is a symbolic link to nowhere possible")


def check_only(wanted: list[Entry], changes: list[Change]) -> None:
    """See that a new tree differs from the old one in the wanted files and in nothing else.

    Git makes room for a file where a folder was, and the other way round; that is not wanted.

    Raises:
        RepositoryRefused: something else would change; the message names it.
    """
    asked = {entry.path: entry for entry in wanted}
    for change in changes:
        if asked.get(change.path) != change.after:
            raise RepositoryRefused(
                f"{change.path!a} would change as well: a file and a folder cannot share a name"
            )
    if len(changes) != len(asked):
        missing = sorted(set(asked) - {change.path for change in changes})
        raise RepositoryRefused(f"{missing[0]} cannot be changed as proposed")


async def _diff(desk: Desk, commit: str, tree: str, changes: list[Change]) -> str:
    ids = {blob for change in changes for blob in (change.old, change.new) if blob is not None}
    contents = await contents_of(desk, sorted(ids))
    opaque = [
        change.path
        for change in changes
        if not all(_is_text(contents[blob]) for blob in (change.old, change.new) if blob)
    ]
    _write_attributes(desk.folder / "info" / "attributes", opaque)
    try:
        answer = await desk.call(*_DIFF, commit, tree, limit=PLAN_BYTES_MAX)
    except TooMuchOutput:
        raise RepositoryRefused(
            f"the diff has more than {PLAN_BYTES_MAX} bytes: make the change in parts"
        ) from None
    return answer.out.decode("utf-8")


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _write_attributes(file: Path, opaque: list[str]) -> None:
    """Have files that are no UTF-8 shown as binary: a diff of them would be no text."""
    file.write_text("".join(f'"/{_pattern(path)}" -diff\n' for path in opaque), "utf-8")


def _pattern(path: str) -> str:
    """A path as a pattern that matches nothing else, inside double quotes as in C."""
    globbed = "".join(f"\\{char}" if char in "*?[\\" else char for char in path)
    return "".join(
        f"\\{ord(char):03o}" if ord(char) < 32 or char in '"\\' else char for char in globbed
    )
