"""Which packages a repository depends on, and what files inside it say of their licences.

Lock files name packages; some of them name licences too. Installed packages bring their metadata
(`installed.py`). Nothing is looked up anywhere else: what the repository does not say is unknown.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from penstock_agent_compliance_checker.declared import line_of
from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.lenient import table_of, texts_of
from penstock_agent_compliance_checker.markup import elements
from penstock_agent_compliance_checker.toml_text import read_toml
from penstock_agent_compliance_checker.trees import AnyOf, Tree
from penstock_agent_compliance_checker.verdicts import Linking
from penstock_agent_sdk.repository import SourceFile

Ecosystem = Literal["python", "npm", "rust", "go", "php", "java", "ruby", "dotnet"]
MAX_PER_FILE = 5_000
# How packages of an ecosystem become part of a program, if nothing else is said.
LINKING: dict[Ecosystem, Linking] = {
    "python": "dynamic",
    "npm": "dynamic",
    "php": "dynamic",
    "java": "dynamic",
    "ruby": "dynamic",
    "dotnet": "dynamic",
    "rust": "static",
    "go": "static",
}


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package that a manifest or lock file names.

    Attributes:
        ecosystem: Where its name is valid.
        name: As its ecosystem compares names.
        file: Where it is named.
        line: Where in the file.
        development: Needed to build or test only.
        licence: What the file itself says of its licence.
    """

    ecosystem: Ecosystem
    name: str
    file: str
    line: int
    development: bool = False
    licence: Tree | None = None


def is_dependency_file(base: str) -> bool:
    """Whether a file names packages."""
    return base in _READERS or bool(_REQUIREMENTS.match(base))


def dependencies_in(source: SourceFile) -> list[Dependency]:
    """Packages of one file, each once; none if it is malformed."""
    reader = _READERS.get(source.base)
    if reader is None:
        reader = _requirements if _REQUIREMENTS.match(source.base) else None
    if reader is None:
        return []
    found: dict[tuple[Ecosystem, str], Dependency] = {}
    try:
        for one in reader(source):
            known = found.setdefault((one.ecosystem, one.name), one)
            if known.development and not one.development:
                found[one.ecosystem, one.name] = one
            if len(found) >= MAX_PER_FILE:
                break
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return list(found.values())
    return list(found.values())


