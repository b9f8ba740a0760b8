"""Branch coverage per part of the code: it reaches the target, or at least never falls.

The ratchet file holds what each part has reached. A part at or above its target passes; one
below passes only while it does not fall under its own mark. `--raise` writes better marks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

RATCHET_FILE = Path("tests/architecture/ratchets/coverage.json")
STRICT_TARGET_PCT = 95.0
TARGET_PCT = 85.0
STRICT_PARTS = ("contracts", "core", "runtime")
# Thread timing decides whether some lines of a retry or a shutdown run; this much is noise.
TOLERANCE_PCT = 0.5


class FileSummary(TypedDict):
    """What coverage.py reports for one file."""

    covered_lines: int
    num_statements: int
    covered_branches: int
    num_branches: int


@dataclass(slots=True)
class Tally:
    """Lines and branches of one part."""

    reached: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        """Share reached, in percent; an empty part counts as complete."""
        return 100.0 * self.reached / self.total if self.total else 100.0


def part_of(path: str) -> str:
    """Names the part a source file belongs to, such as `core` or `scheduler`.

    Args:
        path: A path with a `penstock_<name>` folder in it.
    """
    for folder in Path(path).parts:
        if folder.startswith("penstock_"):
            return folder.removeprefix("penstock_").replace("_", "-")
    return "other"


def tally(files: Mapping[str, FileSummary]) -> dict[str, Tally]:
    """Adds up lines and branches per part."""
    parts: dict[str, Tally] = {}
    for path, summary in files.items():
        part = parts.setdefault(part_of(path), Tally())
        part.reached += summary["covered_lines"] + summary["covered_branches"]
        part.total += summary["num_statements"] + summary["num_branches"]
    return parts


def target(part: str) -> float:
    """The coverage a part is to reach, in percent."""
    return STRICT_TARGET_PCT if part in STRICT_PARTS else TARGET_PCT


def judge(parts: Mapping[str, Tally], marks: Mapping[str, float]) -> list[str]:
    """Names the parts that fell.

    Args:
        parts: What was measured.
        marks: The ratchet; a part without a mark has to reach its target.

    Returns:
        One line for each part that is below both its target and its mark.
    """
    faults: list[str] = []
    for name, part in sorted(parts.items()):
        wanted = min(target(name), marks.get(name, target(name)))
        if part.percent < wanted - TOLERANCE_PCT:
            faults.append(f"{name}: {part.percent:.1f} % is below {wanted:.1f} %")
    return faults


def raised(parts: Mapping[str, Tally], marks: Mapping[str, float]) -> dict[str, float]:
    """The marks after this measurement; none is lower than before."""
    measured = {name: round(part.percent, 1) for name, part in parts.items()}
    return {name: max(percent, marks.get(name, 0.0)) for name, percent in sorted(measured.items())}


def main() -> int:
    """Prints a table; returns 1 when a part fell."""
    parser = argparse.ArgumentParser(prog="python -m penstock_testkit.coverage_gate")
    parser.add_argument("report", type=Path, help="coverage.json as written by coverage.py")
    parser.add_argument("--raise", dest="raise_marks", action="store_true")
    options = parser.parse_args()
    report = json.loads(options.report.read_text(encoding="utf-8"))
    parts = tally({path: entry["summary"] for path, entry in report["files"].items()})
    marks: dict[str, float] = (
        json.loads(RATCHET_FILE.read_text(encoding="utf-8")) if RATCHET_FILE.exists() else {}
    )
    print("\nbranch coverage     reached  target    mark")
    for name, part in sorted(parts.items()):
        mark = f"{marks[name]:8.1f}" if name in marks else "       -"
        print(f"{name:<18} {part.percent:8.1f}{target(name):8.0f}{mark}")
    if options.raise_marks:
        text = json.dumps(raised(parts, marks), indent=2) + "\n"
        RATCHET_FILE.parent.mkdir(parents=True, exist_ok=True)
        RATCHET_FILE.write_text(text, encoding="utf-8")
        return 0
    faults = judge(parts, marks)
    for fault in faults:
        print(f"coverage fell: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
