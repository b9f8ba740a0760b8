"""Packages, versions and advisories."""

import json
import zipfile
from pathlib import Path

import pytest

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.cvss import base_score
from penstock_agent_security_scanner.manifests import packages_of
from penstock_agent_security_scanner.models import ScanInput, ScanOutput
from penstock_agent_security_scanner.scan import scan
from penstock_agent_security_scanner.versions import sort_key

FIXTURES = Path(__file__).parents[2] / "agents/security-scanner/fixtures/advisories"


def source(name: str, text: str) -> SourceFile:
    return SourceFile(name, Path(name), text.encode())


def listed(name: str, text: str) -> list[tuple[str, str | None, bool, int]]:
    return [(p.name, p.version, p.pinned, p.line) for p in packages_of(source(name, text))]


def run(folder: Path, advisories: Path | None, scan_type: str = "dependencies") -> ScanOutput:
    path = str(advisories) if advisories else None
    fields = {"repository_path": str(folder), "scan_type": scan_type, "advisory_path": path}
    return scan(ScanInput.model_validate(fields))


def advisory(identity: str = "GHSA-x", name: str = "demo", **extra: object) -> dict[str, object]:
    events = [{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"}]
    return {
        "id": identity,
        "summary": "bad",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
        **extra,
    }


def test_requirement_files() -> None:
    text = (
        "# comment\n-r other.txt\nDjango==4.2.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "flask>=2,<3 ; python_version > '3'  # why\nuvicorn[standard]\n"
        "thing @ https://example.org/thing.zip\nnot a requirement !!\n"
    )
    assert listed("requirements-dev.txt", text) == [
        ("django", "4.2.1", True, 3),
        ("flask", "2", False, 6),
        ("uvicorn", None, False, 7),
    ]


def test_pyproject_and_poetry() -> None:
    text = (
        '[project]\nname = "x"\ndependencies = [\n  "requests>=2.19",\n]\n'
        '[dependency-groups]\ndev = ["pytest==8.0", {include-group = "x"}]\n'
        '[tool.poetry.dependencies]\npython = "^3.11"\njinja2 = "^2.10"\n'
    )
    assert listed("pyproject.toml", text) == [
        ("requests", "2.19", False, 4),
        ("pytest", "8.0", True, 7),
        ("jinja2", "2.10", False, 10),
    ]


def test_npm_files() -> None:
    package = '{"dependencies": {"lodash": "^4.17.0", "x": "1.2.3", "y": "github:a/b"}}'
    assert listed("package.json", package) == [
        ("lodash", "4.17.0", False, 1),
        ("x", "1.2.3", True, 1),
        ("y", None, False, 1),
    ]
    lock = {"packages": {"": {}, "node_modules/a/node_modules/@s/b": {"version": "1.0.0"}}}
    assert listed("package-lock.json", json.dumps(lock)) == [("@s/b", "1.0.0", True, 1)]
    old = {"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}
    assert [p[0] for p in listed("package-lock.json", json.dumps(old))] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", "{"),
        ("package.json", "[]"),
        ("package.json", '{"dependencies": []}'),
        ("pyproject.toml", "= ="),
        ("poetry.lock", "package = [1]"),
    ],
)
def test_malformed_manifests_make_the_check_partial(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whatever is malformed)
        packages_of(source(name, text))
    (tmp_path / name).write_text(text)
    output = run(tmp_path, FIXTURES)
    assert (output.summary.dependencies.status, output.passed) == ("partial", False)


@pytest.mark.parametrize(
    ("ecosystem", "ordered"),
    [
        ("PyPI", ["1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1!0.1"]),
        ("npm", ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-b.2", "1.0.0-b.11", "1.0.0", "1.9.1"]),
    ],
)  # fmt: skip
def test_versions_are_ordered_by_their_ecosystem(ecosystem: str, ordered: list[str]) -> None:
    keys = [sort_key(ecosystem, version) for version in ordered]
    known = [key for key in keys if key is not None]
    assert known == keys
    assert known == sorted(known)
    assert sort_key(ecosystem, "not a version") is None


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N", None),
        ("", None),
    ],
)
def test_cvss_scores(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


@pytest.mark.parametrize(
    ("version", "hit", "advice"),
    [
        ("0.9", False, ""),
        ("1.0", True, "Upgrade demo to 1.5 or later."),
        ("1.5", False, ""),
        ("2.1", True, "No fixed version of demo is known; replace it or contain it."),
    ],
)
def test_ranges_with_gaps(tmp_path: Path, version: str, hit: bool, advice: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"Demo=={version}\n")
    snapshot = tmp_path / "advisories"
    snapshot.mkdir()
    (snapshot / "a.json").write_text(json.dumps(advisory()))
    output = run(tmp_path, snapshot)
    assert [finding.suggestion for finding in output.findings] == ([advice] if hit else [])
    assert output.summary.dependencies.status == ("failed" if hit else "passed")
    assert output.passed is not hit


def test_archives_aliases_and_withdrawn_advisories(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("demo==1.2\n")
    snapshot = tmp_path / "advisories"
    snapshot.mkdir()
    with zipfile.ZipFile(snapshot / "all.zip", "w") as archive:
        archive.writestr("1.json", json.dumps(advisory("PYSEC-1", aliases=["CVE-1"])))
        graded = advisory(
            "GHSA-1",
            aliases=["CVE-1"],
            database_specific={"severity": "MODERATE", "cwe_ids": ["CWE-79"]},
        )
        archive.writestr("2.json", json.dumps(graded))
        archive.writestr("3.json", json.dumps(advisory("GHSA-2", withdrawn="2026-01-01T00:00:00Z")))
        archive.writestr("4.json", json.dumps(advisory("GHSA-3", name="other")))
    output = run(tmp_path, snapshot)
    assert [(f.rule, f.severity, f.cwe, f.line) for f in output.findings] == [
        ("dependency:GHSA-1", "medium", "CWE-79", 1)
    ]
    assert output.summary.dependencies.advisories == 4


@pytest.mark.parametrize("snapshot", [None, "empty", "absent", "broken"])
def test_without_a_snapshot_dependencies_are_not_checked_and_nothing_passes(
    tmp_path: Path, snapshot: str | None
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "requirements.txt").write_text("demo==1.2\n")
    folder = tmp_path / snapshot if snapshot else None
    if snapshot in ("empty", "broken") and folder is not None:
        folder.mkdir()
    if snapshot == "broken" and folder is not None:
        (folder / "all.zip").write_bytes(b"not a zip")
    output = run(repository, folder, "all")
    assert output.summary.dependencies.status == "not_checked"
    assert output.summary.code.status == "not_applicable"
    assert output.summary.secrets.status == "passed"
    assert output.passed is False


def test_packages_without_a_version_make_it_partial(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("demo\n")
    output = run(tmp_path, FIXTURES)
    assert output.summary.dependencies.status == "partial"
    assert output.summary.dependencies.without_version == 1


def test_the_sample_snapshot(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("PyYAML==5.3\nrequests>=2.19\n")
    (tmp_path / "package.json").write_text('{"dependencies": {"lodash": "4.17.20"}}')
    output = run(tmp_path, FIXTURES)
    assert [(f.rule, f.severity) for f in output.findings] == [
        ("dependency:CVE-2020-14343", "critical"),
        ("dependency:CVE-2021-23337", "high"),
        ("dependency:CVE-2018-18074", "high"),
    ]
