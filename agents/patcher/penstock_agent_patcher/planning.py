"""The two halves: a plan made from the input, and the approved plan's own diff applied."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock_agent_patcher.clone import Clone, Entry, GitFailed, opened
from penstock_agent_patcher.configuring import change_config
from penstock_agent_patcher.conflicts import Obstacle, Refused
from penstock_agent_patcher.dependencies import update_dependency
from penstock_agent_patcher.models import (
    ConfigChange,
    Conflict,
    DependencyUpdate,
    FileChange,
    FindReplace,
    Operation,
    PatcherInput,
    PatcherOutput,
    Proposal,
    Rename,
)
from penstock_agent_patcher.patching import apply_patch
from penstock_agent_patcher.renaming import rename_symbol
from penstock_agent_patcher.replacing import replace_all
from penstock_agent_patcher.syntax import broken_by
from penstock_agent_patcher.text import showable
from penstock_agent_sdk import AgentError, progress

MAX_SHOWN_DIFF_CHARS = 32 * 1024
MAX_NOTES = 100
MAX_SUMMARY_CHARS = 1_024  # a plan keeps no more
_CUT = " ... (more is left out)"
# Of a message that is made up here: git logs and the executor's bound on messages.
MAX_LISTED = 20
MAX_LINE_CHARS = 120


def propose(task: PatcherInput) -> Proposal | PatcherOutput:
    """Make the change in the clone's index and describe it.

    Returns:
        A proposal for a person; or the final output of a dry run, of a change that meets
        conflicts, or of one that changes nothing. The repository itself is not touched.

    Raises:
        AgentError: The input can fit no repository, or there is none.
    """
    with opened(Path(task.repository_path), task.target_branch) as clone:
        try:
            notes = _changed(clone, task)
        except Refused as refusal:
            return _refused(refusal.obstacles)
        changes = clone.changes()
        obstacles = list(_unfit(clone, changes))
        if obstacles:
            return _refused(obstacles)
        if not changes or task.dry_run:
            return PatcherOutput(
                applied=False,
                files_modified=tuple(changes),
                diff=_shown(clone) if changes else "",
                notes=tuple(notes[:MAX_NOTES]),
            )
        return Proposal(
            files=tuple(_file_change(path, *pair) for path, pair in changes.items()),
            message=task.message or _message(task),
            ref=None if task.target_branch is None else f"refs/heads/{task.target_branch}",
            summary=_summary(task, notes),
        )


def apply_effect(task: PatcherInput, effect: Mapping[str, Any]) -> PatcherOutput:
    """Turn the approved diff into blobs, and demand that they are the approved ones.

    Args:
        task: The same input as of the plan.
        effect: As the executor made it: `diff` (git's format) and `files` (path, mode, new blob).

    Raises:
        AgentError: `base_changed` when the diff does not fit the clone, `effect_differs` when it
            gives other files than approved.
    """
    diff = effect.get("diff")
    listed = effect.get("files")
    if not isinstance(diff, str) or not isinstance(listed, list):
        raise AgentError("invalid_plan", "the plan has no diff or no list of files")
    wanted = {
        str(each["path"]): None if each["new"] is None else Entry(str(each["mode"]), each["new"])
        for each in listed
    }
    with opened(Path(task.repository_path), task.target_branch) as clone:
        try:
            clone.apply(diff.encode("utf-8", "surrogateescape"), strip=1)
        except GitFailed as failure:
            raise AgentError(
                "base_changed", f"the approved diff: {failure.text[:500]}"
            ) from failure
        made = {path: after for path, (_, after) in clone.changes().items()}
        differing = sorted(
            path
            for path in {*made, *wanted}
            if path not in made or path not in wanted or made[path] != wanted[path]
        )
    if differing:
        names = ", ".join(differing[:20])
        raise AgentError("effect_differs", f"the diff gives other content than approved: {names}")
    return PatcherOutput(applied=True, files_modified=tuple(sorted(wanted)))


def _changed(clone: Clone, task: PatcherInput) -> list[str]:
    if task.patch_content is not None:
        return apply_patch(clone, task.patch_content)
    notes: list[str] = []
    operations = task.operations or ()
    for number, operation in enumerate(operations, 1):
        progress(f"operation {number}: {operation.type}", (number - 1) / len(operations))
        label = f"operation {number}: " if len(operations) > 1 else ""
        try:
            notes += [label + note for note in _perform(clone, operation)]
        except Refused as refusal:
            raise Refused(
                *(Obstacle(each.file, label + each.reason) for each in refusal.obstacles)
            ) from refusal
    return notes


def _perform(clone: Clone, operation: Operation) -> list[str]:
    match operation:
        case DependencyUpdate():
            return update_dependency(clone, operation)
        case FindReplace():
            return replace_all(clone, operation)
        case Rename():
            return rename_symbol(clone, operation)
        case ConfigChange():
            return change_config(clone, operation)


def _unfit(
    clone: Clone, changes: Mapping[str, tuple[Entry | None, Entry | None]]
) -> list[Obstacle]:
    """Results nobody should be asked about: broken syntax, submodules, unreadable names."""
    found: list[Obstacle] = []
    for path, (before, after) in changes.items():
        if any(entry is not None and not entry.storable for entry in (before, after)):
            found.append(Obstacle(path, "submodules cannot be changed"))
        elif not showable(path):
            found.append(Obstacle(ascii(path), "the name is not UTF-8 or hides characters"))
        elif after is not None and after.regular:
            old = clone.blob(before.blob) if before is not None and before.regular else None
            broken = broken_by(path, old, clone.blob(after.blob))
            found += [] if broken is None else [Obstacle(path, broken)]
    return found


def _refused(obstacles: list[Obstacle] | tuple[Obstacle, ...]) -> PatcherOutput:
    return PatcherOutput(
        applied=False,
        conflicts=tuple(
            Conflict(file=_printable(each.file), reason=_printable(each.reason))
            for each in obstacles
        ),
    )


def _printable(text: str) -> str:
    """Without surrogates, which JSON cannot hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _file_change(path: str, before: Entry | None, after: Entry | None) -> FileChange:
    if after is not None:
        return FileChange(path=path, mode=after.mode, blob=after.blob)
    return FileChange(path=path, mode=before.mode if before else "100644", blob=None)


def _shown(clone: Clone) -> str:
    text = clone.diff().decode("utf-8", "replace")
    if len(text) <= MAX_SHOWN_DIFF_CHARS:
        return text
    return text[:MAX_SHOWN_DIFF_CHARS] + "\n[the rest of the diff is not shown]\n"


def _summary(task: PatcherInput, notes: list[str]) -> str:
    """What people read beside message and diff: above all the notes, which neither can tell."""
    told = "; ".join([_message(task).partition("\n")[0], *notes])
    return told if len(told) <= MAX_SUMMARY_CHARS else told[: MAX_SUMMARY_CHARS - len(_CUT)] + _CUT


def _message(task: PatcherInput) -> str:
    """What was asked for, in one line or a few."""
    if task.operations is None:
        return "Apply a patch"
    lines = [
        " ".join(_DESCRIPTIONS[operation.type](operation).split())[:MAX_LINE_CHARS]
        for operation in task.operations
    ]
    if len(lines) == 1:
        return lines[0]
    listed = [f"- {line}" for line in lines[:MAX_LISTED]]
    listed += [f"- and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    return "\n".join([f"Apply {len(lines)} changes", "", *listed])


_DESCRIPTIONS: dict[str, Callable[[Any], str]] = {
    "dependency_update": lambda each: f"Update {each.name} to {each.version}",
    "find_replace": lambda each: f"Replace text in {', '.join(each.files)}"[:100],
    "rename": lambda each: f"Rename {each.symbol} to {each.new_name} in {each.file}",
    "config": lambda each: f"{each.action.capitalize()} {each.label} in {each.file}",
}
