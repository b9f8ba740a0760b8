"""Giving folders to subjects: in parts, in halves when it is too much, and whose finding it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from penstock_testkit.quality.cases import Case, Finding, Label, Suite
from penstock_testkit.quality.measuring import measure
from penstock_testkit.quality.scoring import Answer
from penstock_testkit.quality.subjects import Scanned, scan_all


@dataclass
class Played:
    """Finds an SQL injection in every line that says so; takes so many files and no more."""

    files_at_once: int = 100
    bears: int = 100
    name: str = "played"
    tool: bool = False
    given: list[list[str]] = field(default_factory=list[list[str]])

    def scan(self, folder: Path) -> Scanned:
        names = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        self.given.append(names)
        findings = [
            Finding(name, number, "sql", frozenset({89}))
            for name in names
            for number, line in enumerate((folder / name).read_text().splitlines(), start=1)
            if "sql" in line
        ]
        return Scanned(findings, whole=len(names) <= self.bears)


@dataclass
class Seen:
    """Keeps what it is told of progress."""

    told: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def __call__(self, _what: str, done: int, whole: int) -> None:
        self.told.append((done, whole))


def folder_of(root: Path, count: int) -> list[list[str]]:
    for number in range(count):
        (root / f"f{number}.py").write_text("sql\n", encoding="utf-8")
    return [[f"f{number}.py"] for number in range(count)]


def test_files_are_given_in_parts(tmp_path: Path):
    played, seen = Played(files_at_once=2), Seen()
    measured = scan_all(played, tmp_path, folder_of(tmp_path, 5), seen)
    assert [len(part) for part in played.given] == [2, 2, 1]
    assert len(measured.findings) == 5
    assert seen.told[-1] == (3, 3)
    assert not measured.cut


def test_a_group_stays_together_where_it_fits(tmp_path: Path):
    folder_of(tmp_path, 5)
    played = Played(files_at_once=3)
    groups = [["f0.py", "f1.py"], ["f2.py", "f3.py"], ["f4.py"]]
    scan_all(played, tmp_path, groups, Seen())
    assert played.given == [["f0.py", "f1.py"], ["f2.py", "f3.py", "f4.py"]]


def test_what_is_too_much_is_given_in_halves(tmp_path: Path):
    played = Played(bears=1)
    measured = scan_all(played, tmp_path, folder_of(tmp_path, 4), Seen())
    assert sorted(f.file for f in measured.findings) == ["f0.py", "f1.py", "f2.py", "f3.py"]
    assert not measured.cut


def test_one_file_that_is_too_much_is_told(tmp_path: Path):
    assert scan_all(Played(bears=0), tmp_path, folder_of(tmp_path, 1), Seen()).cut


def test_context_goes_with_every_part(tmp_path: Path):
    groups = folder_of(tmp_path, 3)
    (tmp_path / "context.py").write_text("", encoding="utf-8")
    played = Played(files_at_once=2)
    scan_all(played, tmp_path, groups, Seen(), ["context.py"])
    assert played.given == [["context.py", "f0.py", "f1.py"], ["context.py", "f2.py"]]


def test_a_case_is_written_out_and_its_findings_are_its_own():
    cases = (
        Case(
            "bad", "sql-injection", "python",
            files={"a/b.py": "x\nsql\n"}, labels=(Label("a/b.py", 2, "sql-injection"),),
        ),
        Case("good", "sql-injection", "python", files={"a/b.py": "x\n"}),
    )  # fmt: skip
    played = Played()
    ours, everything, nothing = measure(Suite("s", "t", "scanner", cases), [played], Seen())
    assert played.given == [["c0000/a/b.py", "c0001/a/b.py"]]
    assert [unit.answer for unit in ours.tally.units] == [Answer.TP, Answer.TN]
    assert ours.tally.lines["sql-injection"].tp == 1
    assert [result.baseline for result in (everything, nothing)] == [True, True]


def test_cases_that_share_a_file_are_told_apart_by_lines(tmp_path: Path):
    (tmp_path / "a.py").write_text("one\nsql\nthree\n", encoding="utf-8")
    label = Label("a.py", 2, "sql-injection")
    cases = (
        Case("a", "sql-injection", "python", labels=(label,), source="a.py", within=(2, 2)),
        Case("b", "sql-injection", "python", source="a.py", within=(3, 3)),
    )
    suite = Suite("s", "t", "scanner", cases, complete=False, root=str(tmp_path), lines=False)
    ours, *_ = measure(suite, [Played()], Seen())
    assert [unit.answer for unit in ours.tally.units] == [Answer.TP, Answer.TN]


def test_a_case_may_be_a_folder(tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.py").write_text("sql\n", encoding="utf-8")
    label = Label("a.py", 1, "sql-injection")
    cases = (Case("one", "sql-injection", "python", labels=(label,), source="one"),)
    ours, *_ = measure(Suite("s", "t", "scanner", cases, root=str(tmp_path)), [Played()], Seen())
    assert ours.tally.line_score.tp == 1
