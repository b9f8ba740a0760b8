"""Files below a folder that somebody else may rearrange at any moment.

Every step is relative to an open folder and follows no link, so nothing outside is ever touched,
whatever is renamed meanwhile. What is made looks like what is around it: owner and mode.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock_runtime.ports.repositories import BLOB_BYTES_MAX, RepositoryRefused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(folder: Path) -> Generator[int, None, None]:
    """Open a folder whose own path is trusted."""
    fd = os.open(folder, _FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def parent_of(
    root: int, path: str, *, missing_too: bool = False
) -> Generator[int | None, None, None]:
    """Open the folder that a file lies in; None: it does not exist.

    Args:
        root: descriptor of the folder that the path begins in.
        path: of the file.
        missing_too: make the folders that are missing.

    Raises:
        RepositoryRefused: something on the way is no folder, or another repository.
    """
    fd = os.dup(root)
    try:
        for part in path.split("/")[:-1]:
            try:
                below = inner(fd, part)
            except FileNotFoundError:
                if not missing_too:
                    yield None
                    return
                make(fd, part, stat.S_IMODE(os.fstat(fd).st_mode))
                below = inner(fd, part)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise RepositoryRefused(f"{path}: {part} is not a folder") from None
                raise
            os.close(fd)
            fd = below
            if look(fd, ".git") is not None:
                raise RepositoryRefused(f"{path}: {part} is a repository of its own")
        yield fd
    finally:
        os.close(fd)


def make(fd: int, name: str, mode: int = 0o700) -> None:
    """Make a folder that belongs to whom its surroundings do."""
    os.mkdir(name, 0o700, dir_fd=fd)
    made = inner(fd, name)
    try:
        own(made, os.fstat(fd))
        os.fchmod(made, mode)
    finally:
        os.close(made)


def inner(fd: int, name: str) -> int:
    """Open a folder inside another."""
    return os.open(name, _FOLDER, dir_fd=fd)


def own(fd: int, like: os.stat_result) -> None:
    """Give an open file to the owner of another; only root can, and only root needs to."""
    if os.geteuid() == 0:
        os.fchown(fd, like.st_uid, like.st_gid)


def look(fd: int, name: str) -> os.stat_result | None:
    """Say what is at a name, without following a link; None: nothing."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def content(fd: int, name: str, *, limit: int = BLOB_BYTES_MAX) -> bytes:
    """Read a plain file, or the target of a link, without following it.

    Raises:
        RepositoryRefused: it is neither, or larger than `limit`.
    """
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        return os.fsencode(os.readlink(name, dir_fd=fd))
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
        raise RepositoryRefused(f"{name} is not a plain file of at most {limit} bytes")
    with os.fdopen(os.open(name, _FILE, dir_fd=fd), "rb") as file:
        read = file.read(limit + 1)
    if len(read) > limit:
        raise RepositoryRefused(f"{name} grows")
    return read


def write(fd: int, name: str, data: bytes, mode: int, like: os.stat_result) -> None:
    """Make a file that must not exist yet."""
    with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=fd), "wb") as file:
        file.write(data)
        own(file.fileno(), like)
        os.fchmod(file.fileno(), mode)


def link(fd: int, name: str, target: bytes, like: os.stat_result) -> None:
    """Make a symbolic link that must not exist yet."""
    os.symlink(target, os.fsencode(name), dir_fd=fd)
    if os.geteuid() == 0:
        os.chown(name, like.st_uid, like.st_gid, dir_fd=fd, follow_symlinks=False)


def mode_of(old: os.stat_result | None, around: os.stat_result, *, executable: bool) -> int:
    """The mode of a file: that of the one it replaces, else what its folder allows to whom."""
    before = stat.S_IMODE(
        around.st_mode if old is None or stat.S_ISLNK(old.st_mode) else old.st_mode
    )
    plain = before & 0o666 | 0o600
    return plain | (plain & 0o444) >> 2 if executable else plain


def empty(fd: int, *, but: str = "") -> None:
    """Remove all files, links and empty folders right below a folder, except one."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if name != but:
            with suppress(FileNotFoundError):
                (os.rmdir if is_folder else os.unlink)(name, dir_fd=fd)
