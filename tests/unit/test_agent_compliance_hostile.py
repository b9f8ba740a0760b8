"""What a repository made to harm the compliance checker can cost it, and what it gets to see."""

import json
import time
from pathlib import Path

import pytest

from penstock_agent_compliance_checker.expressions import parse, strict
from penstock_agent_compliance_checker.licence_files import read_licence
from penstock_agent_compliance_checker.markup import element_texts
from penstock_agent_compliance_checker.models import CheckInput
from penstock_agent_compliance_checker.scan import check
from penstock_agent_compliance_checker.trees import Unknown

# Generous: the point is that cost does not explode, on a machine that does other things too.
BOUND_S = 20.0


def took(folder: Path) -> float:
    started = time.process_time()
    check(CheckInput(repository_path=str(folder)))
    return time.process_time() - started


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LICENSE", "permission is hereby granted " * 12_000),
        ("LICENSE", "the " * 200_000),
        ("LICENSE", "<" * 300_000),
        ("LICENSE", "[" * 200_000 + "](" * 50_000),
        ("nginx.conf", "server {" * 50_000),
        ("app.js", "helmet(" * 30_000),
        ("app.py", "from flask import Flask\nTalisman(" * 5_000),
        ("web.config", "<a>" * 100_000),
        ("package.json", "[" * 100_000),
        ("package.json", '{"license": "' + "(" * 3_000 + '"}'),
        ("Cargo.toml", "a." * 50_000 + "b = 1"),
        (".env", "PASSWORD=" + "a" * 500_000),
        ("a.py", "password = '" * 20_000),
        ("a.yml", " " * 400_000 + "password:"),
        ("a.conf", "Header set " * 40_000),
    ],
)
def test_cost_is_bounded(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert took(tmp_path) < BOUND_S


def test_links_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "package.json").write_text('{"name": "moss", "license": "GPL-3.0-only"}')
    repository = tmp_path / "repository"
    (repository / "node_modules").mkdir(parents=True)
    (repository / "node_modules/moss").symlink_to(outside)
    (repository / "LICENSE").symlink_to("/etc/hostname")
    (repository / "package.json").write_text('{"license": "MIT", "dependencies": {"moss": "1"}}')
    output = check(CheckInput(repository_path=str(repository), rules=("licenses",)))
    assert {one.rule for one in output.violations} == {"license-missing", "license-unknown"}


def test_entities_are_not_resolved() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c SYSTEM "file:///etc/passwd">]><a>&c;&b;</a>'
    assert [text for _, text, _ in element_texts(bomb)] == ["&c;&b;"]


def test_expressions_of_any_depth() -> None:
    assert str(parse("(" * 200 + "MIT" + ")" * 200)) == "MIT"
    assert isinstance(parse("(" * 5_000 + "MIT"), Unknown)
    assert strict("MIT OR " * 300 + "MIT")[0] is not None


def test_broken_manifests_are_no_crash(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "Cargo.toml", "package-lock.json", "composer.lock", "pom.xml"):
        (tmp_path / name).write_text("\x01 {{ not [ valid")
    (tmp_path / "package.json").write_text(json.dumps({"license": 7, "dependencies": [1]}))
    (tmp_path / "vercel.json").write_text("[1, 2")
    (tmp_path / "netlify.toml").write_text("a = ")
    assert check(CheckInput(repository_path=str(tmp_path))).summary.files.scanned == 8


def test_nothing_of_the_repository_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for name in ("setup.py", "conftest.py", "settings.py"):
        (tmp_path / name).write_text(f"MIDDLEWARE = []\nopen({str(marker)!r}, 'w')\n")
    check(CheckInput(repository_path=str(tmp_path)))
    assert not marker.exists()


def test_a_secret_is_in_no_message(tmp_path: Path) -> None:
    value = "kq8vR2mLp9xTw4"
    (tmp_path / ".env").write_text(f"DB_PASSWORD={value}\n")
    (tmp_path / "a.py").write_text(f"URL = 'postgres://shop:{value}@db.example.org/x'\n")
    output = check(CheckInput(repository_path=str(tmp_path), rules=("secrets",)))
    assert len(output.violations) == 2
    assert value not in output.model_dump_json()


def test_a_licence_of_binary_noise_is_unrecognised() -> None:
    assert read_licence("LICENSE", "\x00\x7f\ufffd" * 1_000).tree is None
