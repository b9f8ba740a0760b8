"""The private bare clone: blobs and an index of our own, by git plumbing.

There is no worktree, so no filter, hook or attribute of the repository can play a part. The index
is the state all operations of a request work on in turn; leaving it is how they are all undone.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock_agent_patcher.text import MAX_FILE_BYTES
from penstock_agent_sdk import AgentError

GIT = "git"
GIT_TIMEOUT_S = 60.0
REGULAR_MODES = frozenset({"100644", "100755"})
GITLINK_MODE = "160000"
BATCH_BYTES = 32 * 1024 * 1024
_PATH = "/usr/local/bin:/usr/bin:/bin"
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.quotePath": "false",
    "safe.directory": "*",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "apply.whitespace": "nowarn",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree: its mode in octal and its blob's id."""

    mode: str
    blob: str

    @property
    def regular(self) -> bool:
        """Whether it is a plain file (no symbolic link, no submodule)."""
        return self.mode in REGULAR_MODES

    @property
    def storable(self) -> bool:
        """Whether it is a file or a symbolic link, and no submodule."""
        return self.mode != GITLINK_MODE


class GitFailed(Exception):
    """git ended with another code than 0; `text` is what it said."""

    def __init__(self, command: str, text: str) -> None:
        super().__init__(f"git {command}: {text[:500]}")
        self.text = text


class Clone:
    """Reads the base commit and collects changes in an index of its own.

    Attributes:
        commit: The commit all changes are made to.
        base: Its files by path; names that are not UTF-8 hold surrogates.
    """

    def __init__(self, folder: Path, scratch: Path, branch: str | None) -> None:
        self._environment = _environment(folder, scratch / "index")
        self.commit = self._resolved(branch)
        self._git("read-tree", self.commit)
        self.base: Mapping[str, Entry] = self._listed()
        self.files: Mapping[str, Entry] = self.base

    def read(self, path: str) -> bytes:
        """The content of a file as it is now.

        Raises:
            KeyError: There is no such file.
        """
        return self.blob(self.files[path].blob)

    def blob(self, blob: str) -> bytes:
        """The content of a blob."""
        return self._git("cat-file", "blob", blob)

    def read_all(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """The contents of many files; None for one over `MAX_FILE_BYTES`.

        About `BATCH_BYTES` are held at a time.
        """
        wanted = list(paths)
        said = self._git("cat-file", "--batch-check=%(objectsize)", given=self._asked(wanted))
        batch: list[str] = []
        held = 0
        for path, size in zip(wanted, map(int, said.split()), strict=True):
            if size > MAX_FILE_BYTES:
                yield path, None
                continue
            batch.append(path)
            held += size
            if held > BATCH_BYTES:
                yield from self._batch(batch)
                batch, held = [], 0
        yield from self._batch(batch)

    def _batch(self, paths: list[str]) -> Iterator[tuple[str, bytes]]:
        answer = self._git("cat-file", "--batch", given=self._asked(paths))
        at = 0
        for path in paths:
            end = answer.index(b"\n", at)
            size = int(answer[at:end].split()[2])
            yield path, answer[end + 1 : end + 1 + size]
            at = end + 2 + size

    def _asked(self, paths: list[str]) -> bytes:
        return "".join(f"{self.files[path].blob}\n" for path in paths).encode()

    def write(self, path: str, content: bytes, mode: str | None = None) -> None:
        """Put a file in place; `mode` defaults to what it has, or 100644 for a new one."""
        known = self.files.get(path)
        blob = self._git("hash-object", "-w", "--no-filters", "--stdin", given=content)
        entry = Entry(mode or (known.mode if known else "100644"), blob.decode().strip())
        self._git(
            "update-index",
            "-z",
            "--index-info",
            given=f"{entry.mode} {entry.blob}\t{path}\0".encode("utf-8", "surrogateescape"),
        )
        self.files = {**self.files, path: entry}

    def apply(self, patch: bytes, strip: int) -> None:
        """Apply a patch to the index: all of it or nothing, no fuzz.

        Raises:
            GitFailed: Some part does not fit; the text names which.
        """
        self._git("apply", "--cached", "--whitespace=nowarn", f"-p{strip}", given=patch)
        self.files = self._listed()

    def reverses(self, patch: bytes, strip: int) -> bool:
        """Whether the patch could be taken back: then it has been applied already."""
        command = ("apply", "--cached", "--check", "--reverse", "--whitespace=nowarn")
        try:
            self._git(*command, f"-p{strip}", given=patch)
        except GitFailed:
            return False
        return True

    def changes(self) -> dict[str, tuple[Entry | None, Entry | None]]:
        """Path to (before, after) of every file that differs from the base, in path order."""
        return {
            path: (self.base.get(path), self.files.get(path))
            for path in sorted({*self.base, *self.files})
            if self.base.get(path) != self.files.get(path)
        }

    def diff(self) -> bytes:
        """From the base to now, in git's format with full ids and binary content."""
        return self._git(
            *("diff-index", "--cached", "-p", "--binary", "--full-index", "--no-renames"),
            *("--no-color", "--no-ext-diff", "--no-textconv", self.commit),
        )

    def _resolved(self, branch: str | None) -> str:
        names = ["HEAD"] if branch is None else [f"refs/heads/{branch}", "HEAD"]
        for name in names:
            try:
                found = self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            except GitFailed:
                continue
            return found.decode().strip()
        raise AgentError("no_commit", "repository_path is no git repository with a commit")

    def _listed(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for line in self._git("ls-files", "--stage", "-z").split(b"\0"):
            if line:
                head, _, path = line.partition(b"\t")
                mode, blob, _ = head.decode().split(" ")
                found[path.decode("utf-8", "surrogateescape")] = Entry(mode, blob)
        return found

    def _git(self, *command: str, given: bytes = b"") -> bytes:
        try:
            ended = subprocess.run(
                [GIT, *command],
                input=given,
                capture_output=True,
                env=self._environment,
                timeout=GIT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AgentError("git_timeout", f"git {command[0]} took too long") from error
        if ended.returncode != 0:
            raise GitFailed(command[0], ended.stderr.decode("utf-8", "replace"))
        return ended.stdout


@contextmanager
def opened(folder: Path, branch: str | None = None) -> Iterator[Clone]:
    """A clone with an index in a temporary folder of its own.

    Raises:
        AgentError: `no_repository` or `no_commit`.
    """
    if not folder.is_dir():
        raise AgentError("no_repository", "repository_path is not a folder in this sandbox")
    with tempfile.TemporaryDirectory(prefix="patcher-") as scratch:
        yield Clone(folder, Path(scratch), branch)


def _environment(folder: Path, index: Path) -> dict[str, str]:
    pairs = {
        f"GIT_CONFIG_{part}_{n}": text
        for n, pair in enumerate(_CONFIG.items())
        for part, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {
        "PATH": _PATH,
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_DIR": str(folder.resolve()),
        "GIT_INDEX_FILE": str(index),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
        **pairs,
    }
