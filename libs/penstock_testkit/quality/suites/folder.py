"""What the layouts have in common: files of a folder, and their languages."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType

MAX_FILES = 200_000
MAX_BYTES = 1_000_000
SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})
LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        ".py": "python",
        ".js": "javascript",
        ".jsx": "javascript",
        ".mjs": "javascript",
        ".cjs": "javascript",
        ".ts": "typescript",
        ".tsx": "typescript",
        ".java": "java",
        ".kt": "kotlin",
        ".go": "go",
        ".rb": "ruby",
        ".php": "php",
        ".c": "c",
        ".h": "c",
        ".cpp": "c++",
        ".cs": "c#",
        ".yaml": "yaml",
        ".yml": "yaml",
        ".tf": "terraform",
        ".hcl": "terraform",
        ".json": "json",
        ".sh": "shell",
        ".bash": "shell",
    }
)


class SuiteError(ValueError):
    """A folder is not a suite that can be read."""


def files_of(root: Path) -> Iterator[str]:
    """Names of regular files below a folder, in order; version control left out.

    Raises:
        SuiteError: There are more than can be meant.
    """
    count = 0
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_symlink() or path.stat().st_size > MAX_BYTES:
                continue
            count += 1
            if count > MAX_FILES:
                raise SuiteError(f"over {MAX_FILES} files below {root}")
            yield path.relative_to(root).as_posix()


def language_of(name: str) -> str:
    """By name; `other` where it says nothing."""
    base = name.rpartition("/")[2].lower()
    if base.startswith("dockerfile") or base.endswith(".dockerfile"):
        return "dockerfile"
    return LANGUAGES.get(Path(base).suffix, "other")


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV by its header, names in lower case; comments left out."""
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        header, rest = _opened(text)
        for row in csv.reader(rest):
            if row and not row[0].startswith("#"):
                yield dict(zip(header, (value.strip() for value in row), strict=False))


def header_of(path: Path) -> frozenset[str]:
    """The columns of a CSV, in lower case."""
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        return frozenset(_opened(text)[0])


def _opened(text: Iterable[str]) -> tuple[list[str], Iterator[str]]:
    """The header and what follows it; a comment with a column for each value is a header too."""
    lines = (line for line in text if line.strip())
    comment = ""
    for line in lines:
        if line.startswith("#"):
            comment = line
            continue
        if comment.count(",") >= line.count(",") > 0:
            return _columns(comment), chain([line], lines)
        return _columns(line), lines
    return _columns(comment), lines


def _columns(line: str) -> list[str]:
    return [name.strip(" #\ufeff\r\n").lower() for name in line.split(",")]


def is_true(word: str) -> bool:
    """What tables write for yes."""
    return word.strip().lower() in {"true", "t", "yes", "y", "1", "bad", "vulnerable"}
