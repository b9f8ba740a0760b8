"""What is reviewed: which files, and which of their lines."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock_agent_code_reviewer.changes import Changes, compared
from penstock_agent_code_reviewer.history import GitFailed, History, blob_id
from penstock_agent_code_reviewer.languages import language_of
from penstock_agent_code_reviewer.models import ReviewInput
from penstock_agent_code_reviewer.python_tree import is_test_name
from penstock_agent_sdk import AgentError
from penstock_agent_sdk.repository import (
    BINARY_SUFFIXES,
    EXCLUDED_FOLDERS,
    SNIFFED_BYTES,
    SourceFile,
    Walk,
)

# Files reviewed in one task; the rest is counted.
MAX_REVIEWED = 2_000
MAX_HELD_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class Reviewed:
    """One file of the review.

    Attributes:
        before: The file at the baseline; None for a new file, or without a baseline.
        changes: None: all of its lines count.
    """

    source: SourceFile
    before: SourceFile | None = None
    changes: Changes | None = None

    @property
    def changed(self) -> frozenset[int] | None:
        """Numbers of changed lines; None for all."""
        return None if self.changes is None else self.changes.lines

    @property
    def changed_count(self) -> int:
        """How many lines changed."""
        return len(self.source.lines) if self.changes is None else len(self.changes.lines)


@dataclass(slots=True)
class Scope:
    """What a review looks at.

    Attributes:
        files: To review, in order of their names.
        changed_names: All names that differ, of whatever language.
        others: Files that are not reviewed but tell something (coverage reports).
        commit: What was compared with.
        note: Why nothing was, where it was asked for.
    """

    files: list[Reviewed] = field(default_factory=list[Reviewed])
    changed_names: set[str] = field(default_factory=set[str])
    others: dict[str, SourceFile] = field(default_factory=dict[str, SourceFile])
    commit: str | None = None
    note: str = ""
    skipped: Counter[str] = field(default_factory=Counter[str])
    has_tests: bool = False
    truncated: bool = False


def gathered(task: ReviewInput, tells: Collection[str]) -> Scope:
    """Gather what a task asks about.

    Args:
        task: The task.
        tells: Base names of files that are taken along as `others`.

    Raises:
        AgentError: `no_repository`, or `no_revision` when the revision to review is unknown.
    """
    root = Path(task.repository_path)
    if not root.is_dir():
        raise AgentError("no_repository", "repository_path is not a folder in this sandbox")
    scope = Scope()
    history = History.of(root)
    base = _base(task, history, scope)
    if task.revision is not None:
        present = _at_revision(task.revision, history, scope)
    else:
        present = _in_folder(root, task, base, scope, tells)
    wanted = set(task.changed_files) if task.changed_files is not None else None
    _choose(scope, present, base, wanted, history, tells)
    return scope


def _base(task: ReviewInput, history: History | None, scope: Scope) -> dict[str, str] | None:
    """Name to blob at the baseline; None where nothing can be compared."""
    if task.baseline is None:
        return None
    if history is None:
        scope.note = "the folder holds no git repository: whole files were reviewed"
        return None
    commit = history.commit(task.baseline)
    if commit is None:
        scope.note = "the baseline is no commit of this repository: whole files were reviewed"
        return None
    head = history.commit(task.revision or "HEAD")
    try:
        scope.commit = history.shared(commit, head) if head is not None else commit
        return history.listing(scope.commit)
    except GitFailed as failure:
        scope.commit = None
        scope.note = f"the baseline cannot be read ({failure}): whole files were reviewed"[:300]
        return None


def _in_folder(
    root: Path,
    task: ReviewInput,
    base: Mapping[str, str] | None,
    scope: Scope,
    tells: Collection[str],
) -> dict[str, SourceFile | str]:
    """Files as they lie in the folder. Only what may be reviewed is kept in memory."""
    walk = Walk(root)
    present: dict[str, SourceFile | str] = {}
    wanted = None if task.changed_files is None else frozenset(task.changed_files)
    held = 0
    for source in walk:
        scope.has_tests = scope.has_tests or _is_test(source.name)
        same = base is not None and _unchanged(source, base)
        asked = not same and (wanted is None or source.name in wanted)
        if base is not None and not same:
            scope.changed_names.add(source.name)
        if asked and not (language_of(source.name) or source.is_python):
            scope.skipped["language"] += 1
            asked = False
        if source.base in tells or asked:
            held += len(source.data)
            if held > MAX_HELD_BYTES:
                scope.skipped["too_many"] += 1
                scope.truncated = True
                continue
            present[source.name] = source
    scope.skipped.update(walk.skipped)
    scope.truncated = scope.truncated or walk.truncated
    return present


def _unchanged(source: SourceFile, base: Mapping[str, str]) -> bool:
    blob = base.get(source.name)
    return blob is not None and blob == blob_id(source.data, blob)


def _at_revision(
    revision: str, history: History | None, scope: Scope
) -> dict[str, SourceFile | str]:
    """Files of a commit: their blobs, read later where wanted."""
    commit = history.commit(revision) if history is not None else None
    if history is None or commit is None:
        raise AgentError("no_revision", "the revision is no commit of this repository")
    try:
        listing = history.listing(commit)
    except GitFailed as failure:
        raise AgentError("no_revision", str(failure)) from failure
    scope.has_tests = any(_is_test(name) for name in listing)
    return {name: blob for name, blob in listing.items() if _readable(name)}


def _choose(
    scope: Scope,
    present: Mapping[str, SourceFile | str],
    base: Mapping[str, str] | None,
    wanted: set[str] | None,
    history: History | None,
    tells: Collection[str],
) -> None:
    """Put together the files to review, with their earlier text and changed lines."""
    names = sorted(
        name
        for name, one in present.items()
        if (wanted is None or name in wanted) and (base is None or base.get(name) != one)
    )
    if wanted is not None:
        scope.skipped["not_found"] += len(wanted - set(present) - set(base or ()))
    of_commit = any(isinstance(one, str) for one in present.values())
    if of_commit or base is None:
        scope.changed_names |= set(names)
    reviewed = [name for name in names if language_of(name) or _is_script(present[name])]
    scope.skipped["language"] += len(names) - len(reviewed) if of_commit else 0
    if len(reviewed) > MAX_REVIEWED:
        scope.skipped["too_many"] += len(reviewed) - MAX_REVIEWED
        scope.truncated = True
        reviewed = reviewed[:MAX_REVIEWED]
    told = [name for name in present if name.rsplit("/", 1)[-1] in tells]
    now = _loaded({name: present[name] for name in (*reviewed, *told)}, history)
    old = _loaded({name: base[name] for name in reviewed if base and name in base}, history)
    scope.others = {name: now[name] for name in told if name in now}
    scope.skipped["unreadable"] += sum(name not in now for name in reviewed)
    scope.files += [
        one
        for name in reviewed
        if name in now and (one := _with_changes(now[name], old.get(name))) is not None
    ]


def _with_changes(source: SourceFile, before: SourceFile | None) -> Reviewed | None:
    """A file with its changed lines; None if it only seemed to differ."""
    if before is None:
        return Reviewed(source)
    changes = compared(before.lines, source.lines)
    return Reviewed(source, before, changes) if changes.lines or changes.removed else None


def _loaded(
    files: Mapping[str, SourceFile | str], history: History | None
) -> dict[str, SourceFile]:
    loaded = {name: one for name, one in files.items() if isinstance(one, SourceFile)}
    blobs = {name: one for name, one in files.items() if isinstance(one, str)}
    if blobs and history is not None:
        try:
            texts = history.contents(sorted(set(blobs.values())))
        except GitFailed:
            texts = {}
        for name, blob in blobs.items():
            data = texts.get(blob)
            if data is not None and b"\0" not in data[:SNIFFED_BYTES]:
                loaded[name] = SourceFile(name, Path(name), data)
    return loaded


def _readable(name: str) -> bool:
    folders = name.split("/")
    suffix = "." + folders[-1].rsplit(".", 1)[-1].lower()
    return EXCLUDED_FOLDERS.isdisjoint(folders[:-1]) and suffix not in BINARY_SUFFIXES


def _is_script(one: SourceFile | str) -> bool:
    return isinstance(one, SourceFile) and one.is_python


def _is_test(name: str) -> bool:
    return language_of(name) != "" and is_test_name(name)
