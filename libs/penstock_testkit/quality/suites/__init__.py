"""Suites that other people made, read where they lie.

Each module knows one layout: `read(root)` gives suites, or none if the folder is not its kind.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Suite
from penstock_testkit.quality.suites import (
    annotated,
    labelled,
    owasp,
    pairs,
    sarif,
    secret_tables,
    tables,
)
from penstock_testkit.quality.suites.folder import SuiteError

__all__ = ["SuiteError", "read_suites"]

Reader = Callable[[Path], Sequence[Suite]]
# The most telling sign first: a pair of names can be anywhere.
READERS: tuple[tuple[str, Reader], ...] = (
    ("labels.yaml", labelled.read),
    ("expectedresults-*.csv (OWASP Benchmark)", owasp.read),
    ("CSVs with FilePath, LineStart, GroundTruth (CredData's meta)", secret_tables.read_lines),
    ("secrets.csv: files and numbers of secrets", secret_tables.read_counts),
    ("*.sarif: ground truth", sarif.read),
    ("a CSV with the columns file, line, cwe or label", tables.read),
    ("comments `ruleid:` and `ok:`", annotated.read),
    ("*_bad.* and *_good.*, bad/ and good/, positive* and negative*, CWE-89/", pairs.read),
)


def read_suites(root: Path) -> Sequence[Suite]:
    """Take a folder for what its content says.

    Raises:
        SuiteError: It is no folder, or of no kind that is known, or of one with faults.
    """
    if not root.is_dir():
        raise SuiteError(f"{root} is not a folder")
    for _, read in READERS:
        suites = [suite for suite in read(root) if suite.cases]
        if suites:
            return suites
    known = "\n".join(f"  - {sign}" for sign, _ in READERS)
    raise SuiteError(f"nothing in {root} says what is right there. Known layouts:\n{known}")
