"""Bringing a worktree up to a new tip: everything is made ready first, then put in place.

Under git's own lock of the index each file that will change is looked at: it must be exactly what
the index says, and the index what the plan says. The new files and the new index are written
beside the index. After the branch has moved only renames are left.

The lock is a hard link to a file of ours, which we hold open and locked (flock). So a lock that a
dead landing left behind is known by its inode, and the same landing may take it over.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock_adapters.git import folders
from penstock_adapters.git.command import run
from penstock_adapters.git.conversion import LineEnds, line_ends
from penstock_adapters.git.desk import Desk
from penstock_adapters.git.effects import Plan
from penstock_adapters.git.entries import LINK_MODE, Change, Entry, index_info
from penstock_adapters.git.index_file import refuse_sparse, with_stats
from penstock_adapters.git.target import is_true
from penstock_adapters.git.worktrees import Checkout
from penstock_runtime.ports.repositories import RepositoryRefused

LOCK_WAIT_S = 5.0
"""Seconds that another git command may hold the index."""

_LOCK_LOOK_S = 0.05
_INDEX_BYTES_MAX = 1024 * 1024 * 1024
_EXECUTABLE = "100755"
_NO_FILES = "no-files"
_PREFIX = "penstock-"


@dataclass(slots=True)
class Stage:
    """One worktree under lock.

    Attributes:
        root: descriptor of its top folder.
        admin: descriptor of the folder of its index.
        place: descriptor of our folder in there.
        halfway: an earlier landing may have put some of it into place.
        current: it had put all of it into place.
    """

    checkout: Checkout
    plan: Plan
    name: str
    root: int
    admin: int
    place: int
    halfway: bool
    current: bool
    seen: dict[str, os.stat_result | None] = field(default_factory=dict[str, os.stat_result | None])

    async def prepare(self, contents: Mapping[str, bytes]) -> None:
        """Look at everything and make everything ready.

        Raises:
            RepositoryRefused: the worktree is not as the plan needs it.
        """
        paths = [change.path for change in self.plan.changes]
        checkout = self.checkout
        if not await checkout.has(self.plan.ref):
            raise RepositoryRefused(f"another branch is checked out in {checkout.worktree} now")
        ends = await line_ends(checkout.target, checkout.git_dir, checkout.worktree, paths)
        await self._check_index(paths)
        for change in self.plan.changes:
            self._check_file(change, ends[change.path])
        if self.current:
            return
        for number, change in enumerate(self.plan.changes):
            if change.new is not None:
                self._stage(str(number), change, contents[change.new], ends[change.path])
        await self._make_index()

    async def _check_index(self, paths: list[str]) -> None:
        checkout = self.checkout
        if folders.look(self.admin, "index") is None:
            raise RepositoryRefused(f"{checkout.worktree} has no index")
        command = checkout.target.command(
            "ls-files", "-z", "-s", "-v", "--", *paths,
            git_dir=checkout.git_dir, worktree=checkout.worktree,
        )  # fmt: skip
        found: dict[str, tuple[str, Entry]] = {}
        for line in (await run(command)).out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            about, _, path = line.partition("\t")
            tag, mode, blob, level = about.split(" ")
            found[path] = (tag if level == "0" else "M", Entry(path, mode, blob))
        for change in self.plan.changes:
            tag, entry = found.get(change.path, ("H", Entry(change.path, None, None)))
            if tag != "H":
                raise RepositoryRefused(f"{change.path} is {_TAGS.get(tag, 'marked')} in the index")
            self.current = self.current and entry == change.after
            if entry != change.before and not (self.halfway and entry == change.after):
                raise RepositoryRefused(f"{change.path} has staged changes in {checkout.worktree}")

    def _check_file(self, change: Change, ends: LineEnds) -> None:
        if LINK_MODE in (change.mode, change.old_mode) and not is_true(
            self.checkout.target.config.get("core.symlinks", "true")
        ):
            raise RepositoryRefused(f"{change.path}: core.symlinks is off in the repository")
        with folders.parent_of(self.root, change.path) as parent:
            name = change.path.rsplit("/", 1)[-1]
            found = None if parent is None else folders.look(parent, name)
            done = self.halfway and self._is(parent, name, found, change.after, ends)
            self.current = self.current and done
            if not done and not self._is(parent, name, found, change.before, ends):
                raise RepositoryRefused(
                    f"{change.path} is not as committed in {self.checkout.worktree}"
                )
            self.seen[change.path] = found

    def _is(
        self,
        parent: int | None,
        name: str,
        found: os.stat_result | None,
        state: Entry,
        ends: LineEnds,
    ) -> bool:
        """Whether a file is in the given state."""
        if found is None or parent is None or state.blob is None:
            return found is None and state.blob is None
        if stat.S_ISLNK(found.st_mode) != (state.mode == LINK_MODE):
            return False
        if not stat.S_ISLNK(found.st_mode):
            if not stat.S_ISREG(found.st_mode):
                return False
            trusted = is_true(self.checkout.target.config.get("core.filemode", "true"))
            if trusted and bool(found.st_mode & 0o100) != (state.mode == _EXECUTABLE):
                return False
        content = folders.content(parent, name)
        desk = Desk(Path(), self.checkout.target.sha256)
        if desk.id_of("blob", content) == state.blob:
            return True
        return state.mode != LINK_MODE and desk.id_of("blob", ends.inwards(content)) == state.blob

    def _stage(self, name: str, change: Change, content: bytes, ends: LineEnds) -> None:
        old = self.seen[change.path]
        with ExitStack() as stack:
            around = os.fstat(self.root)
            folder = change.path
            while "/" in folder:  # the nearest folder that exists
                parent = stack.enter_context(folders.parent_of(self.root, folder))
                if parent is not None:
                    around = os.fstat(parent)
                    break
                folder = folder.rsplit("/", 1)[0]
        owner = old or around
        if change.mode == LINK_MODE:
            folders.link(self.place, name, content, owner)
        else:
            mode = folders.mode_of(old, around, executable=change.mode == _EXECUTABLE)
            folders.write(self.place, name, ends.outwards(content), mode, owner)

    async def _make_index(self) -> None:
        old = os.stat("index", dir_fd=self.admin, follow_symlinks=False)
        content = folders.content(self.admin, "index", limit=_INDEX_BYTES_MAX)
        refuse_sparse(content)
        folders.write(self.place, "index", content, stat.S_IMODE(old.st_mode), old)
        checkout = self.checkout
        orders = b"".join(
            index_info(change.after, sha256=checkout.target.sha256) for change in self.plan.changes
        )
        # Git looks again at files written within the index's own second, through their filters.
        # In an empty worktree it finds none of them.
        folders.make(self.place, _NO_FILES)
        folder = checkout.git_dir / self.name
        command = checkout.target.command(
            "update-index", "-z", "--index-info",
            git_dir=checkout.git_dir,
            worktree=folder / _NO_FILES,
            index=folder / "index",
        )  # fmt: skip
        await run(command, stdin=orders)
        os.rmdir(_NO_FILES, dir_fd=self.place)

    def apply(self) -> None:
        """Put everything in place, unless it is.

        Raises:
            RepositoryRefused: a file has changed since it was looked at; the rest is in place.
            OSError: the file system refused.
        """
        if self.current:
            return
        looks: dict[str, os.stat_result] = {}
        spoilt: list[str] = []
        for number, change in sorted(
            enumerate(self.plan.changes), key=lambda item: item[1].new is not None
        ):
            with folders.parent_of(
                self.root, change.path, missing_too=change.new is not None
            ) as parent:
                if parent is None:
                    continue
                name = change.path.rsplit("/", 1)[-1]
                if not _same(folders.look(parent, name), self.seen[change.path]):
                    spoilt.append(change.path)
                elif change.new is not None:
                    self._put(str(number), parent, name)
                    looks[change.path] = os.stat(name, dir_fd=parent, follow_symlinks=False)
                elif self.seen[change.path] is not None:
                    os.unlink(name, dir_fd=parent)
            if change.new is None:
                self._prune(change.path)
        self._put_index(looks)
        if spoilt:
            raise RepositoryRefused(f"changed while it was landed: {', '.join(spoilt)}")

    def _put(self, staged: str, parent: int, name: str) -> None:
        try:
            os.rename(staged, name, src_dir_fd=self.place, dst_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(staged, parent, name)

    def _copy(self, staged: str, parent: int, name: str) -> None:
        """Put a file into place on another file system than the repository's."""
        look = os.stat(staged, dir_fd=self.place, follow_symlinks=False)
        content = folders.content(self.place, staged)
        between = f".{self.name}-{staged}"
        if stat.S_ISLNK(look.st_mode):
            folders.link(parent, between, content, look)
        else:
            folders.write(parent, between, content, stat.S_IMODE(look.st_mode), look)
        os.rename(between, name, src_dir_fd=parent, dst_dir_fd=parent)

    def _prune(self, path: str) -> None:
        """Remove the folders that a deletion leaves empty, as git does."""
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            with folders.parent_of(self.root, path) as parent:
                if parent is None:
                    continue
                try:
                    os.rmdir(path.rsplit("/", 1)[-1], dir_fd=parent)
                except OSError:
                    return

    def _put_index(self, looks: Mapping[str, os.stat_result]) -> None:
        staged = os.stat("index", dir_fd=self.place, follow_symlinks=False)
        content = folders.content(self.place, "index", limit=_INDEX_BYTES_MAX)
        filled = with_stats(content, looks, sha256=self.checkout.target.sha256)
        folders.write(self.place, "index.filled", filled, stat.S_IMODE(staged.st_mode), staged)
        # By its time git tells which files it has to look at again: so it has to stay.
        old = os.stat("index", dir_fd=self.admin, follow_symlinks=False)
        times = (old.st_atime_ns, old.st_mtime_ns)
        os.utime("index.filled", ns=times, dir_fd=self.place, follow_symlinks=False)
        os.rename("index.filled", "index", src_dir_fd=self.place, dst_dir_fd=self.admin)


