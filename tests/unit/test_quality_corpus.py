"""Reading cases: marks, twins, made-up values, the layouts of other people's suites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock_testkit.quality.cases import Label, Suite
from penstock_testkit.quality.corpus import CorpusError, load_corpus
from penstock_testkit.quality.marks import read_marks
from penstock_testkit.quality.suites import SuiteError, read_suites
from penstock_testkit.quality.values import UnknownShapeError, Values

VALUES = Values({"token": "tok_{alnum:12}", "mixed": "{upper:2}-{digit:3}"})


def test_marks_are_cut_off():
    marked = read_marks("a @@\nb\nc @@xss @@~CWE-1|CWE-2:high\n", "f.py", "sql")
    assert marked.text == "a\nb\nc\n"
    assert marked.labels == (
        Label("f.py", 1, "sql"),
        Label("f.py", 3, "sql", frozenset({1, 2}), "high", optional=True),
        Label("f.py", 3, "xss"),
    )


def test_text_that_only_looks_like_a_mark_stays():
    assert read_marks("mail me @@ home\n", "f", "x").text == "mail me @@ home\n"


def test_values_are_the_same_in_every_run_and_others_in_every_case():
    one = VALUES.filled("⟦token⟧ ⟦token⟧ ⟦token:2⟧", "a/bad")
    first, again, second = one.split()
    assert first == again != second
    assert first.startswith("tok_")
    assert len(first) == len("tok_") + 12
    assert one == VALUES.filled("⟦token⟧ ⟦token⟧ ⟦token:2⟧", "a/bad")
    assert one != VALUES.filled("⟦token⟧ ⟦token⟧ ⟦token:2⟧", "a/good")


def test_an_unknown_shape_is_an_error():
    with pytest.raises(UnknownShapeError, match="nothing"):
        VALUES.filled("⟦nothing⟧", "a")


CORPUS = """
group: held_out
language: python
cases:
  - id: twins
    class: sql-injection
    file: a.py
    bad: |
      run("⟦token⟧") @@CWE-1333
    good: |
      run()
  - id: several
    class: xss
    language: go
    before: {files: {a.go: "old"}}
    files: {a.go: "x @@\\n", b.go: {from: beside.txt}}
    labels: [{file: b.go, line: 2, optional: true}]
