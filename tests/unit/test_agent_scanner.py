"""The security scanner on known answers, and the rules around its findings."""

import importlib.util
import json
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock_agent_sdk import AgentError
from penstock_agent_sdk.findings import Baseline, Sieve
from penstock_agent_security_scanner.models import Finding, ScanInput, ScanOutput
from penstock_agent_security_scanner.report import build_report
from penstock_agent_security_scanner.scan import scan

ROOT = Path(__file__).parents[2]


def _loader() -> ModuleType:
    path = ROOT / "agents/security-scanner/fixtures/loader.py"
    spec = importlib.util.spec_from_file_location("scanner_fixture_loader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LOADER = _loader()
CASES = LOADER.load_cases()
Scanned = tuple[dict[str, list[Finding]], ScanOutput]


def run(folder: Path, **fields: object) -> ScanOutput:
    return scan(ScanInput.model_validate({"repository_path": str(folder), **fields}))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    folder = tmp_path_factory.mktemp("cases")
    written = LOADER.write_cases(CASES, folder)
    output = run(folder, scan_type=["code", "secrets"])
    found = defaultdict(list)
    for finding in output.findings:
        found[finding.file].append(finding)
    return {case.name: found[file] for file, case in written.items()}, output


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_known_answers(scanned: Scanned, case: Any) -> None:
    findings, _ = scanned
    found = {(finding.line, finding.cwe) for finding in findings[case.name]}
    for line, cwes in case.expected.items():
        assert any((line, cwe) in found for cwe in cwes), f"line {line} was missed"
    false = [pair for pair in found if pair[1] not in case.expected.get(pair[0], ())]
    assert false == []


def test_no_secret_is_ever_printed(scanned: Scanned) -> None:
    _, output = scanned
    text = output.model_dump_json()
    assert [name for name, value in LOADER.credentials().items() if value in text] == []


def test_output_is_bounded_and_says_what_is_missing(tmp_path: Path) -> None:
    for number in range(40):
        lines = "\n".join("import pickle; pickle.loads(x())" for _ in range(40))
        (tmp_path / f"{'long_name_' * 10}{number}.py").write_text(lines)
    (tmp_path / "worst.pem").write_text(LOADER.credentials()["pem_begin"] + "\n")
    output = run(tmp_path, scan_type=["code", "secrets"])
    assert len(output.model_dump_json().encode()) < 60 * 1024
    assert output.findings[0].severity == "critical"
    assert output.summary.total["high"] == 1_600
    assert output.summary.omitted["high"] == 1_601 - len(output.findings)
    assert not output.passed


def test_threshold_decides_what_is_listed_and_what_fails(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import hashlib\nhashlib.md5(b'')\nimport pickle\npickle.loads(input())\n"
    )
    low = run(tmp_path, scan_type="code", severity_threshold="low")
    critical = run(tmp_path, scan_type="code", severityThreshold="critical")
    assert {finding.line for finding in low.findings} == {2, 4}
    assert low.passed is False
    assert critical.findings == []
    assert critical.summary.below_threshold["high"] == 1
    assert critical.passed is True


def test_only_reasoned_comments_hide_findings(tmp_path: Path) -> None:
    (tmp_path / ".bandit").write_text("[bandit]\nskips: B301\nexclude: /\n")
    (tmp_path / "pyproject.toml").write_text("[tool.bandit]\nskips = ['B301']\n")
    reasoned = "# penstock: ignore[unsafe-deserialisation] until 2026-12-31 -- our own file"
    (tmp_path / "a.py").write_text(
        "import pickle\npickle.loads(input())  # nosec\n"
        f"{reasoned}\npickle.loads(input(1))\n"
        "pickle.loads(input(2))  # penstock: ignore[unsafe-deserialisation]\n"
    )
    output = run(tmp_path, scan_type="code")
    assert [finding.line for finding in output.findings] == [2, 5]
    assert (output.summary.suppressed, output.summary.baselined) == (1, 0)
    assert [fault.partition(": ")[0] for fault in output.summary.suppression_faults] == ["a.py:5"]
    later = scan(ScanInput(repository_path=str(tmp_path)), today=date(2027, 1, 1))
    assert [finding.line for finding in later.findings] == [2, 4, 5]
    nobody = run(tmp_path, scan_type="code", suppressions="none")
    assert [finding.line for finding in nobody.findings] == [2, 4, 5]
    everybody = run(tmp_path, scan_type="code", suppressions="all")
    assert [finding.line for finding in everybody.findings] == [5]


def test_a_baseline_hides_what_was_known_wherever_it_moved(tmp_path: Path) -> None:
    code = tmp_path / "a.py"
    code.write_text("import pickle\npickle.loads(input())\n")
    before = run(tmp_path, scan_type="code")
    (tmp_path / "known.json").write_text(before.model_dump_json())
    code.write_text("import pickle\n\n\npickle.loads(input())\neval(input())\n")
    after = run(tmp_path, scan_type="code", baselinePath="known.json")
    assert [(finding.rule, finding.line) for finding in after.findings] == [("code-injection", 5)]
    assert after.summary.baselined == 1
    with pytest.raises(AgentError, match="no such file"):
        run(tmp_path, baseline_path="absent.json")


def test_everything_is_in_the_sarif_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, artifacts = tmp_path / "repository", tmp_path / "artifacts"
    repository.mkdir()
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", str(artifacts))
    hidden = "  # penstock: ignore[unsafe-deserialisation] -- ours\n"
    (repository / "a.py").write_text(f"import pickle\npickle.loads(input()){hidden}eval(input())\n")
    run(repository, scan_type="code", severity_threshold="critical")
    document = json.loads((artifacts / "security-scanner.sarif").read_text())
    results = {result["ruleId"]: result for result in document["runs"][0]["results"]}
    assert results["code-injection"]["suppressions"] == []
    assert results["unsafe-deserialisation"]["suppressions"][0]["kind"] == "inSource"
    assert len(results["code-injection"]["partialFingerprints"]["penstock/v1"]) == 32


def test_only_changed_files_are_looked_at(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "folder/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import pickle\npickle.loads(input())\n")
    output = run(tmp_path, scan_type="code", changedFiles=["folder/c.py", "gone.py"])
    assert [finding.file for finding in output.findings] == ["folder/c.py"]
    assert output.summary.files.scanned == 1


def test_what_is_not_read_is_counted(tmp_path: Path) -> None:
    bad = "import pickle\npickle.loads(input())\n"
    for folder in (".git", "node_modules", "env"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(bad)
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "big.py").write_text(bad + "#" * 1_000_001)
    (tmp_path / "blob.txt").write_bytes(b"a\0b")
    (tmp_path / "image.png").write_bytes(b"png")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "link.py").symlink_to("/etc/hostname")
    output = run(tmp_path, scan_type="code")
    assert output.findings == []
    assert output.summary.files.skipped == {
        "excluded_folder": 3,
        "too_large": 1,
        "binary": 2,
        "link": 1,
        "not_parsed": 1,
    }