_TAGS = {"S": "marked skip-worktree", "h": "marked assume-unchanged", "M": "unmerged"}


def _same(now: os.stat_result | None, before: os.stat_result | None) -> bool:
    if now is None or before is None:
        return now is before
    return (now.st_ino, now.st_dev, now.st_mtime_ns, now.st_size, now.st_mode) == (
        before.st_ino, before.st_dev, before.st_mtime_ns, before.st_size, before.st_mode,
    )  # fmt: skip


@asynccontextmanager
async def staged(
    checkout: Checkout,
    plan: Plan,
    contents: Mapping[str, bytes],
    key: str,
    wait_s: float,
    *,
    halfway: bool = False,
) -> AsyncGenerator[Stage, None]:
    """Lock a worktree and make it ready; unlocks it at the end, whatever happens between.

    Args:
        checkout: the worktree.
        plan: what will change.
        contents: of all new blobs.
        key: of the landing.
        wait_s: how long another git command may hold the index.
        halfway: an earlier landing with the same key may have put some of it into place.

    Raises:
        RepositoryRefused: it is locked by somebody else, or is not as the plan needs it.
    """
    name = f"{_PREFIX}{key}"
    with ExitStack() as stack:
        root = stack.enter_context(folders.opened(checkout.worktree))
        admin = stack.enter_context(folders.opened(checkout.git_dir))
        place = _our_folder(admin, name)
        stack.callback(os.close, place)
        lock = _our_lock(place, key)
        stack.callback(os.close, lock)
        try:
            await _lock_index(admin, place, lock, checkout, wait_s)
            stage = Stage(checkout, plan, name, root, admin, place, halfway, halfway)
            await stage.prepare(contents)
            yield stage
        finally:
            _clear(admin, place, lock, name)


