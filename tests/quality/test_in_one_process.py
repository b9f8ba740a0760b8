"""Where a file is read changes nothing that is found in it.

The scanner reads other languages in a child with limits, and many files in workers. Both are for
its own safety and speed: the same work done here, in this process, gives the same findings.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.languages.aside import Aside
from penstock_agent_security_scanner.languages.dispatch import kind_of, read
from penstock_agent_security_scanner.models import ScanInput, ScanOutput
from penstock_agent_security_scanner.scan import FILES_FOR_WORKERS, scan
from penstock_testkit.quality.cases import Case
from penstock_testkit.quality.corpus import load_corpus, load_values
from penstock_testkit.quality.measuring import write_cases
from tests.quality.measurement import CORPUS, HERE

ROOT = Path(__file__).parents[2]
KINDS = ("go", "java", "javascript", "typescript", "tsx", "yaml", "terraform")
# As many as an output has room for the findings of.
PARTS = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cases() -> Sequence[Case]:
    return load_corpus(CORPUS, "scanner", load_values(HERE / "values.yaml")).cases


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_finds_what_its_reader_finds_here(cases: Sequence[Case], kind: str) -> None:
    texts = [
        (f"{case.id}: {name}", text)
        for case in cases
        for name, text in case.files.items()
        if kind_of(SourceFile(name, Path(name), text.encode())) == kind
    ]
    assert texts, "the corpus has no file of this kind"
    # Here first: what is imported and compiled then costs the child nothing of its seconds.
    here = {name: list(read(kind, text)) for name, text in texts}
    assert any(here.values())
    aside = Aside(read)
    try:
        there = {name: aside.scan(kind, text) for name, text in texts}
    finally:
        aside.close()
    assert there == here
    assert aside.lost == 0


@pytest.mark.parametrize("part", range(PARTS))
def test_workers_find_what_one_process_finds(
    cases: Sequence[Case], part: int, tmp_path: Path
) -> None:
    write_cases([case for case in cases if case.language == "python"][part::PARTS], tmp_path)
    assert _alone_and_together(tmp_path) > 0


def test_workers_find_in_real_programs_what_one_process_finds() -> None:
    _alone_and_together(ROOT / "agents")


def _alone_and_together(folder: Path) -> int:
    """How many weaknesses there are, which both ways have to agree on."""
    alone, together = _scanned(folder, workers=1), _scanned(folder, workers=2)
    assert alone.summary.files.scanned >= FILES_FOR_WORKERS, "so few are not given to workers"
    assert sum(alone.summary.omitted.values()) == 0
    assert together.findings == alone.findings
    untimed = {"duration_s": 0.0}
    assert together.summary.model_copy(update=untimed) == alone.summary.model_copy(update=untimed)
    return len(alone.findings)


def _scanned(folder: Path, workers: int) -> ScanOutput:
    python = tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    task = ScanInput(
        repository_path=str(folder),
        scan_type=("code",),
        changed_files=python,
        severity_threshold="low",
        suppressions="none",
    )
    with contextlib.redirect_stdout(io.StringIO()):  # where its progress goes
        return scan(task, clock=lambda: 0.0, workers=workers)
