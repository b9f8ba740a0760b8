"""The code reviewer on real repositories: git, hostile configuration, the sandbox, the corpus."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from penstock_agent_code_reviewer.models import RANK, ReviewInput, ReviewOutput
from penstock_agent_code_reviewer.review import reviewed
from penstock_agent_sdk import AgentError
from penstock_contracts.agent.v1 import AgentManifest
from penstock_runtime.ports.sandbox import Limits, Mount, SandboxSpec
from penstock_testkit.quality.cases import Case
from penstock_testkit.quality.corpus import load_corpus, load_values
from penstock_testkit.sandbox_probes import Log
from penstock_testkit.sandboxes import opened_bubblewrap

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "agents"
QUALITY = ROOT / "tests/quality"
GIT_TIMEOUT_S = 30.0
MIB = 1024 * 1024
LIMITS = Limits(
    memory_bytes=1024 * MIB,
    processes=64,
    cpu_s=60,
    wall_s=60,
    output_bytes=64 * 1024,
    log_bytes=256 * 1024,
    disk_bytes=128 * MIB,
)
BUDGET_S = 30.0  # for ten files; alone on a machine it is below two


def git(folder: Path, *command: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost", "-c", "init.defaultBranch=main")
    ended = subprocess.run(
        ["git", *who, *command],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
    )
    return ended.stdout.strip()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "a shop"
    folder.mkdir()
    git(folder, "init", "-q")
    write(
        folder,
        {
            "shop/orders.py": "import json\n\n\ndef dump(order):\n    return json.dumps(order)\n",
            "shop/old.py": "def f(a=[]):\n    a.append(1)\n    return a\n",
            "tests/test_orders.py": "def test_nothing():\n    assert 1 + 1 == 2\n",
        },
    )
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def run(folder: Path, **fields: object) -> ReviewOutput:
    return reviewed(ReviewInput.model_validate({"repository_path": str(folder), **fields}))


def places(output: ReviewOutput) -> set[tuple[str, str, int]]:
    return {(issue.rule, issue.file, issue.line) for issue in output.issues}


def test_only_what_a_change_brought_is_reported(shop: Path) -> None:
    text = "def f(a=[]):\n    a.append(1)\n    return a\n\n\n"
    text += "def g(b=[]):\n    b.append(1)\n    return b\n"
    write(shop, {"shop/old.py": text})
    output = run(shop, baseline="HEAD")
    assert ("mutable-default", "shop/old.py", 6) in places(output)
    assert ("mutable-default", "shop/old.py", 1) not in places(output)
    assert output.summary.compared_with == git(shop, "rev-parse", "HEAD")
    assert output.summary.files.reviewed == 1


def test_what_a_removed_line_breaks_is_reported_where_it_breaks(shop: Path) -> None:
    write(shop, {"shop/orders.py": "def dump(order):\n    return json.dumps(order)\n"})
    assert ("undefined-name", "shop/orders.py", 2) in places(run(shop, baseline="HEAD"))


def test_later_work_on_the_baseline_is_nobodys_change(shop: Path) -> None:
    git(shop, "checkout", "-qb", "topic")
    write(shop, {"shop/new.py": "def f():\n    return undefined_here\n"})
    git(shop, "add", "-A")
    git(shop, "commit", "-qm", "topic")
    git(shop, "checkout", "-q", "main")
    write(shop, {"shop/old.py": "def f():\n    return 1\n"})
    git(shop, "commit", "-qam", "later")
    output = run(shop, baseline="main", revision="topic")
    assert {issue.file for issue in output.issues} == {"shop/new.py"}


def test_without_git_whole_files_are_reviewed(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "def f(a=[]):\n    a.append(1)\n", "b.py": "x = y\n"})
    output = run(tmp_path, baseline="main", changed_files=["a.py", "gone.py"])
    assert {issue.file for issue in output.issues} == {"a.py"}
    assert (output.summary.comparison, output.summary.compared_with) == ("none", None)
    assert "no git repository" in output.summary.note
    assert output.summary.files.skipped["not_found"] == 1


def test_an_unknown_baseline_is_said_and_an_unknown_revision_refused(shop: Path) -> None:
    assert "no commit" in run(shop, baseline="nowhere").summary.note
    with pytest.raises(AgentError, match="no_revision"):
        run(shop, revision="nowhere")


def test_changed_code_without_changed_tests(shop: Path) -> None:
    body = "".join(f"    order['{n}'] = load_part({n})\n" for n in range(10))
    write(shop, {"shop/new.py": f"def fill(order, load_part):\n{body}"})
    assert "changed-without-tests" in {issue.rule for issue in run(shop, baseline="HEAD").issues}
    write(shop, {"tests/test_new.py": "def test_fill():\n    assert fill({}, str)\n"})
    rules = {issue.rule for issue in run(shop, baseline="HEAD").issues}
    assert "changed-without-tests" not in rules


def test_coverage_of_changed_lines(shop: Path) -> None:
    write(shop, {"shop/orders.py": "def a(x):\n    return x\n\n\ndef b(x):\n    return x\n"})
    lines = {"executed_lines": [1, 2, 5], "missing_lines": [6]}
    write(shop, {"coverage.json": json.dumps({"files": {"shop/orders.py": lines}})})
    output = run(shop, baseline="HEAD")
    assert output.metrics.test_coverage == 75.0
    assert ("not-covered", "shop/orders.py", 6) in places(output)


def test_suppressions_and_baseline_hide_and_are_counted(shop: Path, tmp_path: Path) -> None:
    bad = "def f(a=[]):{}\n    a.append(1)\n    return a\n"
    write(shop, {"a.py": bad.format("  # penstock: ignore[mutable-default] -- shared on purpose")})
    output = run(shop, changed_files=["a.py"])
    assert (output.score, output.issues, output.summary.suppressed) == (100, [], 1)
    write(shop, {"a.py": bad.format("")})
    output = run(shop, changed_files=["a.py"])
    known = tmp_path / "known.json"
    known.write_text(output.model_dump_json())
    again = run(shop, changed_files=["a.py"], baseline_path=str(known))
    assert (again.issues, again.summary.baselined) == ([], 1)
    moved = "\n\n\n" + bad.format("")
    write(shop, {"a.py": moved})
    assert run(shop, changed_files=["a.py"], baseline_path=str(known)).issues == []


def test_sarif_has_everything(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", str(tmp_path))
    output = run(shop)
    document = json.loads((tmp_path / "code-reviewer.sarif").read_text())
    results = document["runs"][0]["results"]
    assert len(results) == len(output.issues) > 0


def test_a_hostile_repository_runs_nothing(shop: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for name, value in (
        ("core.fsmonitor", f"touch {trap}"),
        ("core.pager", f"touch {trap}"),
        ("filter.x.clean", f"touch {trap}; cat"),
        ("filter.x.smudge", f"touch {trap}; cat"),
        ("diff.x.textconv", f"touch {trap}; cat"),
        ("diff.external", f"touch {trap}"),
        ("alias.rev-parse", f"!touch {trap}"),
        ("core.sshCommand", f"touch {trap}"),
    ):
        git(shop, "config", name, value)
    write(shop, {".gitattributes": "*.py filter=x diff=x\n"})
    write(shop, {"ruff.toml": "lint.select = []\n", "shop/orders.py": "x = undefined_here\n"})
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        (shop / ".git/hooks").mkdir(exist_ok=True)
        (shop / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {trap}\n")
        (shop / ".git/hooks" / hook).chmod(0o755)
    (shop / "link.py").symlink_to("/etc/passwd")
    output = run(shop, baseline="HEAD")
    assert ("undefined-name", "shop/orders.py", 1) in places(output)
    assert "link.py" not in {issue.file for issue in output.issues}
    assert not trap.exists()


HOSTILE = {
    "deep.py": "x = " + "(" * 5_000 + ")" * 5_000 + "\n",
    "nested.py": "".join(f"{' ' * n}if x:\n" for n in range(90)) + " " * 90 + "x()\n",
    "wide.py": "x = [" + "1," * 200_000 + "]\n",
    "long.js": "if (" + "a && " * 50_000 + "b) {}\n",
    "braces.go": "package a\nfunc f() {" + "{" * 20_000 + "\n",
    "quotes.js": "const a = '" + "\\'" * 100_000 + "\n",
    "loops.java": "class A { void f() {" + "for (;;) {" * 3_000 + "\n",
    "null.py": "x = 1\n\0\n",
    "bytes.py": "\udcff\udcfe = 1\n",
    "empty.py": "",
    "coverage.xml": "<class filename=" * 50_000,
}


@pytest.mark.slow
def test_a_hostile_text_costs_bounded_time(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, text in HOSTILE.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    given, made = tmp_path / "input.json", tmp_path / "output.json"
    given.write_text(json.dumps({"repository_path": str(folder)}))
    # A process of its own: what ends a slow file may end coverage's own code, its lock held.
    subprocess.run(
        [sys.executable, "-m", "penstock_agent_code_reviewer"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PENSTOCK_INPUT": str(given),
            "PENSTOCK_OUTPUT": str(made),
        },
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=110,
    )
    assert made.stat().st_size < 64 * 1024


def test_late_files_are_counted(shop: Path) -> None:
    ticks = iter(range(0, 100_000, 50))
    task = ReviewInput(repository_path=str(shop))
    output = reviewed(task, clock=lambda: float(next(ticks)))
    assert output.summary.status == "partial"
    assert output.summary.files.skipped["deadline"] == 3


def test_the_manifest_fits_the_contract_and_the_output() -> None:
    declared = YAML(typ="safe").load((AGENTS / "code-reviewer/agent.yaml").read_text())
    assert AgentManifest.model_validate(declared).name == "code-reviewer"
    output = run(AGENTS / "code-reviewer/fixtures/shop")
    jsonschema.Draft202012Validator(declared["output"]).validate(output.model_dump(mode="json"))
    given = json.loads((AGENTS / "code-reviewer/fixtures/input.json").read_text())
    jsonschema.Draft202012Validator(declared["input"]).validate(given)


@pytest.mark.real
async def test_ten_files_in_the_sandbox(shop: Path, tmp_path: Path) -> None:
    body = "".join(
        f"def part_{n}(values):\n    return [value + {n} for value in values]\n\n\n"
        for n in range(60)
    )
    write(shop, {f"shop/part_{n}.py": f"import os\n\n\n{body}x = missing_{n}\n" for n in range(9)})
    write(shop, {"shop/page.js": "function f(a) {\n  return a === NaN\n}\n"})
    inside = "/penstock/repository_path"
    given = {"repository_path": inside, "baseline": "HEAD"}
    command = ("python", "-m", "penstock_agent_code_reviewer")
    spec = SandboxSpec(
        "review",
        AGENTS / "code-reviewer",
        command,
        json.dumps(given).encode(),
        LIMITS,
        mounts=(Mount(shop, inside),),
    )
    log = Log()
    async with opened_bubblewrap(tmp_path / "scratch", readable=[AGENTS / "sdk"]) as sandbox:
        started = time.monotonic()
        result = await sandbox.run(spec, log)
        took = time.monotonic() - started
    assert result.exit_code == 0, (result, log.lines)
    output: dict[str, Any] = json.loads(result.output or b"")
    severe = {
        (one["file"], one["rule"]) for one in output["issues"] if one["severity"] == "critical"
    }
    expected = {(f"shop/part_{n}.py", "undefined-name") for n in range(9)}
    assert severe == {*expected, ("shop/page.js", "compares-with-nan")}
    assert output["summary"]["status"] == "done", output["summary"]
    assert took < BUDGET_S


@pytest.fixture(scope="module")
def corpus() -> tuple[Case, ...]:
    return load_corpus(QUALITY / "corpus", "reviewer", load_values(QUALITY / "values.yaml")).cases


def answers(case: Case, folder: Path) -> ReviewOutput:
    fields: dict[str, object] = dict(case.input)
    if case.before:
        git(folder, "init", "-q")
        write(folder, dict(case.before))
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "before")
        fields["baseline"] = "HEAD"
    write(folder, dict(case.files))
    return run(folder, **fields)


def test_seeded_defects_are_found_and_clean_changes_stay_quiet(
    corpus: tuple[Case, ...], tmp_path: Path
) -> None:
    assert len(corpus) >= 80
    true = false = found = wanted = 0
    for number, case in enumerate(corpus):
        folder = tmp_path / str(number)
        folder.mkdir()
        output = answers(case, folder)
        labelled = {(label.file, label.line) for label in case.labels}
        lines = {(issue.file, issue.line) for issue in output.issues}
        severe = [issue for issue in output.issues if RANK[issue.severity] <= RANK["critical"]]
        hits = sum((issue.file, issue.line) in labelled for issue in severe)
        true, false = true + hits, false + len(severe) - hits
        wanted += len(case.wanted)
        found += sum((label.file, label.line) in lines for label in case.wanted)
    assert true / (true + false) >= 0.95
    assert found / wanted >= 0.95