def python_name(name: str) -> str:
    """PEP 503: runs of `-`, `_` and `.` are one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


_REQUIREMENTS = re.compile(
    r"^(?:requirements|constraints)[\w.-]*\.(?:txt|in)$|^dev-requirements\.txt$"
)
_FOR_DEVELOPMENT = re.compile(r"(?i)dev|test|lint|doc|ci\b|typing|style|bench")
_PYTHON_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@ ]|$)")


def _requirements(source: SourceFile) -> Iterator[Dependency]:
    development = _FOR_DEVELOPMENT.search(source.base) is not None
    for number, line in enumerate(source.lines, 1):
        match = _PYTHON_NAME.match(line)
        if match and not line.lstrip().startswith(("#", "-")):
            yield Dependency("python", python_name(match[1]), source.name, number, development)


def _pyproject(source: SourceFile) -> Iterator[Dependency]:
    document = read_toml(source.text)
    project = table_of(document.get("project"))
    for text in texts_of(project.get("dependencies")):
        yield from _python_one(source, text, development=False)
    groups = {
        **table_of(project.get("optional-dependencies")),
        **table_of(document.get("dependency-groups")),
    }
    for group, texts in groups.items():
        for text in texts_of(texts):
            development = bool(_FOR_DEVELOPMENT.search(group))
            yield from _python_one(source, text, development=development)
    poetry = table_of(table_of(document.get("tool")).get("poetry"))
    for name in table_of(poetry.get("dependencies")):
        if name.lower() != "python":
            yield from _python_one(source, name, development=False)
    groups = table_of(poetry.get("group"))
    for name in table_of(poetry.get("dev-dependencies")):
        yield from _python_one(source, name, development=True)
    for group, table in groups.items():
        for name in table_of(table_of(table).get("dependencies")):
            yield from _python_one(source, name, development=bool(_FOR_DEVELOPMENT.search(group)))


def _python_one(source: SourceFile, text: str, *, development: bool) -> Iterator[Dependency]:
    match = _PYTHON_NAME.match(text)
    if match:
        name = python_name(match[1])
        yield Dependency("python", name, source.name, line_of(source, match[1]), development)


def _package_lists(ecosystem: Ecosystem) -> Callable[[SourceFile], Iterator[Dependency]]:
    """`[[package]] name = ".."`: poetry.lock, uv.lock, Cargo.lock, without a TOML parser.

    These files are long; of each entry only the name is wanted, and where it is from.
    """

    def read(source: SourceFile) -> Iterator[Dependency]:
        name, line_number, own = "", 0, False
        for number, line in enumerate([*source.lines, "[[package]]"], 1):
            if line.startswith("[[package]]"):
                if name and not own:
                    exact = python_name(name) if ecosystem == "python" else name
                    yield Dependency(ecosystem, exact, source.name, line_number)
                name, own = "", ecosystem == "rust"
            match = re.match(r'name = "([^"]+)"', line)
            if match and not name:
                name, line_number = match[1], number
            if line.startswith("source ="):
                # Without a source (Rust), or from this folder (uv): a member of the project.
                own = bool(re.search(r"(?:editable|virtual|directory) = ", line))

    return read


def _package_json(source: SourceFile) -> Iterator[Dependency]:
    document = table_of(json.loads(source.text))
    for key, development in (
        ("dependencies", False),
        ("optionalDependencies", False),
        ("peerDependencies", False),
        ("devDependencies", True),
    ):
        for name in table_of(document.get(key)):
            line = line_of(source, f'"{name}"')
            yield Dependency("npm", name, source.name, line, development)


def _package_lock(source: SourceFile) -> Iterator[Dependency]:
    document = table_of(json.loads(source.text))
    lines = {
        match[1]: number
        for number, line in enumerate(source.lines, 1)
        if (match := re.match(r'\s{2,8}"([^"]+)": \{', line))
    }
    for path, value in table_of(document.get("packages")).items():
        entry = table_of(value)
        name = path.rpartition("node_modules/")[2]
        if "node_modules/" not in path or entry.get("link"):
            continue
        licence = entry.get("license")
        tree = parse(licence) if isinstance(licence, str) else None
        development = bool(entry.get("dev"))
        yield Dependency("npm", name, source.name, lines.get(path, 1), development, tree)
    if "packages" not in document:
        for name, value in table_of(document.get("dependencies")).items():
            development = bool(table_of(value).get("dev"))
            yield Dependency("npm", name, source.name, lines.get(name, 1), development)


def _cargo(source: SourceFile) -> Iterator[Dependency]:
    document = read_toml(source.text)
    tables = [document, *(table_of(one) for one in table_of(document.get("target")).values())]
    for table in tables:
        for key, development in (
            ("dependencies", False),
            ("dev-dependencies", True),
            ("build-dependencies", True),
        ):
            for name, value in table_of(table.get(key)).items():
                if "path" not in table_of(value):
                    real = str(table_of(value).get("package") or name)
                    yield Dependency("rust", real, source.name, line_of(source, name), development)


def _go_mod(source: SourceFile) -> Iterator[Dependency]:
    inside = False
    for number, line in enumerate(source.lines, 1):
        bare = line.split("//")[0].strip()
        if bare.startswith("require ("):
            inside = True
        elif bare == ")":
            inside = False
        match = re.match(r"(?:require\s+)?([\w.~-]+\.[\w.~/-]+)\s+v\S+$", bare)
        if match and (inside or bare.startswith("require ")):
            yield Dependency("go", match[1], source.name, number)


def _composer_lock(source: SourceFile) -> Iterator[Dependency]:
    document = table_of(json.loads(source.text))
    for key, development in (("packages", False), ("packages-dev", True)):
        for value in cast("list[object]", document.get(key) or []):
            entry = table_of(value)
            name = str(entry.get("name", ""))
            trees = tuple(parse(text) for text in texts_of(entry.get("license")))
            tree = (trees[0] if len(trees) == 1 else AnyOf(trees)) if trees else None
            line = line_of(source, f'"name": "{name}"')
            yield Dependency("php", name, source.name, line, development, tree)


def _pom(source: SourceFile) -> Iterator[Dependency]:
    group = artifact = scope = ""
    line = 1
    for path, _, text, at in elements(source.text):
        if path[-3:-1] == ("dependencies", "dependency"):
            if path[-1] == "groupId":
                group = text
            elif path[-1] == "artifactId":
                artifact, line = text, at
            elif path[-1] == "scope":
                scope = text
        elif path[-2:] == ("dependencies", "dependency"):
            if artifact and "dependencyManagement" not in path:
                name = f"{group}:{artifact}"
                yield Dependency("java", name, source.name, line, scope == "test")
            group = artifact = scope = ""


def _gemfile_lock(source: SourceFile) -> Iterator[Dependency]:
    for number, line in enumerate(source.lines, 1):
        match = re.match(r"    ([\w.-]+) \(", line)
        if match:
            yield Dependency("ruby", match[1], source.name, number)


_READERS: dict[str, Callable[[SourceFile], Iterator[Dependency]]] = {
    "pyproject.toml": _pyproject,
    "poetry.lock": _package_lists("python"),
    "uv.lock": _package_lists("python"),
    "package.json": _package_json,
    "package-lock.json": _package_lock,
    "npm-shrinkwrap.json": _package_lock,
    "Cargo.toml": _cargo,
    "Cargo.lock": _package_lists("rust"),
    "go.mod": _go_mod,
    "composer.lock": _composer_lock,
    "pom.xml": _pom,
    "Gemfile.lock": _gemfile_lock,
}
