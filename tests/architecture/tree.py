"""The repository as the architecture tests see it: tracked files, sources, imports."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("contracts", "libs", "services", "agents")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python module of the product.

    Attributes:
        path: Relative to the repository, such as `libs/penstock_core/run/decide.py`.
        package: Its top-level package, such as `penstock_core`.
    """

    path: str
    package: str
    text: str
    tree: ast.Module


@cache
def tracked_files() -> tuple[str, ...]:
    """Files that are, or are about to be, in the repository (ignored ones are not)."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = (name for name in listing.stdout.split("\0") if name)
    return tuple(sorted(name for name in set(names) if (ROOT / name).is_file()))


@cache
def sources() -> tuple[Source, ...]:
    """Every module of a `penstock_*` package."""
    found: list[Source] = []
    for name in tracked_files():
        package = next((part for part in Path(name).parts if part.startswith("penstock_")), None)
        if package is None or not name.endswith(".py") or not name.startswith(SOURCE_ROOTS):
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        found.append(Source(name, package, text, ast.parse(text, name)))
    return tuple(found)


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Every tracked file that is text, with its content."""
    found: list[tuple[str, str]] = []
    for name in tracked_files():
        raw = (ROOT / name).read_bytes()
        if b"\0" in raw[:8192]:
            continue
        found.append((name, raw.decode("utf-8", errors="replace")))
    return tuple(found)


def imports_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every absolute import of a module, with its line, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno


def docstrings_of(tree: ast.Module) -> set[int]:
    """The identities of the string nodes that are docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found
