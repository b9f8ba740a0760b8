"""What a hostile or odd repository costs the scanner, and what it still finds there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from penstock_agent_security_scanner.models import ScanInput, ScanOutput
from penstock_agent_security_scanner.python_files import PythonScanner
from penstock_agent_security_scanner.scan import scan
from penstock_agent_security_scanner.taint.patterns import is_slow
from penstock_agent_security_scanner.workers import Workers, batched

WITHIN_S = 20
CHAIN = "".join(
    f"def f{i}(x):\n  return f{i + 1}(x + 'a') + f{i + 1}(x + 'b')\n" for i in range(40)
)
PROGRAMS = {
    "a long sum": "x = " + " + ".join(["a"] * 3_000),
    "a long path of attributes": "x = a" + ".b" * 900,
    "nested calls": "x = " + "f(" * 150 + ")" * 150,
    "nested conditions": "\n".join(" " * i + "if a:" for i in range(90)) + "\n" + " " * 90 + "pass",
    "nested loops": "\n".join(" " * i + "for x in y:" for i in range(18))
    + "\n"
    + " " * 18
    + "f(x)",
    "functions in a circle": "def f(x):\n  return g(x)\ndef g(x):\n  return f(x)\neval(f(input()))",
    "calls that double": CHAIN + "def f40(x): return eval(x)\nf0(input())",
    "two thousand branches": "def f(a):\n"
    + "".join(f"  if a[{i}]: x = a[{i}]\n  else: y = a\n" for i in range(2_000))
    + "  eval(x)",
    "huge constants": "x = 'a' * 10**9\ny = 10 ** 10 ** 10\nw = '%9999999999d' % 3",
    "classes in a circle": "class A(B): pass\nclass B(A): pass\nclass C(C): pass\nA().x.y()",
    "lists that double": "x = []\n" + "x = [x, x]\n" * 300 + "eval(x)",
    "a dictionary in itself": "d = {}\n" + "\n".join(f"d[{i}] = d" for i in range(500)),
    "a class that makes itself": "class A:\n  def __init__(self): self.a = A()\nA().a.a.a",
    "not python": "def (:\n" * 3_000,
    "an open field": "f'{" * 3_000,
    "a huge text": "x = '" + "a" * 900_000 + "'",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_stops_the_scanner(name: str) -> None:
    text = PROGRAMS[name] + "\nimport pickle\npickle.loads(input())\n"
    started = time.process_time()
    PythonScanner().scan("a.py", text.encode(), text)
    assert time.process_time() - started < WITHIN_S


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import os\nx = f'{d[\"a\"]}'\nos.system(f\"ls {d[\"a\"]}\" + input())\n", "command-injection"),  # noqa: E501
        ("import os\nprint 'x'\nos.system('ls ' + raw_input())\n", "command-injection"),
        ("import os\ntry:\n  pass\nexcept E, e:\n  exec 'x' + input() in {}\n", "code-injection"),
        ("this is not python !!\nimport os\nos.system('ls ' + input())\n", "command-injection"),
    ],
)  # fmt: skip
def test_python_of_other_versions_is_read(text: str, rule: str) -> None:
    found = PythonScanner().scan("a.py", text.encode(), text).found
    assert rule in {weakness.rule for weakness in found}


def test_what_other_modules_do_counts_where_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/files.py").write_text(
        "import os\n\ndef read(name):\n    return open(name).read()\n\n"
        "def clean(name):\n    return os.path.basename(name)\n"
    )
    (tmp_path / "shop/app.py").write_text(
        "from flask import Flask, request\nfrom shop.files import clean, read\n"
        "app = Flask(__name__)\n\n@app.get('/a')\ndef a():\n    return {'a': read(request.args['n'])}\n"  # noqa: E501
        "\n@app.get('/b')\ndef b():\n    return {'b': read(clean(request.args['n']))}\n"
    )
    found = output(tmp_path, "code").findings
    assert [(f.rule, f.file, f.line) for f in found] == [("path-traversal", "shop/app.py", 7)]


def test_modules_outside_of_the_repository_are_not_opened(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (tmp_path / "outside.py").write_text("def clean(x):\n    return 'constant'\n")
    (repository / "outside.py").symlink_to(tmp_path / "outside.py")
    (repository / "a.py").write_text(
        "import os\nfrom flask import request\nfrom outside import clean\n"
        "def a():\n    os.system(clean(request.args['n']))\n"
    )
    assert [finding.line for finding in output(repository, "code").findings] == [5]


def test_many_files_are_checked_by_workers_as_by_one(tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / f"m{number}.py").write_text(f"import os\nos.system('ls ' + input({number}))\n")
    task = ScanInput(repository_path=str(tmp_path), scan_type=("code",))
    alone, several = scan(task, workers=1), scan(task, workers=2)
    assert several.findings == alone.findings
    assert several.summary.files == alone.summary.files
    assert several.summary.files.scanned == 150


def test_a_worker_that_dies_costs_its_batch_only(tmp_path: Path) -> None:
    from os import _exit  # noqa: PLC0415 (what a crash of the interpreter looks like)

    from penstock_agent_sdk.repository import SourceFile  # noqa: PLC0415
    from penstock_agent_security_scanner.checking import FileReport  # noqa: PLC0415

    def check(source: SourceFile) -> FileReport:
        if source.name == "bad.py":
            _exit(9)
        return FileReport()

    names = ["bad.py", *(f"{number}.py" for number in range(200))]
    sources = [SourceFile(name, tmp_path / name, b"") for name in names]
    workers = Workers(check, lambda: False, 2)
    answered = {name for name, _ in workers.run(sources)}
    lost = {source.name for source in next(batched(sources))}
    assert answered == set(names) - lost
    assert workers.lost == len(lost)


def test_nested_repetition_is_told_from_bounded_rounds() -> None:
    assert is_slow("(a+)+$")
    assert is_slow(r"(\w*)*b")
    assert not is_slow(r"(\w+,)+")
    assert not is_slow("[a-z]+")


def output(folder: Path, check: str) -> ScanOutput:
    return scan(ScanInput.model_validate({"repository_path": str(folder), "scan_type": check}))


def test_a_file_that_costs_too_much_makes_the_check_partial_and_not_passed(
    tmp_path: Path,
) -> None:
    (tmp_path / "A.java").write_text("class A { int a = " + ("a<" * 60 + "\n") * 400 + "; }")
    (tmp_path / "B.java").write_text("class B { }")
    (tmp_path / "c.js").write_text("a;" * 20_000)
    output = scan(ScanInput(repository_path=str(tmp_path), scan_type=("code",)))
    assert output.summary.files.skipped == {"given_up": 1, "minified": 1}
    assert output.summary.code.status == "partial"
    assert not output.passed
