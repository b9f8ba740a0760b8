"""Which findings are not reported, and why."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from penstock_agent_sdk.findings.baseline import Baseline
from penstock_agent_sdk.findings.fingerprints import Place, fingerprints
from penstock_agent_sdk.findings.sarif import SuppressedBy
from penstock_agent_sdk.findings.suppressions import SuppressionFault, Suppressions

Obeyed = Literal["own", "all", "none"]
"""Which comments hide findings: Penstock's, those of other tools too, or none."""

# Other tools' comments have neither reason nor end, so they count only where asked for.
_FOREIGN = re.compile(
    r"#\s*nosec\b|nosemgrep|#\s*noqa\b|pragma: ?(?:allow|white)list[ -]"
    r"|NOSONAR|eslint-disable|checkov:skip|gitleaks:allow|@SuppressWarnings"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one finding; `hidden_by` is None if it is reported."""

    fingerprint: str
    hidden_by: SuppressedBy | None = None
    reason: str = ""


class Sieve:
    """Judges all findings of one pass over a repository."""

    def __init__(
        self, obeyed: Obeyed, baseline: Baseline, lines_of: Callable[[str], Sequence[str]]
    ) -> None:
        """Keep what the verdicts rest on.

        Args:
            obeyed: Whose comments count.
            baseline: What was known before.
            lines_of: The text of a file by lines; asked once a file that has findings.
        """
        self._obeyed = obeyed
        self._baseline = baseline
        self._lines_of = lines_of

    def judge(
        self, places: Sequence[Place], today: date
    ) -> tuple[list[Verdict], list[tuple[str, SuppressionFault]]]:
        """Judge findings.

        Args:
            places: All of them at once: their order decides the names of equal ones.
            today: Suppressions and baseline entries end at their dates.

        Returns:
            A verdict for each place, in order, and the comments that hide nothing, by file.
        """
        texts = {file: self._lines_of(file) for file in dict.fromkeys(one.file for one in places)}
        comments = {file: Suppressions.read(lines, today) for file, lines in texts.items()}
        names = fingerprints(places, texts.__getitem__)
        verdicts = [
            self._verdict(place, name, texts[place.file], comments[place.file])
            for place, name in zip(places, names, strict=True)
        ]
        faults = [(file, fault) for file, read in comments.items() for fault in read.faults]
        return verdicts, faults if self._obeyed != "none" else []

    def _verdict(
        self, place: Place, name: str, lines: Sequence[str], comments: Suppressions
    ) -> Verdict:
        if self._obeyed != "none":
            found = comments.covering(place.rule, place.line)
            if found is not None:
                return Verdict(name, "inSource", found.reason)
        if self._obeyed == "all" and 0 < place.line <= len(lines):
            foreign = _FOREIGN.search(lines[place.line - 1])
            if foreign is not None:
                return Verdict(name, "inSource", foreign[0].strip())
        excuse = self._baseline.excuse(place)
        if excuse is not None:
            return Verdict(name, "external", excuse)
        if self._baseline.covers(name):
            return Verdict(name, "external", self._baseline.reason(name))
        return Verdict(name)


def baseline_in(repository: Path, named: str | None, today: date) -> Baseline:
    """Load the baseline that a task names: relative to the repository, or mounted elsewhere.

    Raises:
        AgentError: `bad_baseline`, as `Baseline.load`.
    """
    return Baseline() if named is None else Baseline.load(repository / named, today)
