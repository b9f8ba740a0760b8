"""What a project's manifests say its licence is."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from penstock_agent_compliance_checker.expressions import parse, strict
from penstock_agent_compliance_checker.lenient import table_of, texts_of
from penstock_agent_compliance_checker.markup import element_texts
from penstock_agent_compliance_checker.notices import mentioned
from penstock_agent_compliance_checker.toml_text import read_toml
from penstock_agent_compliance_checker.trees import PROPRIETARY, AnyOf, Tree, Unknown
from penstock_agent_sdk.repository import SourceFile

MAX_LICENCES = 20
_SEE_FILE = re.compile(r"^SEE LICEN[SC]E IN .+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declared:
    """One declaration.

    Attributes:
        text: As written.
        tree: What it says; Unknown with an empty name where it points at a file.
        faults: What is wrong with it, where the field has to be an SPDX expression.
        file: The manifest.
        line: Where in it.
        points_at_file: It only names a file.
    """

    text: str
    tree: Tree
    faults: tuple[str, ...]
    file: str
    line: int
    points_at_file: bool = False


def declared_in(source: SourceFile) -> list[Declared]:
    """Declarations of one manifest; none if it is malformed (other checks say so)."""
    reader = READERS.get(source.base) or _BY_SUFFIX.get(source.suffix)
    if reader is None:
        return []
    try:
        return list(reader(source))[:MAX_LICENCES]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def is_manifest(source_base: str, suffix: str) -> bool:
    """Whether a file may declare a licence."""
    return source_base in READERS or suffix in _BY_SUFFIX


def line_of(source: SourceFile, *needles: str) -> int:
    """The first line that has all the needles, else 1."""
    return next(
        (at for at, line in enumerate(source.lines, 1) if all(one in line for one in needles)), 1
    )


def _expression(source: SourceFile, text: str, line: int) -> Declared:
    tree, faults = strict(text)
    return Declared(text, tree, tuple(faults), source.name, line)


def _name(source: SourceFile, text: str, line: int) -> Declared:
    tree = parse(text)
    if isinstance(tree, Unknown):
        # A whole licence text in a `license` field is met too; its name stands at its head.
        found = mentioned(text[:2_000]) if len(text) > 80 else []
        tree = found[0] if found else tree
    return Declared(text[:200], tree, (), source.name, line)


def _pyproject(source: SourceFile) -> Iterator[Declared]:
    document = read_toml(source.text)
    project = table_of(document.get("project"))
    value = project.get("license")
    line = line_of(source, "license", "=")
    if isinstance(value, str):
        yield _expression(source, value, line)
    elif isinstance(value, dict):
        table = table_of(value)
        if isinstance(table.get("text"), str):
            yield _name(source, str(table["text"]), line)
        elif isinstance(table.get("file"), str):
            yield Declared(str(table["file"]), Unknown(""), (), source.name, line, True)
    poetry = table_of(table_of(document.get("tool")).get("poetry"))
    if isinstance(poetry.get("license"), str):
        yield _name(source, str(poetry["license"]), line)
    for classifier in texts_of(project.get("classifiers")) + texts_of(poetry.get("classifiers")):
        yield from _classifier(source, classifier)


def _classifier(source: SourceFile, text: str) -> Iterator[Declared]:
    if text.startswith("License ::") and text != "License :: OSI Approved":
        yield Declared(text, parse(text), (), source.name, line_of(source, text))


def _setup_cfg(source: SourceFile) -> Iterator[Declared]:
    section = ""
    for number, line in enumerate(source.lines, 1):
        heading = re.match(r"\[([^\]]+)\]", line)
        section = heading[1] if heading else section
        match = re.match(r"license\s*[=:]\s*(\S.*)", line)
        if section == "metadata" and match:
            yield _name(source, match[1].strip(), number)
        if section == "metadata" and "License ::" in line:
            yield from _classifier(source, line.strip())


def _setup_py(source: SourceFile) -> Iterator[Declared]:
    """The file is not run: only what stands there as a text is read."""
    for number, line in enumerate(source.lines, 1):
        match = re.search(r"\blicense\s*=\s*([\"'])(.{1,200}?)\1", line[:1_000])
        if match:
            yield _name(source, match[2], number)
        match = re.search(r"[\"'](License :: [^\"']{1,200})[\"']", line[:1_000])
        if match:
            yield from _classifier(source, match[1])


def _package_json(source: SourceFile) -> Iterator[Declared]:
    document = table_of(json.loads(source.text))
    yield from npm_declared(source, document)


def npm_declared(source: SourceFile, document: Mapping[str, object]) -> Iterator[Declared]:
    """The licence of a package.json, in its present and older forms."""
    line = line_of(source, '"licen')
    value = document.get("license", document.get("licence"))
    if isinstance(value, dict):
        value = table_of(value).get("type")
    if isinstance(value, str) and value:
        if _SEE_FILE.match(value):
            yield Declared(value, Unknown(""), (), source.name, line, True)
        elif value.upper() == "UNLICENSED":
            yield Declared(value, PROPRIETARY, (), source.name, line)
        else:
            yield _expression(source, value, line)
        return
    several = document.get("licenses", value if isinstance(value, list) else None)
    names = [
        str(table_of(item).get("type") or table_of(item).get("name") or "")
        if isinstance(item, dict)
        else str(item)
        for item in (cast("list[object]", several) if isinstance(several, list) else [])
    ]
    trees = tuple(parse(name) for name in names[:MAX_LICENCES] if name)
    if trees:
        tree = trees[0] if len(trees) == 1 else AnyOf(trees)
        yield Declared(" OR ".join(names), tree, (), source.name, line)


def _cargo(source: SourceFile) -> Iterator[Declared]:
    document = read_toml(source.text)
    package = table_of(document.get("package")) or table_of(
        table_of(document.get("workspace")).get("package")
    )
    value = package.get("license")
    line = line_of(source, "license", "=")
    if isinstance(value, str):
        # Cargo allowed a slash for OR and still accepts it.
        yield _expression(source, re.sub(r"\s*/\s*", " OR ", value), line)
    elif isinstance(package.get("license-file"), str):
        yield Declared(str(package["license-file"]), Unknown(""), (), source.name, line, True)


def _composer(source: SourceFile) -> Iterator[Declared]:
    value = table_of(json.loads(source.text)).get("license")
    line = line_of(source, '"license"')
    names = [value] if isinstance(value, str) else texts_of(value)
    trees = tuple(
        PROPRIETARY if name.lower() == "proprietary" else parse(name)
        for name in names[:MAX_LICENCES]
    )
    if trees:
        tree = trees[0] if len(trees) == 1 else AnyOf(trees)
        yield Declared(" OR ".join(names), tree, (), source.name, line)


def _pom(source: SourceFile) -> Iterator[Declared]:
    found = [
        (text, line)
        for path, text, line in element_texts(source.text)
        if path[-4:] == ("project", "licenses", "license", "name") and len(path) == 4
    ]
    trees = tuple(parse(text) for text, _ in found[:MAX_LICENCES])
    if trees:
        tree = trees[0] if len(trees) == 1 else AnyOf(trees)
        text = " OR ".join(name for name, _ in found)
        yield Declared(text, tree, (), source.name, found[0][1])


def _nuget(source: SourceFile) -> Iterator[Declared]:
    for path, text, line in element_texts(source.text):
        if path[-1] == "PackageLicenseExpression" or path[-2:] == ("metadata", "license"):
            yield _expression(source, text, line)


def _gemspec(source: SourceFile) -> Iterator[Declared]:
    for number, line in enumerate(source.lines, 1):
        match = re.search(r"\.licenses?\s*=\s*(.{1,300})", line[:1_000])
        names = re.findall(r"[\"']([^\"']{1,100})[\"']", match[1]) if match else []
        trees = tuple(parse(name) for name in names)
        if trees:
            tree = trees[0] if len(trees) == 1 else AnyOf(trees)
            yield Declared(" OR ".join(names), tree, (), source.name, number)


READERS: dict[str, Callable[[SourceFile], Iterator[Declared]]] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "composer.json": _composer,
    "pom.xml": _pom,
}
_BY_SUFFIX: dict[str, Callable[[SourceFile], Iterator[Declared]]] = {
    ".csproj": _nuget,
    ".nuspec": _nuget,
    ".gemspec": _gemspec,
}
