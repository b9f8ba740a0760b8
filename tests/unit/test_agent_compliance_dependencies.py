"""Which packages files name, what lies installed or copied, and what is told of their licences."""

import json
from pathlib import Path

import pytest

from penstock_agent_compliance_checker.dependencies import dependencies_in
from penstock_agent_compliance_checker.installed import Packages, python_licence
from penstock_agent_compliance_checker.models import CheckInput, CheckOutput
from penstock_agent_compliance_checker.scan import check
from penstock_agent_sdk.repository import SourceFile

POETRY = """[tool.poetry.dependencies]
python = "^3.11"
Flask_Login = "^0.6"
[tool.poetry.dev-dependencies]
black = "*"
[tool.poetry.group.test.dependencies]
pytest = "*"
[tool.poetry.group.cache.dependencies]
redis = "*"
"""
PROJECT = """[project]
dependencies = ["requests[socks]>=2", "typing.extensions; python_version < '3.12'"]
[project.optional-dependencies]
fast = ["orjson"]
docs = ["sphinx"]
[dependency-groups]
lint = ["ruff", {include-group = "docs"}]
"""
UV = """version = 1
[[package]]
name = "mine"
source = { editable = "." }
[[package]]
name = "click"
source = { registry = "vendored" }
[[package]]
name = "Zope.Interface"
"""
CARGO_LOCK = """[[package]]
name = "mine"
version = "0.1.0"
[[package]]
name = "serde"
source = "registry+elsewhere"
"""
CARGO = """[dependencies]
serde = "1"
near = { path = "../near" }
other = { package = "real-name", version = "1" }
[dev-dependencies]
proptest = "1"
[target.'cfg(unix)'.dependencies]
nix = "0.27"
[build-dependencies]
cc = "1"
"""
LOCK = {
    "packages": {
        "": {"license": "MIT"},
        "near": {"license": "MIT"},
        "node_modules/near": {"link": True},
        "node_modules/a": {"license": "ISC"},
        "node_modules/b/node_modules/@s/c": {"license": "MIT OR Apache-2.0", "dev": True},
        "node_modules/d": {},
    }
}
OLD_LOCK = {"lockfileVersion": 1, "dependencies": {"a": {"version": "1"}, "b": {"dev": True}}}
COMPOSER = {
    "packages": [{"name": "a/one", "license": ["MIT"]}, {"name": "a/two"}],
    "packages-dev": [{"name": "a/tests", "license": ["MIT", "GPL-3.0-only"]}],
}
GO = """module example.org/mine // the module
require example.org/one v1.0.0
require (
\texample.org/two/v2 v2.1.0 // indirect
\tgolang.org/x/net v0.1.0
)
replace example.org/one => ../one
"""
POM = """<project>
<dependencyManagement><dependencies><dependency>
<groupId>x</groupId><artifactId>managed</artifactId></dependency></dependencies></dependencyManagement>
<dependencies>
<dependency><groupId>org.a</groupId><artifactId>one</artifactId></dependency>
<dependency><groupId>org.a</groupId><artifactId>two</artifactId><scope>test</scope></dependency>
</dependencies></project>
"""
GEMS = """GEM
  specs:
    rails (7.1.0)
      actionpack (= 7.1.0)
    rack (3.0)
"""
REQUIREMENTS = """# pinned
-r base.txt
Django==5.0
zope.interface >= 6 ; python_version > '3'
https://example.org/a.tar.gz
"""

# What is needed to build or test only has an asterisk; a licence the file itself tells follows.
NAMED: list[tuple[str, str, list[str]]] = [
    ("pyproject.toml", PROJECT,
     ["requests", "typing-extensions", "orjson", "sphinx*", "ruff*"]),
    ("pyproject.toml", POETRY, ["flask-login", "black*", "pytest*", "redis"]),
    ("requirements.txt", REQUIREMENTS, ["django", "zope-interface"]),
    ("requirements-dev.txt", "tox\n", ["tox*"]),
    ("uv.lock", UV, ["click", "zope-interface"]),
    ("Cargo.lock", CARGO_LOCK, ["serde"]),
    ("Cargo.toml", CARGO, ["serde", "real-name", "proptest*", "cc*", "nix"]),
    ("package.json", json.dumps({"dependencies": {"a": "1"}, "devDependencies": {"b": "1"},
                                 "peerDependencies": {"a": "1"}}), ["a", "b*"]),
    ("package-lock.json", json.dumps(LOCK), ["a ISC", "@s/c* MIT OR Apache-2.0", "d"]),
    ("package-lock.json", json.dumps(OLD_LOCK), ["a", "b*"]),
    ("composer.lock", json.dumps(COMPOSER),
     ["a/one MIT", "a/two", "a/tests* MIT OR GPL-3.0-only"]),
    ("go.mod", GO, ["example.org/one", "example.org/two/v2", "golang.org/x/net"]),
    ("pom.xml", POM, ["org.a:one", "org.a:two*"]),
    ("Gemfile.lock", GEMS, ["rails", "rack"]),
    ("poetry.lock", "not a lock file", []),
    ("package.json", "{", []),
    ("composer.lock", '{"packages": 3}', []),
    ("README.md", "requests==2", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), NAMED)
