"""Folders of the host that a task names, checked against the allowed roots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penstock_contracts.agent.v1 import Workspace
from penstock_contracts.values import JsonObject
from penstock_runtime.ports.sandbox import INSIDE_ROOT, Mount

SETTING = "PENSTOCK_WORKSPACE_ROOTS"
TARGET = f"{INSIDE_ROOT}/workspace"


class WorkspaceRefused(Exception):
    """A path that this task may not be given; the message says why and what would allow it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A git repository of which the agent sees a private clone.

    Attributes:
        path: of the repository itself, which no agent ever sees.
        field: of the input that names it.
        target: where the clone is mounted; None where nothing is.
        ref: branch that the input names; None: the one that the repository's HEAD names.
    """

    path: Path
    field: str
    target: str | None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The input as the agent sees it, and what is mounted for it.

    Attributes:
        source: the repository that is to be cloned first, if there is one.
    """

    input: JsonObject
    mounts: tuple[Mount, ...]
    source: Source | None = None

    def with_clone(self, clone: Path) -> "Shown":
        """Show the clone in the place of its repository."""
        if self.source is None:
            return self
        if self.source.target is None:
            return replace(self, input={**self.input, self.source.field: str(clone)})
        mount = Mount(clone, self.source.target, writable=True)
        return replace(self, mounts=(*self.mounts, mount))


class Workspaces:
    """Decides which folders a task sees.

    Args:
        roots: folders inside which workspaces may lie; symbolic links are resolved.
        hidden: folders that are never shown; one inside a workspace is covered.
        empty: an empty folder, mounted over what is hidden.
        rewrite: False where the sandbox cannot mount and agents see the host's own paths.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        hidden: Sequence[Path] = (),
        empty: Path | None = None,
        *,
        rewrite: bool = True,
    ) -> None:
        self._roots = tuple(root.resolve() for root in roots)
        self._hidden = tuple(path.resolve() for path in hidden)
        self._empty = empty
        self._rewrite = rewrite

    @property
    def rewrites(self) -> bool:
        """Whether agents see folders at places of their own."""
        return self._rewrite

    def show(
        self, wanted: Sequence[Workspace], given: JsonObject, *, changing: bool = True
    ) -> Shown:
        """Resolve the workspaces among the input's fields.

        Args:
            wanted: what the manifest asks for.
            given: the input.
            changing: False: every folder is shown read-only, whatever is wanted.

        Raises:
            WorkspaceRefused: a path is missing, relative, not a folder, or outside all roots; or
                there are several repositories.
        """
        if not wanted:
            return Shown(given, ())
        seen = dict(given)
        mounts: list[Mount] = []
        source: Source | None = None
        for workspace in wanted:
            field = _field(workspace.input, given)
            if field is None:
                if workspace.optional:
                    continue
                raise WorkspaceRefused(f"{workspace.input}: no path is given")
            real = self._allowed(workspace.input, given[field])
            target = f"{TARGET}/{workspace.input}"
            seen[field] = target if self._rewrite else str(real)
            if workspace.mode == "git":
                if source is not None:
                    raise WorkspaceRefused(f"{workspace.input}: one repository a task is enough")
                place = target if self._rewrite else None
                source = Source(real, field, place, _branch(workspace, given))
                continue
            mounts.append(Mount(real, target, writable=changing and workspace.mode == "rw"))
            mounts += self._covers(real, target)
        return Shown(seen, tuple(mounts), source)

    def _allowed(self, name: str, value: object) -> Path:
        if not isinstance(value, str) or not value:
            raise WorkspaceRefused(f"{name}: a path is a text")
        if "\0" in value or not value.startswith("/"):
            raise WorkspaceRefused(f"{name}: {value!r} is not an absolute path")
        try:
            real = Path(value).resolve(strict=True)
        except (OSError, RuntimeError):
            # Outside the roots nobody learns what exists.
            real = Path(value).resolve()
            self._inside_a_root(name, value, real)
            raise WorkspaceRefused(f"{name}: {value} does not exist") from None
        self._inside_a_root(name, value, real)
        if not real.is_dir():
            raise WorkspaceRefused(f"{name}: {value} is not a folder")
        if any(real.is_relative_to(hidden) for hidden in self._hidden):
            raise WorkspaceRefused(f"{name}: {value} holds Penstock's own state")
        return real

    def _inside_a_root(self, name: str, value: str, real: Path) -> None:
        if any(real.is_relative_to(root) for root in self._roots):
            return
        allowed = ", ".join(str(root) for root in self._roots) or "no folder"
        where = value if str(real) == value else f"{value} (really {real})"
        raise WorkspaceRefused(
            f"{name}: {where} is outside the allowed roots ({allowed}); "
            f"{SETTING} of the executor names them"
        )

    def _covers(self, real: Path, target: str) -> list[Mount]:
        if self._empty is None:
            return []
        return [
            Mount(self._empty, f"{target}/{hidden.relative_to(real).as_posix()}")
            for hidden in self._hidden
            if hidden.is_relative_to(real) and hidden.is_dir()
        ]


def _branch(workspace: Workspace, given: JsonObject) -> str | None:
    field = None if workspace.ref is None else _field(workspace.ref, given)
    if field is None or not given[field]:
        return None
    branch = given[field]
    if not isinstance(branch, str):
        raise WorkspaceRefused(f"{workspace.ref}: the name of a branch is a text")
    return branch


def _field(name: str, given: JsonObject) -> str | None:
    """Find the field by its snake_case name or its camelCase alias."""
    if given.get(name) is not None:
        return name
    head, *tail = name.split("_")
    alias = head + "".join(part.capitalize() for part in tail)
    return alias if given.get(alias) is not None else None
