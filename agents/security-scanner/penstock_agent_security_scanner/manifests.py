"""Which packages a repository asks for, and where it says so."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from penstock_agent_sdk.repository import SourceFile

PYPI = "PyPI"
NPM = "npm"
_REQUIREMENTS = re.compile(r"^(?:requirements|constraints)[\w.-]*\.(?:txt|in|lock)$")
_CONTINUATION = re.compile(r"\\\s*$")
_OPTION = re.compile(r"\s+--?[A-Za-z].*$")
_NPM_RANGE = re.compile(r"^\s*(?:\^|~|>=|=|v)?\s*(\d+(?:\.\d+){0,2}(?:-[\w.-]+)?)\s*(?:<.*)?$")
_POETRY_RANGE = re.compile(r"^\s*(?:\^|~|>=|==|=)?\s*(\d[\w.]*)")
MAX_PACKAGES = 20_000


@dataclass(frozen=True)
class Package:
    """One package asked for at one place.

    Attributes:
        version: The pinned version, or the lowest one allowed; None when nothing is said.
        pinned: Whether `version` is exactly what will be installed.
    """

    ecosystem: str
    name: str
    version: str | None
    pinned: bool
    file: str
    line: int


def is_manifest(base: str) -> bool:
    """Whether a file of this name lists packages in a form read here."""
    return base in _READERS or bool(_REQUIREMENTS.match(base))


def packages_of(source: SourceFile) -> list[Package]:
    """Packages listed in one manifest.

    Raises:
        ValueError: The file is not what its name says; `partial` is the honest answer then.
    """
    reader = _READERS.get(source.base, _requirements)
    try:
        found = list(reader(source))
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{source.base} has an unexpected shape") from error
    return found[:MAX_PACKAGES]


def _requirements(source: SourceFile) -> Iterator[Package]:
    """Requirement lines of pip; options, addresses and includes are not packages."""
    logical, start = "", 0
    for number, raw in enumerate(source.lines, 1):
        start = start or number
        if _CONTINUATION.search(raw):
            logical += _CONTINUATION.sub(" ", raw)
            continue
        line = re.sub(r"(?:^|\s)#.*$", "", logical + raw).strip()
        logical, first, start = "", start, 0
        if not line or line.startswith("-"):
            continue
        package = _requirement(_OPTION.sub("", line), source.name, first)
        if package is not None:
            yield package


def _requirement(text: str, file: str, line: int) -> Package | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    if requirement.url:
        return None
    version, pinned = _lowest(requirement.specifier)
    return Package(PYPI, str(canonicalize_name(requirement.name)), version, pinned, file, line)


def _lowest(specifiers: SpecifierSet) -> tuple[str | None, bool]:
    lower: str | None = None
    for specifier in specifiers:
        if specifier.operator in ("==", "===") and not specifier.version.endswith(".*"):
            return specifier.version, True
        if specifier.operator in (">=", "~=", "==", ">"):
            lower = specifier.version.removesuffix(".*")
    return lower, False


def _pyproject(source: SourceFile) -> Iterator[Package]:
    data = tomllib.loads(source.text)
    project = data.get("project", {})
    texts = [*project.get("dependencies", [])]
    for group in project.get("optional-dependencies", {}).values():
        texts += group
    for group in data.get("dependency-groups", {}).values():
        texts += [item for item in group if isinstance(item, str)]
    texts += data.get("build-system", {}).get("requires", [])
    for text in texts:
        package = _requirement(text, source.name, _line_of(source, text))
        if package is not None:
            yield package
    yield from _poetry(source, data.get("tool", {}).get("poetry", {}))


def _poetry(source: SourceFile, poetry: dict[str, Any]) -> Iterator[Package]:
    tables = [poetry.get("dependencies", {}), poetry.get("dev-dependencies", {})]
    tables += [group.get("dependencies", {}) for group in poetry.get("group", {}).values()]
    for table in tables:
        for name, wanted in table.items():
            text = wanted.get("version", "") if isinstance(wanted, dict) else str(wanted)
            if name == "python":
                continue
            match = _POETRY_RANGE.match(text)
            line = _line_of(source, name)
            pinned = bool(match) and text.strip()[0].isdigit()
            version = match[1] if match else None
            yield Package(PYPI, str(canonicalize_name(name)), version, pinned, source.name, line)


def _toml_lock(source: SourceFile) -> Iterator[Package]:
    """poetry.lock and uv.lock."""
    for entry in tomllib.loads(source.text).get("package", []):
        name, version = str(entry["name"]), entry.get("version")
        if version is None or "editable" in entry.get("source", {}):
            continue
        line = _line_of(source, f'name = "{name}"')
        yield Package(PYPI, str(canonicalize_name(name)), str(version), True, source.name, line)


def _package_json(source: SourceFile) -> Iterator[Package]:
    data = json.loads(source.text)
    for table in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, wanted in data.get(table, {}).items():
            match = _NPM_RANGE.match(str(wanted))
            version = match[1] if match else None
            pinned = bool(match) and str(wanted).strip()[0].isdigit()
            yield Package(NPM, name, version, pinned, source.name, _line_of(source, f'"{name}"'))


def _package_lock(source: SourceFile) -> Iterator[Package]:
    data = json.loads(source.text)
    for path, entry in data.get("packages", {}).items():
        if not path or entry.get("link"):
            continue
        name = entry.get("name") or path.rpartition("node_modules/")[2]
        line = _line_of(source, f'"{path}"')
        yield Package(NPM, name, entry.get("version"), True, source.name, line)
    if "packages" not in data:
        yield from _lock_tree(source, data.get("dependencies", {}))


def _lock_tree(source: SourceFile, tree: dict[str, Any]) -> Iterator[Package]:
    for name, entry in tree.items():
        line = _line_of(source, f'"{name}"')
        yield Package(NPM, name, entry.get("version"), True, source.name, line)
        yield from _lock_tree(source, entry.get("dependencies", {}))


def _line_of(source: SourceFile, text: str) -> int:
    """First line that holds `text`; 1 when it was spelled with escapes."""
    position = source.data.find(text.encode())
    return source.data.count(b"\n", 0, position) + 1 if position >= 0 else 1


_READERS = {
    "pyproject.toml": _pyproject,
    "poetry.lock": _toml_lock,
    "uv.lock": _toml_lock,
    "package.json": _package_json,
    "package-lock.json": _package_lock,
    "npm-shrinkwrap.json": _package_lock,
}