def test_a_file_names_its_packages(name: str, text: str, expected: list[str]) -> None:
    found = dependencies_in(SourceFile(name, Path(name), text.encode()))
    assert [
        one.name + "*" * one.development + ("" if one.licence is None else f" {one.licence}")
        for one in found
    ] == expected


def test_lines_are_those_that_name_a_package() -> None:
    source = SourceFile("Cargo.lock", Path("Cargo.lock"), CARGO_LOCK.encode())
    assert [one.line for one in dependencies_in(source)] == [5]
    source = SourceFile("pom.xml", Path("pom.xml"), POM.encode())
    assert [one.line for one in dependencies_in(source)] == [5, 6]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MIT_TEXT = "Released under the MIT license.\n"
APACHE_TEXT = "Licensed under the Apache License, Version 2.0.\n"
CARGO_OF_COPY = '[package]\nname = "tiny"\nlicense = "MIT/Apache-2.0"\n'
INSTALLED = {
    "web/node_modules/a/package.json": json.dumps({"name": "a", "license": "ISC"}),
    "web/node_modules/@s/b/package.json": json.dumps({"name": "@s/b"}),
    "web/node_modules/@s/b/LICENSE": MIT_TEXT,
    "web/node_modules/see/package.json": json.dumps(
        {"name": "see", "license": "SEE LICENSE IN LICENSE"}
    ),
    "web/node_modules/see/LICENSE-MIT": MIT_TEXT,
    "web/node_modules/see/LICENSE-APACHE": APACHE_TEXT,
    "web/node_modules/nameless/package.json": "[]",
    "web/node_modules/torn/package.json": "{",
    "web/node_modules/.bin/package.json": json.dumps({"name": "bin"}),
    "env/one-1.0.dist-info/METADATA": "Name: One.Two\nLicense-Expression: BSD-3-Clause\n\nText\n",
    "env/two-1.0.egg-info/PKG-INFO": "Name: two\nLicense: UNKNOWN\n\n",
    "env/three-1.0.dist-info/METADATA": "Name: three\n\n",
    "env/three-1.0.dist-info/licenses/LICENSE": MIT_TEXT,
    "env/four-1.0.dist-info/RECORD": "",
    "env/five-1.0.dist-info/METADATA": "Version: 1\n\n",
    "vendor/tiny/Cargo.toml": CARGO_OF_COPY,
    "vendor/bare/Cargo.toml": '[package]\nname = "bare"\nlicense-file = "LICENSE"\n',
    "vendor/bare/LICENSE": MIT_TEXT,
    "vendor/members/Cargo.toml": "[workspace]\n",
    "vendor/example.org/x/net/LICENSE": MIT_TEXT,
    "vendor/example.org/x/none/a.go": "package none\n",
    ".git/node_modules/hidden/package.json": json.dumps({"name": "hidden"}),
}


def test_installed_and_copied_packages_say_their_licences(tmp_path: Path) -> None:
    write(tmp_path, INSTALLED)
    found = {
        f"{one.ecosystem}:{one.name}": (str(one.licence) if one.licence else None, one.copied)
        for one in Packages(tmp_path, late=lambda: False)
    }
    assert found == {
        "npm:a": ("ISC", False),
        "npm:@s/b": ("MIT", False),
        "npm:see": ("Apache-2.0 OR MIT", False),
        "python:one-two": ("BSD-3-Clause", False),
        "python:two": (None, False),
        "python:three": ("MIT", False),
        "rust:tiny": ("MIT OR Apache-2.0", True),
        "rust:bare": ("MIT", True),
        "go:example.org/x/net": ("MIT", True),
    }


def test_where_the_repository_itself_lies_makes_no_package_of_it(tmp_path: Path) -> None:
    root = tmp_path / "vendor/example.org/mine"
    write(root, {"part/LICENSE": MIT_TEXT})
    assert list(Packages(root, late=lambda: False)) == []


def test_a_late_search_says_that_it_is_not_whole(tmp_path: Path) -> None:
    write(tmp_path, INSTALLED)
    packages = Packages(tmp_path, late=lambda: True)
    assert list(packages) == []
    assert packages.truncated


@pytest.mark.parametrize(
    ("expression", "name", "classifiers", "expected"),
    [
        ("MIT OR ISC", "GPL", [], "MIT OR ISC"),
        (None, "Apache 2.0", ["License :: OSI Approved :: MIT License"], "Apache-2.0"),
        (None, "UNKNOWN", ["License :: OSI Approved :: MIT License"], "MIT"),
        (None, None, ["License :: OSI Approved"], None),
        (None, None, ["License :: OSI Approved :: MIT License",
                      "License :: OSI Approved :: ISC License (ISCL)"], "MIT / ISC"),
        (None, "my own terms", [], "my own terms"),
    ],
)  # fmt: skip
def test_the_metadata_of_a_distribution(
    expression: str | None, name: str | None, classifiers: list[str], expected: str | None
) -> None:
    tree = python_licence(expression, name, classifiers)
    assert (None if tree is None else str(tree)) == expected


