"""The repository's commits, read by git plumbing only.

The repository is hostile: its configuration may name programs. So git sees an environment made
from nothing, never the working tree, and is asked only what runs no hook, filter, driver, pager
or remote: `rev-parse`, `merge-base`, `ls-tree` and `cat-file` on objects.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GIT = "git"
GIT_TIMEOUT_S = 15.0
MAX_LISTING_BYTES = 32 * 1024 * 1024
MAX_BLOB_BYTES = 1_000_000
MAX_BATCH_BYTES = 64 * 1024 * 1024
REGULAR_MODES = frozenset({"100644", "100755"})
_SHA256_DIGITS = 64
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.alternateRefsCommand": "false",
    "core.quotePath": "false",
    "core.pager": "cat",
    "protocol.allow": "never",
    "safe.directory": "*",
}


class GitFailed(Exception):
    """git ended badly, took too long, or said more than is read."""


class History:
    """The commits of one repository."""

    def __init__(self, git_dir: Path) -> None:
        """Name the repository; nothing is read yet."""
        self._environment = _environment(git_dir)

    @classmethod
    def of(cls, root: Path) -> "History | None":
        """The history of a folder, if its repository lies in it (not in another folder)."""
        for folder in (root / ".git", root):
            if folder.is_symlink():
                continue
            if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
                return cls(folder.resolve())
        return None

    def commit(self, revision: str) -> str | None:
        """The commit that a revision means."""
        command = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        try:
            return self._git(*command, f"{revision}^{{commit}}").decode().strip() or None
        except GitFailed:
            return None

    def shared(self, one: str, other: str) -> str:
        """The last commit in common; `one` where there is none."""
        try:
            return self._git("merge-base", one, other).decode().split()[0]
        except (GitFailed, IndexError):
            return one

    def listing(self, commit: str) -> dict[str, str]:
        """Name to blob of every plain file.

        Raises:
            GitFailed: There are more than can be held, or objects are missing.
        """
        found: dict[str, str] = {}
        for line in self._git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            head, _, path = line.partition(b"\t")
            parts = head.decode("ascii", "replace").split()
            if len(parts) == 3 and parts[0] in REGULAR_MODES:
                found[path.decode("utf-8", "surrogateescape")] = parts[2]
        return found

    def contents(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """Contents by id; without those that are missing or over `MAX_BLOB_BYTES`."""
        if not blobs:
            return {}
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        sizes = self._git("cat-file", "--batch-check=%(objectname) %(objectsize)", given=asked)
        wanted: list[str] = []
        held = 0
        for line in sizes.decode().splitlines():
            blob, _, size = line.partition(" ")
            if size.isdigit() and int(size) <= MAX_BLOB_BYTES and held < MAX_BATCH_BYTES:
                wanted.append(blob)
                held += int(size)
        asked = "".join(f"{blob}\n" for blob in wanted).encode()
        return dict(_unpacked(self._git("cat-file", "--batch", given=asked))) if wanted else {}

    def _git(self, *command: str, given: bytes = b"") -> bytes:
        try:
            ended = subprocess.run(
                [GIT, *command],
                input=given,
                capture_output=True,
                env=self._environment,
                cwd="/",
                timeout=GIT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitFailed(f"git {command[0]}: {type(error).__name__}") from error
        if ended.returncode != 0:
            raise GitFailed(f"git {command[0]}: {ended.stderr.decode('utf-8', 'replace')[:200]}")
        if len(ended.stdout) > MAX_LISTING_BYTES + MAX_BATCH_BYTES:
            raise GitFailed(f"git {command[0]} says too much")
        return ended.stdout


def blob_id(data: bytes, like: str) -> str:
    """The id git gives a content, in the hash of another id."""
    maker = hashlib.sha256 if len(like) == _SHA256_DIGITS else hashlib.sha1
    return maker(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _unpacked(answer: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        head = answer[at:end].split()
        if len(head) != 3:
            at = end + 1
            continue
        size = int(head[2])
        yield head[0].decode(), answer[end + 1 : end + 1 + size]
        at = end + 2 + size


def _environment(git_dir: Path) -> dict[str, str]:
    pairs = {
        f"GIT_CONFIG_{part}_{n}": text
        for n, pair in enumerate(_CONFIG.items())
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_DIR": str(git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        # A missing object of a partial clone is missing: its remote may be a command.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
        **pairs,
    }
