"""The compliance checker as a whole: input, output, bounds, what hides violations."""

import json
from pathlib import Path

import pytest

from penstock_agent_compliance_checker.models import CheckInput, CheckOutput
from penstock_agent_compliance_checker.scan import check
from penstock_agent_sdk import AgentError

FIXTURES = Path(__file__).parents[2] / "agents/compliance-checker/fixtures"


def run(folder: Path, **fields: object) -> CheckOutput:
    return check(CheckInput.model_validate({"repository_path": str(folder), **fields}))


def rules(output: CheckOutput) -> set[str]:
    return {one.rule for one in output.violations}


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_sample_shop(tmp_path: Path) -> None:
    output = run(FIXTURES / "shop")
    assert output.passed is False
    assert output.summary.licenses.project == "MIT"
    assert {
        "license-missing",
        "license-unknown",
        "security-header-csp:missing",
        "security-header-frame-options:weak",
        "security-header-hsts:missing",
    } <= rules(output)


def test_an_empty_repository_passes_and_a_missing_one_fails(tmp_path: Path) -> None:
    output = run(tmp_path)
    assert output.passed is True
    with pytest.raises(AgentError, match="no_repository"):
        run(tmp_path / "none")


def test_only_what_is_asked_for_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("password = 'kq8!vR2m#Lp9'\n")
    output = run(tmp_path, rules="licenses")
    assert rules(output) == {"license-missing"}
    assert output.summary.secrets.status == "not_requested"
    assert rules(run(tmp_path, rules=["secrets"])) == {"secret:hard-coded"}


def test_the_bar_decides(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname='a'\nlicense='MIT'\n")
    output = run(tmp_path, rules="licenses")
    assert [one.severity for one in output.violations] == ["warning"]
    assert output.passed is False
    assert run(tmp_path, rules="licenses", failOn="critical").passed is True


def test_a_comment_with_a_reason_hides_and_is_counted(tmp_path: Path) -> None:
    secret = "password = 'kq8!vR2m#Lp9'"
    comment = "# penstock: ignore[secret:*] -- the value of the public demo"
    (tmp_path / "a.py").write_text(f"{secret}  {comment}\n")
    output = run(tmp_path, rules="secrets")
    assert output.passed is True
    assert output.summary.suppressed == 1
    assert run(tmp_path, rules="secrets", suppressions="none").passed is False


def test_a_baseline_hides_what_was_known(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("password = 'kq8!vR2m#Lp9'\n")
    before = run(tmp_path, rules="secrets")
    (tmp_path / "before.json").write_text(before.model_dump_json())
    (tmp_path / "a.py").write_text("\n\npassword = 'kq8!vR2m#Lp9'\ntoken = 'Zr4%tT81bQx0'\n")
    output = run(tmp_path, rules="secrets", baseline_path="before.json")
    assert [one.line for one in output.violations] == [4]
    assert output.summary.baselined == 1


def test_changed_files_only(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("password = 'kq8!vR2m#Lp9'\n")
    (tmp_path / "b.py").write_text("password = 'kq8!vR2m#Lp9'\n")
    output = run(tmp_path, changedFiles=["b.py"])
    assert {one.file for one in output.violations} == {"b.py"}


def test_sarif_has_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/a.py").write_text("password = 'kq8!vR2m#Lp9'\n")
    output = run(tmp_path / "repository", rules="secrets")
    sarif = json.loads((tmp_path / "artifacts/compliance-checker.sarif").read_text())
    result = sarif["runs"][0]["results"][0]
    assert result["ruleId"] == "secret:hard-coded"
    assert result["partialFingerprints"]["penstock/v1"] == output.violations[0].fingerprint


def test_a_late_check_says_so_and_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    times = iter([0.0, *[1_000.0] * 20])
    task = CheckInput(repository_path=str(tmp_path), rules=("secrets",))
    output = check(task, clock=lambda: next(times))
    assert output.summary.secrets.status == "partial"
    assert output.summary.files.skipped == {"deadline": 1}
    assert output.passed is False


def test_output_is_bounded_and_says_what_is_missing(tmp_path: Path) -> None:
    for number in range(40):
        text = "\n".join(f"password = 'kq8!vR2m#Lp9{line}'" for line in range(50))
        (tmp_path / f"{'long_name_' * 10}{number}.py").write_text(text)
    output = run(tmp_path, rules="secrets")
    assert len(output.model_dump_json().encode()) < 60 * 1024
    assert output.summary.total["critical"] == 2_000
    assert output.summary.omitted["critical"] == 2_000 - len(output.violations)
    assert "kq8" not in output.model_dump_json()
