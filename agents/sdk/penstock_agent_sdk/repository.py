"""Which files of a repository are looked at."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

MAX_FILE_BYTES = 1_000_000
MAX_FILES = 50_000
MAX_DEPTH = 64
SNIFFED_BYTES = 8_192

# Version control, installed packages and caches: not what the repository's authors wrote.
EXCLUDED_FOLDERS = frozenset(
    {
        ".bzr", ".eggs", ".git", ".hg", ".mypy_cache", ".nox", ".penstock", ".pytest_cache",
        ".ruff_cache", ".svn", ".terraform", ".tox", ".venv", "__pycache__", "bower_components",
        "node_modules", "site-packages", "venv",
    }
)  # fmt: skip
BINARY_SUFFIXES = frozenset(
    {
        ".7z", ".a", ".avi", ".bin", ".bmp", ".bz2", ".class", ".db", ".dll", ".doc", ".docx",
        ".dylib", ".eot", ".exe", ".gif", ".gz", ".ico", ".jar", ".jpeg", ".jpg", ".mo", ".mov",
        ".mp3", ".mp4", ".o", ".otf", ".pdf", ".png", ".pyc", ".pyd", ".so", ".sqlite", ".tar",
        ".tif", ".tiff", ".ttf", ".wasm", ".webm", ".webp", ".whl", ".woff", ".woff2", ".xls",
        ".xlsx", ".xz", ".zip", ".zst",
    }
)  # fmt: skip


@dataclass(frozen=True)
class SourceFile:
    """A text file; `name` is relative to the repository, with slashes."""

    name: str
    path: Path
    data: bytes

    @property
    def suffix(self) -> str:
        """Lower-case extension with its dot."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 (a Path per file is slow)

    @property
    def base(self) -> str:
        """The name without its folder."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def is_python(self) -> bool:
        """By extension, or by the first line of a file without one."""
        if self.suffix:
            return self.suffix in (".py", ".pyw", ".pyi")
        return self.data.startswith(b"#!") and b"python" in self.data[:80]

    @cached_property
    def text(self) -> str:
        """Decoded leniently: a stray byte must not hide the rest of a file."""
        return self.data.decode("utf-8", errors="replace")

    @cached_property
    def lines(self) -> list[str]:
        """The text by lines; line n is at n - 1."""
        return self.text.splitlines()


@dataclass
class Walk:
    """Walks a repository once.

    Links are not followed (they may point out of the repository) and only regular files are
    opened (a pipe would block for ever). `truncated` is set when `MAX_FILES` was met.

    Attributes:
        root: Folder of the repository.
        only: Names to yield, relative and with slashes; None for all. The rest is not opened and
            not counted.
        skipped: How many were not read, by reason.
        truncated: More files than `MAX_FILES`.
    """

    root: Path
    only: Collection[str] | None = None
    skipped: Counter[str] = field(default_factory=Counter[str])
    truncated: bool = False

    def __iter__(self) -> Iterator[SourceFile]:
        """Files in a stable order, each read once."""
        read = 0
        for name, path, entry in self._regular_files():
            if self.only is not None and name not in self.only:
                continue
            if read >= MAX_FILES:
                self.truncated = True
                return
            source = self._read(name, path, entry)
            if source is not None:
                read += 1
                yield source

    def _regular_files(self) -> Iterator[tuple[str, Path, os.stat_result]]:
        pending: list[tuple[Path, str, int]] = [(self.root, "", 0)]
        while pending:
            folder, prefix, depth = pending.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                self.skipped["unreadable"] += 1
                continue
            folders: list[tuple[Path, str, int]] = []
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                name = prefix + entry.name
                if stat.S_ISLNK(status.st_mode):
                    self.skipped["link"] += 1
                elif stat.S_ISDIR(status.st_mode):
                    if self._enters(entry, depth):
                        folders.append((Path(entry.path), name + "/", depth + 1))
                elif stat.S_ISREG(status.st_mode):
                    yield name, Path(entry.path), status
                else:
                    self.skipped["special"] += 1
            pending.extend(reversed(folders))

    def _enters(self, entry: os.DirEntry[str], depth: int) -> bool:
        if entry.name in EXCLUDED_FOLDERS or Path(entry.path, "pyvenv.cfg").exists():
            self.skipped["excluded_folder"] += 1
            return False
        if depth >= MAX_DEPTH:
            self.skipped["too_deep"] += 1
            return False
        return True

    def _read(self, name: str, path: Path, status: os.stat_result) -> SourceFile | None:
        if os.path.splitext(name)[1].lower() in BINARY_SUFFIXES:  # noqa: PTH122
            self.skipped["binary"] += 1
            return None
        if status.st_size > MAX_FILE_BYTES:
            self.skipped["too_large"] += 1
            return None
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
        except OSError:
            self.skipped["unreadable"] += 1
            return None
        if b"\0" in data[:SNIFFED_BYTES]:
            self.skipped["binary"] += 1
            return None
        return SourceFile(name, path, data)
