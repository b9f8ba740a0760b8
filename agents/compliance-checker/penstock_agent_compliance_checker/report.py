"""From broken rules to a bounded, ordered output, and to SARIF with all of them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.models import RANK, SEVERITIES, Severity, Violation
from penstock_agent_sdk.findings import (
    Place,
    Result,
    RuleText,
    Sieve,
    Tool,
    Verdict,
    sarif_document,
)
from penstock_agent_sdk.findings.sarif import Level

# A result up to 64 KiB travels in the message itself; summary and envelope need the rest.
MAX_VIOLATIONS_BYTES = 52 * 1024
MAX_VIOLATIONS = 500
MAX_MESSAGE_CHARS = 400
MAX_FILE_CHARS = 300
VERSION = "1.0.0"
_LEVELS: dict[Severity, Level] = {"critical": "error", "warning": "warning", "info": "note"}


class Judged:
    """All broken rules of one check with what hides them.

    Attributes:
        shown: Not hidden, worst first, with their fingerprints.
        suppressed: How many a comment hides.
        baselined: How many the baseline hides.
        faults: Comments that hide nothing.
    """

    def __init__(self, found: Iterable[Broken], sieve: Sieve, today: date) -> None:
        self._all = sorted(
            dict.fromkeys(found),
            key=lambda one: (RANK[one.severity], one.file, one.line, one.rule, one.detail),
        )
        places = [Place(one.rule, one.file, one.line, one.detail) for one in self._all]
        self._verdicts, faults = sieve.judge(places, today)
        pairs = list(zip(self._all, self._verdicts, strict=True))
        self.shown = [(one, verdict) for one, verdict in pairs if verdict.hidden_by is None]
        hidden = Counter(verdict.hidden_by for _, verdict in pairs)
        self.suppressed, self.baselined = hidden["inSource"], hidden["external"]
        self.faults = len(faults)

    def counts(self) -> dict[Severity, int]:
        """How many are shown of each severity, zeros included."""
        counted = Counter(one.severity for one, _ in self.shown)
        return {severity: counted[severity] for severity in SEVERITIES}

    def listed(self) -> list[Violation]:
        """As many as fit into an output."""
        listed: list[Violation] = []
        room = MAX_VIOLATIONS_BYTES
        for one, verdict in self.shown[:MAX_VIOLATIONS]:
            violation = _violation(one, verdict)
            room -= len(json.dumps(violation.model_dump(), ensure_ascii=False).encode()) + 1
            if room < 0:
                break
            listed.append(violation)
        return listed

    def sarif(self) -> str:
        """All of them, hidden ones marked."""
        results = [
            Result(
                rule=one.rule,
                level=_LEVELS[one.severity],
                message=one.message[:MAX_MESSAGE_CHARS],
                file=one.file,
                line=one.line,
                fingerprint=verdict.fingerprint,
                suppressed_by=verdict.hidden_by,
                reason=verdict.reason,
                properties={"group": one.group},
            )
            for one, verdict in zip(self._all, self._verdicts, strict=True)
        ]
        tool = Tool("penstock-compliance-checker", VERSION)
        return json.dumps(sarif_document(tool, TEXTS, results), ensure_ascii=False)


def _violation(one: Broken, verdict: Verdict) -> Violation:
    return Violation(
        rule=one.rule,
        severity=one.severity,
        file=one.file[-MAX_FILE_CHARS:],
        line=one.line,
        message=one.message[:MAX_MESSAGE_CHARS],
        fingerprint=verdict.fingerprint,
    )


def omitted(all_of: dict[Severity, int], listed: Sequence[Violation]) -> dict[Severity, int]:
    """What was not listed, by severity."""
    shown = Counter(one.severity for one in listed)
    return {severity: count - shown[severity] for severity, count in all_of.items()}


TEXTS: tuple[RuleText, ...] = (
    RuleText("license-missing", "There is no licence file."),
    RuleText("license-unrecognized", "A licence file has a text that is no known licence."),
    RuleText("license-modified", "A licence text was changed, so that it is another licence."),
    RuleText("license-terms", "Terms beside the licence may restrict it."),
    RuleText("license-mismatch", "What is declared and what the licence file says disagree."),
    RuleText("license-expression", "A declared licence is no SPDX expression."),
    RuleText("license-unclear", "A declared licence may mean several."),
    RuleText("license-id-withdrawn", "An identifier was withdrawn from the SPDX list."),
    RuleText("license-header-invalid", "An SPDX-License-Identifier line is wrong."),
    RuleText("license-header-missing", "A source file has no SPDX-License-Identifier line."),
    RuleText("license-text-missing", "A licence that files name has no text in LICENSES/."),
    RuleText("license-conflict", "A dependency's licence cannot be combined with the project's."),
    RuleText(
        "license-review", "Whether a dependency's licence goes with the project's, people must see."
    ),
    RuleText("license-condition", "A dependency's licence asks for something."),
    RuleText("license-unknown", "A dependency's licence is not known."),
    RuleText("license-denied", "A dependency has a licence that the task denies."),
    RuleText("license-not-allowed", "A dependency has a licence that the task does not allow."),
    RuleText("secret:env-default", "A variable falls back to a credential in the code."),
    RuleText("secret:environment", "A credential is in a file that sets an environment."),
    RuleText("secret:hard-coded", "A credential is in the code."),
    RuleText("secret:env-file", "A file with an environment is part of the repository."),
    RuleText("secret:address", "A password is part of an address."),
)
