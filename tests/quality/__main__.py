"""`make agent-quality`: measure, print, write a report; exit code 1 if a target is missed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from penstock_testkit.quality.corpus import PARTS
from penstock_testkit.quality.report import Measurement, as_document, rendered
from penstock_testkit.quality.suites import SuiteError
from tests.quality.measurement import beside, own

REPORT = Path(".cache/agent-quality/report.json")
BAR = 30


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="make agent-quality", description=__doc__)
    parser.add_argument("corpus", nargs="?", help="a suite beside the project; ours without")
    parser.add_argument("--part", choices=PARTS, action="append", help="of our own corpus")
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    measurements: list[Measurement] = []
    try:
        if arguments.corpus:
            measurements = list(beside(Path(arguments.corpus).expanduser(), _progress))
        else:
            found = [own(part, _progress) for part in arguments.part or PARTS]
            measurements = [measurement for measurement in found if measurement is not None]
    except SuiteError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for measurement in measurements:
        sys.stdout.write("\n".join([*rendered(measurement), "", ""]))
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    arguments.report.write_text(json.dumps(as_document(measurements), indent=1), encoding="utf-8")
    sys.stdout.write(f"report: {arguments.report}\n")
    return 0 if all(measurement.holds for measurement in measurements) else 1


def _progress(what: str, done: int, whole: int) -> None:
    """A bar on a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return
    filled = BAR * done // max(whole, 1)
    bar = "#" * filled + "." * (BAR - filled)
    end = "\r\033[K" if done == whole else "\r"
    sys.stderr.write(f"\r{what:30.30} [{bar}] {done}/{whole}{end}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
