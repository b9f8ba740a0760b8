"""Modules of the scanned repository, for files that import them."""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from penstock_agent_sdk.repository import EXCLUDED_FOLDERS, MAX_FILE_BYTES
from penstock_agent_security_scanner.source_text import parse
from penstock_agent_security_scanner.taint.analysis import global_scope
from penstock_agent_security_scanner.taint.scopes import Scope

MAX_LOADED: Final = 400
MAX_NESTED: Final = 2
MAX_FOLDERS: Final = 20_000
# Folders that are a root of imports without being named anywhere.
_ROOTS: Final = ("src", "lib", "app")


class Modules:
    """Global scopes by path, made when first imported; the oldest are forgotten.

    Links are not followed, and nothing outside of the repository is opened.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scopes: OrderedDict[Path, Scope | None] = OrderedDict()
        self._listings: dict[Path, dict[str, bool]] = {}
        self._nested = 0

    @staticmethod
    def name_of(file: str) -> str:
        """The dotted name of a file, as the repository's top sees it."""
        parts = file.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def loader(self, file: str) -> Callable[[str], Scope | None]:
        """How a file of the repository finds what it imports."""
        folder = (self._root / file).parent
        return lambda name: self._scope(name, folder)

    def _scope(self, name: str, folder: Path) -> Scope | None:
        path = self._found(name.split("."), folder)
        if path is None:
            return None
        if path in self._scopes:
            self._scopes.move_to_end(path)
            return self._scopes[path]
        if self._nested >= MAX_NESTED:
            return None
        self._scopes[path] = None  # an import in a circle ends here
        self._nested += 1
        try:
            self._scopes[path] = self._loaded(path)
        finally:
            self._nested -= 1
        while len(self._scopes) > MAX_LOADED:
            self._scopes.popitem(last=False)
        return self._scopes.get(path)

    def _found(self, parts: list[str], folder: Path) -> Path | None:
        """The file of a module: looked for from the importing folder up to the top."""
        inside = folder
        while True:
            found = self._below(inside, parts)
            if found is not None or inside in (self._root, inside.parent):
                break
            inside = inside.parent
        if found is not None:
            return found
        for name in _ROOTS:
            if self._listing(self._root).get(name):
                found = self._below(self._root / name, parts)
                if found is not None:
                    return found
        return None

    def _below(self, folder: Path, parts: list[str]) -> Path | None:
        for part in parts[:-1]:
            if not self._listing(folder).get(part):
                return None
            folder /= part
        known, last = self._listing(folder), parts[-1]
        if f"{last}.py" in known:
            return folder / f"{last}.py"
        if known.get(last) and "__init__.py" in self._listing(folder / last):
            return folder / last / "__init__.py"
        return None

    def _listing(self, folder: Path) -> dict[str, bool]:
        """Names in a folder: True for folders, False for Python files; nothing else."""
        known = self._listings.get(folder)
        if known is None:
            known = {}
            if len(self._listings) < MAX_FOLDERS:
                try:
                    with os.scandir(folder) as listing:
                        for entry in listing:
                            if entry.is_dir(follow_symlinks=False):
                                known[entry.name] = entry.name not in EXCLUDED_FOLDERS
                            elif entry.name.endswith(".py") and entry.is_file(
                                follow_symlinks=False
                            ):
                                known[entry.name] = False
                except OSError:
                    known = {}
                self._listings[folder] = known
        return known

    def _loaded(self, path: Path) -> Scope | None:
        data = read_regular(path)
        if data is None:
            return None
        parsed = parse(data, data.decode("utf-8", "replace"))
        if parsed is None:
            return None
        file = path.relative_to(self._root).as_posix()
        return global_scope(parsed.tree, self.name_of(file), self.loader(file))


def read_regular(path: Path) -> bytes | None:
    """At most `MAX_FILE_BYTES` of a regular file; None for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                return None
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