def test_a_late_scan_says_so_and_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    times = iter([0.0, *[1_000.0] * 10])
    task = ScanInput(repository_path=str(tmp_path), scan_type=("code",))
    output = scan(task, clock=lambda: next(times))
    assert output.summary.code.status == "partial"
    assert output.summary.files.skipped == {"deadline": 1}
    assert output.passed is False


def test_scanned_code_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "conftest.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "setup.py").write_text(f"open({str(marker)!r}, 'w')\n")
    run(tmp_path)
    assert not marker.exists()
    assert "Traceback" not in capsys.readouterr().out


def test_an_empty_repository_passes_and_a_missing_one_fails(tmp_path: Path) -> None:
    output = run(tmp_path)
    assert output.passed is True
    assert output.summary.dependencies.status == "not_applicable"
    with pytest.raises(AgentError, match="not a folder"):
        run(tmp_path / "absent")


def test_duplicates_collapse_to_the_most_severe() -> None:
    def finding(rule: str, severity: str, cwe: str = "CWE-1") -> Finding:
        return Finding.model_validate(
            {"rule": rule, "severity": severity, "file": "a", "line": 1, "message": "m",
             "cwe": cwe, "suggestion": "s"}
        )  # fmt: skip

    report = build_report(
        findings=[
            finding("one", "medium"),
            finding("two", "high"),
            finding("dependency:A", "low"),
            finding("dependency:B", "low"),
        ],
        threshold="low",
        sieve=Sieve("own", Baseline(), lambda _file: []),
        today=date(2026, 11, 21),
    )
    assert [item.rule for item in report.listed] == ["two", "dependency:A", "dependency:B"]


def test_the_order_is_stable(scanned: Scanned) -> None:
    _, output = scanned
    again = [finding.model_dump() for finding in output.findings]
    ranks = ["critical", "high", "medium", "low"]
    assert again == sorted(
        again, key=lambda f: (ranks.index(f["severity"]), f["file"], f["line"], f["rule"])
    )
    assert json.loads(output.model_dump_json())["findings"] == again
