"""Licences of packages that lie in the repository: node_modules, dist-info, vendor folders.

The walk over the repository leaves these folders out, because nobody here wrote what is in them;
of each package only its metadata and licence text are opened, and a bounded number of packages.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.errors import MessageError
from email.parser import HeaderParser
from pathlib import Path

from penstock_agent_compliance_checker.declared import declared_in, npm_declared
from penstock_agent_compliance_checker.dependencies import Ecosystem, python_name
from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.licence_files import LicenceReader, is_licence_file
from penstock_agent_compliance_checker.toml_text import read_toml
from penstock_agent_compliance_checker.trees import AllOf, AnyOf, Tree, Unclear, Unknown
from penstock_agent_sdk.repository import SourceFile

MAX_PACKAGES = 6_000
MAX_FOLDERS = 20_000
MAX_DEPTH = 12
MAX_METADATA_BYTES = 200_000
MAX_LICENCE_FILES = 4
_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".ruff_cache", ".tox"})


@dataclass(frozen=True, slots=True)
class Installed:
    """A package whose files are there.

    Attributes:
        ecosystem: Where its name is valid.
        name: As its ecosystem compares names.
        licence: What it says; None where it says nothing.
        file: The file that says it, relative to the repository.
        copied: Its source is part of the repository (a vendor folder), not installed into it.
    """

    ecosystem: Ecosystem
    name: str
    licence: Tree | None
    file: str
    copied: bool


@dataclass
class Packages:
    """Looks for packages once.

    Attributes:
        root: The repository.
        late: Whether time is up.
        reader: Reads licence files.
        truncated: There were more than the bounds allow.
    """

    root: Path
    late: Callable[[], bool]
    truncated: bool = False
    reader: LicenceReader = field(default_factory=LicenceReader)

    def __iter__(self) -> Iterator[Installed]:
        """Packages in a stable order."""
        seen = 0
        for kind, folder in self._folders():
            if seen >= MAX_PACKAGES or self.late():
                self.truncated = True
                return
            found = self._read(kind, folder)
            if found is not None:
                seen += 1
                yield found

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Folders that are packages, by what tells them."""
        pending: list[tuple[Path, int]] = [(self.root, 0)]
        looked = 0
        while pending:
            folder, depth = pending.pop()
            looked += 1
            if looked > MAX_FOLDERS or depth > MAX_DEPTH:
                self.truncated = True
                continue
            for entry in _folders_in(folder):
                kind = _kind(entry, entry.relative_to(self.root))
                if kind is not None:
                    yield kind, entry
                if entry.name not in _SKIPPED and not entry.name.endswith(
                    (".dist-info", ".egg-info")
                ):
                    pending.append((entry, depth + 1))

    def _read(self, kind: str, folder: Path) -> Installed | None:
        try:
            match kind:
                case "npm":
                    return self._npm(folder)
                case "python":
                    return self._python(folder)
                case "rust":
                    return self._rust(folder)
                case _:
                    return self._go(folder)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MessageError):
            return None

    def _npm(self, folder: Path) -> Installed | None:
        source = self._source(folder / "package.json")
        if source is None:
            return None
        document = json.loads(source.text)
        if not isinstance(document, dict) or not isinstance(document.get("name"), str):
            return None
        declared = next(npm_declared(source, document), None)
        tree = None if declared is None else declared.tree
        if tree is None or (declared is not None and declared.points_at_file):
            tree = self._text(folder)
        return Installed("npm", str(document["name"]), _told(tree), source.name, copied=False)

    def _python(self, folder: Path) -> Installed | None:
        metadata = "PKG-INFO" if folder.name.endswith(".egg-info") else "METADATA"
        source = self._source(folder / metadata)
        if source is None:
            return None
        head = HeaderParser().parsestr(source.text)
        name = python_name(head.get("Name", ""))
        if not name:
            return None
        tree = python_licence(
            head.get("License-Expression"), head.get("License"), head.get_all("Classifier") or []
        )
        if tree is None or isinstance(tree, Unknown | Unclear):
            tree = self._text(folder) or self._text(folder / "licenses") or tree
        return Installed("python", name, _told(tree), source.name, copied=False)

    def _rust(self, folder: Path) -> Installed | None:
        source = self._source(folder / "Cargo.toml")
        if source is None:
            return None
        package = read_toml(source.text).get("package")
        if not isinstance(package, dict):
            return None
        declared = declared_in(source)
        tree = (
            declared[0].tree if declared and not declared[0].points_at_file else self._text(folder)
        )
        return Installed("rust", str(package.get("name")), _told(tree), source.name, copied=True)

    def _go(self, folder: Path) -> Installed | None:
        tree = self._text(folder)
        if tree is None:
            return None
        path = folder.relative_to(self.root).as_posix()
        name = path.rpartition("vendor/")[2]
        return Installed("go", name, _told(tree), f"{path}/LICENSE", copied=True)

    def _text(self, folder: Path) -> Tree | None:
        """What the licence files of a package say together."""
        try:
            names = sorted(
                entry.name
                for entry in os.scandir(folder)
                if entry.is_file(follow_symlinks=False) and is_licence_file(entry.name)
            )
        except OSError:
            return None
        trees: list[Tree] = []
        for name in names[:MAX_LICENCE_FILES]:
            source = self._source(folder / name)
            read = None if source is None else self.reader.read(name, source.text)
            if read is None:
                continue
            if read.changed is not None:
                return Unknown(f"a changed {read.changed.id}")
            if read.tree is not None and read.tree not in trees:
                trees.append(read.tree)
        if not trees:
            return None
        # LICENSE-MIT beside LICENSE-APACHE is how alternatives are offered.
        offered = len(names) > 1 and all("-" in name or "." in name for name in names)
        return trees[0] if len(trees) == 1 else (AnyOf if offered else AllOf)(tuple(trees))

    def _source(self, path: Path) -> SourceFile | None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as opened:
                data = opened.read(MAX_METADATA_BYTES)
        except OSError:
            return None
        return SourceFile(path.relative_to(self.root).as_posix(), path, data)


def python_licence(expression: str | None, name: str | None, classifiers: list[str]) -> Tree | None:
    """What a distribution's metadata says; the expression first (PEP 639)."""
    if expression:
        return parse(expression)
    trees = [
        parse(text)
        for text in classifiers
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    known = tuple(dict.fromkeys(tree for tree in trees if not isinstance(tree, Unknown)))
    given = parse(name) if name and len(name) < 200 and name.upper() != "UNKNOWN" else None
    if given is not None and not isinstance(given, Unknown | Unclear):
        return given
    if known:
        # Several classifiers are used for "either" as well as for "both".
        return (
            known[0] if len(known) == 1 else Unclear(" / ".join(map(str, known)), (AllOf(known),))
        )
    return given


def _told(tree: Tree | None) -> Tree | None:
    return None if isinstance(tree, Unknown) and not tree.name else tree


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [folder / name for name in names]


def _kind(folder: Path, inside: Path) -> str | None:
    """What tells that a folder is a package; where the repository itself lies tells nothing."""
    name, parent, grandparent = inside.name, inside.parent.name, inside.parent.parent.name
    if name.endswith((".dist-info", ".egg-info")):
        return "python"
    if parent == "node_modules" and not name.startswith((".", "@")):
        return "npm"
    if parent.startswith("@") and grandparent == "node_modules":
        return "npm"
    if parent == "vendor" and (folder / "Cargo.toml").is_file():
        return "rust"
    if "vendor" in inside.parts and re.search(r"/vendor/[\w-]+\.[\w.]+/", f"/{inside.as_posix()}/"):
        return "go"
    return None
