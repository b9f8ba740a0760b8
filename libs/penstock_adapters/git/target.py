"""Finding a repository of the host and seeing whether it may be touched at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.git.command import Actor, Command, CommandFailed, run
from penstock_adapters.git.environment import environment
from penstock_runtime.ports.repositories import RepositoryRefused

POINTER_BYTES_MAX = 8 * 1024
"""Longest `.git`, `commondir` or `alternates` file that is read."""

ALTERNATES_MAX = 8
"""Most object folders that a repository may borrow from, one another's included."""

_CONFIG_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A repository of the host.

    Attributes:
        path: as it was named, links resolved.
        git_dir: what belongs to this worktree: HEAD and index.
        common: what all worktrees share: refs, objects, configuration.
        config: what the repository's own configuration says, keys as git gives them.
        actor: who its commands run as: under root its owner.
    """

    path: Path
    git_dir: Path
    common: Path
    config: Mapping[str, str]
    actor: Actor

    @property
    def sha256(self) -> bool:
        """Whether object ids are SHA-256."""
        return self.config.get("extensions.objectformat", "sha1") == "sha256"

    @property
    def bare(self) -> bool:
        """Whether no files belong to the shared folder itself."""
        said = self.config.get("core.bare")
        return self.common.name != ".git" if said is None else is_true(said)

    def command(
        self,
        *args: str,
        git_dir: Path | None = None,
        worktree: Path | None = None,
        index: Path | None = None,
    ) -> Command:
        """A command on the repository, as its owner."""
        env = environment(git_dir or self.common, worktree=worktree, index=index, durable=True)
        return Command(args, env, self.actor)


def is_true(value: str) -> bool:
    """Read one of git's booleans."""
    return value.strip().lower() in {"true", "yes", "on", "1"}


async def locate(path: Path, roots: Sequence[Path] | None) -> Target:
    """Find the repository at a path: the top of a worktree, or a bare repository.

    Args:
        path: where it is said to be.
        roots: folders inside which all of it has to lie; None: anywhere.

    Raises:
        RepositoryRefused: there is none, or a part of it lies elsewhere.
    """
    real = _real(path)
    inside = _Roots(roots)
    git_dir = _git_dir(real)
    common = _common(git_dir)
    for place in (git_dir, common):
        inside.check(place)
        _check_links(place, inside)
    _check_alternates(common / "objects", inside)
    actor = _owner(common)
    config = await _config(git_dir, actor)
    target = Target(real, git_dir, common, config, actor)
    declared = config.get("core.worktree")
    if declared is not None and (git_dir / declared).resolve() != real:
        raise RepositoryRefused(f"core.worktree of {real} points elsewhere: {declared}")
    return target


def _real(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise RepositoryRefused(f"{path} does not exist") from None
    if not real.is_dir():
        raise RepositoryRefused(f"{path} is not a folder")
    return real


def _git_dir(path: Path) -> Path:
    dot = path / ".git"
    if dot.is_symlink():
        raise RepositoryRefused(f"{dot} is a symbolic link")
    if dot.is_file():
        pointer = read_pointer(dot)
        if not pointer.startswith("gitdir: "):
            raise RepositoryRefused(f"{dot} does not say where its repository is")
        found = (path / pointer.removeprefix("gitdir: ")).resolve()
    else:
        found = dot if dot.is_dir() else path
    if not (found / "HEAD").exists():
        raise RepositoryRefused(f"{path} is not the top of a git repository")
    return found


def _common(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    common = (git_dir / read_pointer(pointer)).resolve() if pointer.is_file() else git_dir
    if not (common / "objects").is_dir():
        raise RepositoryRefused(f"{common} is not a git repository")
    return common


def read_pointer(file: Path) -> str:
    """Read a small file of one line, without following a link.

    Raises:
        RepositoryRefused: it is none.
    """
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise RepositoryRefused(f"{file} is not a plain file")
            return opened.read(POINTER_BYTES_MAX).decode("utf-8", "surrogateescape").strip("\n")
    except OSError as error:
        raise RepositoryRefused(f"{file} cannot be read: {error.strerror}") from None


class _Roots:
    def __init__(self, roots: Sequence[Path] | None) -> None:
        self._roots = None if roots is None else tuple(root.resolve() for root in roots)

    def check(self, place: Path) -> None:
        if self._roots is None or any(place.is_relative_to(root) for root in self._roots):
            return
        raise RepositoryRefused(f"a part of the repository, {place}, is outside the allowed roots")


def _check_links(git_dir: Path, inside: _Roots) -> None:
    with os.scandir(git_dir) as entries:
        for entry in entries:
            if entry.is_symlink():
                inside.check(Path(entry.path).resolve())


def _check_alternates(objects: Path, inside: _Roots) -> None:
    seen: list[Path] = []
    queue = [objects]
    while queue:
        if len(seen) > ALTERNATES_MAX:
            raise RepositoryRefused(f"{objects} borrows from more than {ALTERNATES_MAX} folders")
        folder = queue.pop()
        seen.append(folder)
        inside.check(folder)
        pointer = folder / "info" / "alternates"
        if pointer.exists():
            lines = [
                line for line in read_pointer(pointer).split("\n") if line[:1] not in {"", "#"}
            ]
            queue += [place for line in lines if (place := (folder / line).resolve()) not in seen]


def _owner(common: Path) -> Actor:
    found = common.stat()
    mode = stat.S_IMODE(found.st_mode) & 0o777
    umask = 0o777 & ~(mode | 0o700)
    if os.geteuid() != 0 or found.st_uid == 0:
        return Actor(umask=umask)
    return Actor(found.st_uid, found.st_gid, umask)


async def _config(git_dir: Path, actor: Actor) -> dict[str, str]:
    command = Command(("config", "-z", "--list"), environment(git_dir), actor)
    try:
        answer = await run(command, limit=_CONFIG_BYTES_MAX)
    except CommandFailed as failure:
        if actor.uid is None:
            raise
        raise RepositoryRefused(f"{failure} (as uid {actor.uid}, to whom it belongs)") from failure
    config: dict[str, str] = {}
    for entry in answer.out.decode("utf-8", "replace").split("\0"):
        name, equals, value = entry.partition("\n")
        config[name] = value if equals else "true"
    return config


def worktree_of(pointer: Path) -> Path | None:
    """The worktree whose administrative folder holds this `gitdir` file; None if it is gone."""
    place = Path(read_pointer(pointer))
    if not place.is_absolute():
        place = (pointer.parent / place).resolve()
    worktree = place.parent
    return worktree.resolve() if place.is_file() and not place.is_symlink() else None