"""


def corpus(folder: Path, text: str) -> Suite:
    (folder / "scanner").mkdir(exist_ok=True)
    (folder / "scanner" / "cases.yaml").write_text(text, encoding="utf-8")
    (folder / "scanner" / "beside.txt").write_text("one\ntwo @@\n", encoding="utf-8")
    return load_corpus(folder, "scanner", VALUES)


def test_a_corpus_is_read(tmp_path: Path):
    bad, good, several = corpus(tmp_path, CORPUS).cases
    assert (bad.id, bad.vulnerable, bad.group) == ("twins/bad", True, "held_out")
    assert bad.files["a.py"].startswith('run("tok_')
    assert (good.id, good.vulnerable, good.also) == ("twins/good", False, frozenset({1333}))
    assert several.language == "go"
    assert several.before == {"a.go": "old"}
    assert several.files["b.go"] == "one\ntwo @@\n"  # a file that lies beside has no marks
    assert several.labels == (Label("a.go", 1, "xss"), Label("b.go", 2, "xss", optional=True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("group: open\nlanguage: x\ncases: [{id: a, class: b, file: f, bad: text}]", "no mark"),
        ("group: open\nlanguage: x\ncases: [{id: a, class: b, file: f, good: text @@}]", "safe"),
        ("group: open\nlanguage: x\ncases: [{id: a, class: b, file: f}]", "no text"),
        ("group: open\nlanguage: x\ncases: [{id: a, class: b, good: text}]", "no file name"),
        ("group: some\nlanguage: x\ncases: []", "group"),
        (CORPUS + CORPUS[CORPUS.index("  - id: twins") : CORPUS.index("  - id: several")], "twice"),
    ],
)
def test_a_faulty_corpus_is_refused(tmp_path: Path, text: str, says: str):
    with pytest.raises(CorpusError, match=says):
        corpus(tmp_path, text)


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, files: dict[str, str]) -> tuple[str, dict[str, tuple[str, bool]]]:
    (suite,) = read_suites(put(folder, files))
    return suite.kind, {case.id: (case.klass, case.vulnerable) for case in suite.cases}


def test_owasp_benchmark(tmp_path: Path):
    kind, cases = read(
        tmp_path,
        {
            "expectedresults-1.csv": "# test name, category, real, cwe, v: 1\n"
            "Test1,sqli,true,89\nTest2,sqli,false,89\nTest3,gone,true,89\n",
            "src/Test1.java": "",
            "src/Test2.java": "",
            "src/Helper.java": "",
        },
    )
    assert kind == "OWASP Benchmark"
    assert set(cases) == {"Test1", "Test2"}


def test_owasp_benchmark_with_its_header(tmp_path: Path):
    header = "# test name, category, real vulnerability, cwe, Benchmark version: 1, 2025-1-1\n"
    _, cases = read(
        tmp_path,
        {
            "expectedresults-1.csv": f"{header}Test1,sqli,true,89\nTest2,sqli,false,89\n",
            "Test1.py": "",
            "Test2.py": "",
        },
    )
    assert cases == {"Test1": ("sql-injection", True), "Test2": ("sql-injection", False)}


def test_labels_yaml(tmp_path: Path):
    kind, cases = read(
        tmp_path,
        {
            "labels.yaml": "cases: [{file: a.py, line: 3, cwe: 79}, "
            "{file: b.py, cwe: CWE-79, vulnerable: false}]",
            "a.py": "",
            "b.py": "",
        },
    )
    assert kind == "labels.yaml"
    assert cases == {"1:a.py:3": ("xss", True), "2:b.py:0": ("xss", False)}


def test_a_table_of_lines(tmp_path: Path):
    table = "file,line,cwe,vulnerable\na.go,3,22,true\na.go,9,22,false\naway.go,1,22,true\n"
    kind, cases = read(tmp_path, {"labels.csv": table, "a.go": ""})
    assert kind == "table of lines"
    assert cases == {"1:a.go:3": ("path-traversal", True), "2:a.go:9": ("path-traversal", False)}


def test_secrets_by_line(tmp_path: Path):
    table = (
        "Id,FilePath,LineStart,LineEnd,GroundTruth,Category\n"
        "1,data/a.txt,3,3,T,Password\n2,data/a.txt,4,4,F,Password\n3,data/a.txt,5,5,Template,X\n"
    )
    kind, cases = read(tmp_path, {"meta/one.csv": table, "data/a.txt": ""})
    assert kind == "secrets by line"
    assert cases == {"one:1": ("Password", True), "one:2": ("Password", False)}


def test_secrets_by_file(tmp_path: Path):
    table = "### about\n# words\n# name,num_risk,num_informative\na.env,2,0\n\n# more\nb.env,0,1\n"
    kind, cases = read(tmp_path, {".meta/secrets.csv": table, "a.env": "", "b.env": ""})
    assert kind == "secrets by file"
    assert cases == {"a.env": ("secret", True), "b.env": ("secret", False)}


def test_sarif(tmp_path: Path):
    def told(uri: str, kind: str) -> dict[str, object]:
        place = {"artifactLocation": {"uri": uri}, "region": {"startLine": 4}}
        return {"ruleId": "r", "kind": kind, "locations": [{"physicalLocation": place}]}

    rules = [{"id": "r", "properties": {"tags": ["external/cwe/cwe-079"]}}]
    run = {
        "tool": {"driver": {"name": "t", "rules": rules}},
        "results": [told("a.js", "fail"), told("b.js", "pass")],
    }
    truth = json.dumps({"version": "2.1.0", "runs": [run]})
    kind, cases = read(tmp_path, {"truth.sarif": truth, "a.js": "", "b.js": ""})
    assert kind == "SARIF"
    assert list(cases.values()) == [("xss", True), ("xss", False)]


def test_annotated_rule_tests(tmp_path: Path):
    rule = "rules:\n- id: no-eval\n  metadata:\n    cwe: 'CWE-95: Eval'\n"
    code = "# ruleid: no-eval\neval(x)\n\n# ok: no-eval, other\neval('1')\n# todook: no-eval\ny\n"
    kind, cases = read(tmp_path, {"a.yaml": rule, "a.py": code})
    assert kind == "annotated rule tests"
    assert cases == {
        "a.py:2:code-injection": ("code-injection", True),
        "a.py:5:code-injection": ("code-injection", False),
    }


def test_pairs_by_name(tmp_path: Path):
    kind, cases = read(
        tmp_path,
        {
            "CWE-22/open_bad.py": "",
            "CWE-22/open_good.py": "",
            "rules/negative1.tf": "",
            "insecure/CWE-079/one.js": "",
            "else.py": "",
        },
    )
    assert kind == "pairs by name"
    assert cases == {
        "CWE-22/open_bad.py": ("path-traversal", True),
        "CWE-22/open_good.py": ("path-traversal", False),
        "insecure/CWE-079/one.js": ("xss", True),
        "rules/negative1.tf": ("(anything)", False),
    }


def test_a_folder_that_says_nothing_is_refused(tmp_path: Path):
    with pytest.raises(SuiteError, match="Known layouts"):
        read_suites(put(tmp_path, {"a.py": ""}))
    with pytest.raises(SuiteError, match="not a folder"):
        read_suites(tmp_path / "away")


@pytest.mark.parametrize("text", ["cases: [{file: a.py}]", "cases: 3", "cases: [{file: [}]"])
def test_faulty_labels_are_refused(tmp_path: Path, text: str):
    with pytest.raises(SuiteError):
        read_suites(put(tmp_path, {"labels.yaml": text, "a.py": ""}))