MIT_PROJECT = {"LICENSE": MIT_TEXT}


def judged(folder: Path, files: dict[str, str], **fields: object) -> CheckOutput:
    write(folder, files)
    asked = {"repository_path": str(folder), "rules": "licenses", **fields}
    return check(CheckInput.model_validate(asked))


def told(output: CheckOutput) -> set[tuple[str, str, str]]:
    return {(one.rule, one.severity, one.file) for one in output.violations}


def lock(**licences: str) -> dict[str, str]:
    packages = {f"node_modules/{name}": {"license": text} for name, text in licences.items()}
    return {"package-lock.json": json.dumps({"packages": packages})}


def test_what_is_not_named_but_lies_there_is_a_warning_at_most(tmp_path: Path) -> None:
    there = {
        "node_modules/named/package.json": json.dumps({"name": "named", "license": "MIT"}),
        "node_modules/deep/package.json": json.dumps({"name": "deep", "license": "GPL-3.0-only"}),
    }
    output = judged(tmp_path, {**MIT_PROJECT, **lock(named="GPL-3.0-only"), **there})
    # What the package itself says counts for more than what the lock file says of it.
    assert told(output) == {("license-conflict", "warning", "node_modules/deep/package.json")}
    assert output.summary.licenses.by_license == {"MIT": 1}


def test_packages_without_a_known_licence_are_named_together(tmp_path: Path) -> None:
    names = "\n".join(f"package{number}" for number in range(10))
    output = judged(tmp_path, {**MIT_PROJECT, "requirements.txt": names})
    assert told(output) == {("license-unknown", "info", "requirements.txt")}
    assert output.violations[0].message.endswith("package7 and 2 more.")
    assert (output.summary.licenses.dependencies, output.summary.licenses.unknown) == (10, 10)


def test_the_lists_of_the_task_come_first(tmp_path: Path) -> None:
    files = {**MIT_PROJECT, **lock(a="ISC", b="Apache-2.0 OR ISC", c="ISC AND MIT")}
    conflict = "license-denied"
    output = judged(tmp_path, files, denied_licenses=["ISC"])
    assert {one.rule for one in output.violations} == {conflict}
    assert sorted(one.message.split()[0] for one in output.violations) == ["a", "c"]
    output = judged(tmp_path, {}, allowed_licenses=["MIT", "Apache-2.0"])
    assert {one.rule for one in output.violations} == {"license-not-allowed"}
    assert sorted(one.message.split()[0] for one in output.violations) == ["a", "c"]
    # What is on the list is not held against the project's own licence.
    files = lock(a="GPL-3.0-only")
    assert told(judged(tmp_path, files, allowed_licenses=["GPL-3.0-only"])) == set()


def test_how_a_package_becomes_a_part_can_be_told(tmp_path: Path) -> None:
    files = {**MIT_PROJECT, **lock(a="LGPL-3.0-only")}
    assert told(judged(tmp_path, files)) == {("license-condition", "info", "package-lock.json")}
    assert told(judged(tmp_path, {}, linking="copied")) == {
        ("license-review", "warning", "package-lock.json")
    }


def test_a_part_with_a_licence_of_its_own_is_judged_by_that(tmp_path: Path) -> None:
    part = {f"free/{name}": text for name, text in lock(a="GPL-3.0-only").items()}
    own = {"free/package.json": json.dumps({"name": "free", "license": "GPL-3.0-only"})}
    conflict = ("license-conflict", "critical", "free/package-lock.json")
    assert told(judged(tmp_path, {**MIT_PROJECT, **part})) == {conflict}
    assert conflict not in told(judged(tmp_path, own))


def test_text_of_others_in_the_repository_is_judged_as_copied(tmp_path: Path) -> None:
    copied = {"third_party/x/COPYING": "Licensed under the GNU General Public License version 3.\n"}
    output = judged(tmp_path, {**MIT_PROJECT, **copied})
    assert told(output) == {("license-conflict", "critical", "third_party/x/COPYING")}
    assert output.summary.licenses.project == "MIT"
    denied = judged(tmp_path, {}, denied_licenses=["GPL-3.0-only"])
    assert told(denied) == {("license-denied", "critical", "third_party/x/COPYING")}


def test_samples_say_nothing_of_the_project(tmp_path: Path) -> None:
    files = {
        **MIT_PROJECT,
        "examples/LICENSE": "Licensed under the GNU General Public License version 3.\n",
        "tests/package.json": json.dumps({"license": "GPL-3.0-only", "dependencies": {"a": "1"}}),
    }
    output = judged(tmp_path, files)
    assert told(output) == set()
    assert output.summary.licenses.dependencies == 0