def _our_folder(admin: int, name: str) -> int:
    with suppress(FileExistsError):
        folders.make(admin, name)
    return folders.inner(admin, name)


def _our_lock(place: int, key: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open("lock", flags, 0o600, dir_fd=place)
    if not _is_ours(place, lock):
        os.close(lock)
        raise RepositoryRefused(f"{key} is being landed by another executor")
    folders.own(lock, os.fstat(place))
    return lock


def _is_ours(place: int, lock: int) -> bool:
    """Lock a file that is open; whoever had it before may have removed it meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    found = folders.look(place, "lock")
    return found is not None and found.st_ino == os.fstat(lock).st_ino


async def _lock_index(admin: int, place: int, lock: int, checkout: Checkout, wait_s: float) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_s
    while True:
        try:
            os.link("lock", "index.lock", src_dir_fd=place, dst_dir_fd=admin)
            break
        except FileExistsError:
            if _holds(admin, lock):
                break  # a landing with this key died here
        if loop.time() > ends:
            raise RepositoryRefused(
                f"the index of {checkout.worktree} is locked: {_who_holds(admin)}"
            )
        await asyncio.sleep(_LOCK_LOOK_S)
    folders.empty(place, but="lock")


def _holds(admin: int, lock: int) -> bool:
    found = folders.look(admin, "index.lock")
    ours = os.fstat(lock)
    return found is not None and (found.st_ino, found.st_dev) == (ours.st_ino, ours.st_dev)


def _who_holds(admin: int) -> str:
    """Say whose the lock is, if it is a landing's."""
    found = folders.look(admin, "index.lock")
    with os.scandir(admin) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_PREFIX)]
    for name in names:
        with folders.parent_of(admin, f"{name}/lock") as place:
            lock = None if place is None else folders.look(place, "lock")
        if lock is not None and found is not None and lock.st_ino == found.st_ino:
            key = name.removeprefix(_PREFIX)
            return f"landing {key} died there, or is at work; it alone can go on"
    return "another git command is at work, or one died (index.lock)"


def _clear(admin: int, place: int, lock: int, name: str) -> None:
    if _holds(admin, lock):
        os.unlink("index.lock", dir_fd=admin)
    folders.empty(place)
    with suppress(FileNotFoundError, OSError):
        os.rmdir(name, dir_fd=admin)
