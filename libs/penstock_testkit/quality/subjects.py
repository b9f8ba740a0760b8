"""Who is measured: anything that says something about a folder."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock_testkit.quality.cases import Finding

MAX_SPLITS = 12
"""A folder that is still too much after so many halvings is taken as it is."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was said about a folder.

    Attributes:
        findings: With names relative to the folder.
        whole: Nothing was left out for a bound; otherwise the folder is given in halves.
    """

    findings: Sequence[Finding]
    whole: bool = True


class Subject(Protocol):
    """A scanner."""

    @property
    def name(self) -> str:
        """For the report."""
        ...

    @property
    def tool(self) -> bool:
        """It is a tool used alone, which our agent has to beat."""
        ...

    @property
    def files_at_once(self) -> int:
        """How many files a folder may have."""
        ...

    def scan(self, folder: Path) -> Scanned:
        """Say what is found in a folder."""
        ...


Progress = Callable[[str, int, int], None]
"""Told what is under way, how much is done, and how much there is."""


@dataclass
class Measured:
    """All that one subject found in a suite, and how long it took."""

    subject: Subject
    findings: list[Finding] = field(default_factory=list[Finding])
    seconds: float = 0.0
    cut: bool = False


def scan_all(
    subject: Subject,
    root: Path,
    groups: Sequence[Sequence[str]],
    progress: Progress,
    context: Sequence[str] = (),
) -> Measured:
    """Give a subject the files of a folder, as many at a time as it can take.

    Args:
        subject: Who is measured.
        root: Where the files lie.
        groups: Names relative to the root; a group's files are never in different parts, unless
            it alone is more than a part.
        progress: Told after each part.
        context: Files that go with every part.
    """
    measured = Measured(subject)
    parts = list(_parts(groups, subject.files_at_once))
    for number, part in enumerate(parts):
        progress(subject.name, number, len(parts))
        _scan_part(measured, root, part, context, MAX_SPLITS)
    progress(subject.name, len(parts), len(parts))
    return measured


def _parts(groups: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for group in groups:
        for start in range(0, len(group), most):
            piece = group[start : start + most]
            if parts[-1] and len(parts[-1]) + len(piece) > most:
                parts.append([])
            parts[-1] += piece
    return [part for part in parts if part]


def _scan_part(
    measured: Measured, root: Path, files: Sequence[str], context: Sequence[str], splits: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="quality-") as name:
        folder = Path(name)
        for file in {*files, *context}:
            _place(root / file, folder / file)
        started = time.perf_counter()
        scanned = measured.subject.scan(folder)
        measured.seconds += time.perf_counter() - started
    if not scanned.whole and len(files) > 1 and splits:
        half = len(files) // 2
        _scan_part(measured, root, files[:half], context, splits - 1)
        _scan_part(measured, root, files[half:], context, splits - 1)
        return
    measured.cut = measured.cut or not scanned.whole
    measured.findings += scanned.findings


def _place(source: Path, target: Path) -> None:
    """A second name where the file system can, a copy elsewhere."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copyfile(source, target)


@dataclass(frozen=True, slots=True)
class FlagNothing:
    """Says that all is well."""

    name: str = "flag nothing"


@dataclass(frozen=True, slots=True)
class FlagEverything:
    """Says that nothing is well."""

    name: str = "flag everything"
