"""From raw findings to a bounded, ordered, de-duplicated report."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata

from penstock_agent_sdk import progress
from penstock_agent_sdk.artifacts import write_artifact
from penstock_agent_sdk.findings import (
    Place,
    Result,
    RuleText,
    Sieve,
    Tool,
    Verdict,
    sarif_document,
)
from penstock_agent_security_scanner.models import RANK, SEVERITIES, Check, Finding, Severity
from penstock_agent_security_scanner.weaknesses import family

# A result up to 64 KiB travels in the message itself; summary and envelope need the rest.
MAX_FINDINGS_BYTES = 54 * 1024
MAX_FINDINGS = 500
MAX_MESSAGE_CHARS = 300
MAX_FILE_CHARS = 300
MAX_FAULTS = 50
SARIF_NAME = "security-scanner.sarif"
DEPENDENCY = "dependency:"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}


@dataclass(frozen=True)
class Report:
    """What is listed, and the counts of what is not.

    Attributes:
        open: Everything that is neither suppressed nor in the baseline, in order.
        listed: Those of them at or above the threshold, as many as fit.
        hidden: The others with their verdict.
    """

    open: list[Finding]
    listed: list[Finding]
    hidden: list[tuple[Finding, Verdict]]
    total: dict[Severity, int]
    below_threshold: dict[Severity, int]
    omitted: dict[Severity, int]
    faults: list[str] = field(default_factory=list[str])

    @property
    def suppressed(self) -> int:
        """How many a comment hides."""
        return sum(verdict.hidden_by == "inSource" for _, verdict in self.hidden)

    @property
    def baselined(self) -> int:
        """How many the baseline hides."""
        return sum(verdict.hidden_by == "external" for _, verdict in self.hidden)

    def of_check(self, check: Check) -> list[Finding]:
        """The open findings of one check."""
        return [finding for finding in self.open if check_of(finding) == check]


def check_of(finding: Finding) -> Check:
    """Which check a finding belongs to."""
    if finding.rule.startswith(DEPENDENCY):
        return "dependencies"
    return "secrets" if finding.rule.startswith("secret:") else "code"


def build_report(
    findings: Iterable[Finding], threshold: Severity, sieve: Sieve, today: date
) -> Report:
    """Order by severity, then place; list from the threshold up, as many as fit."""
    ordered = sorted(
        unique(findings), key=lambda f: (RANK[f.severity], f.file, f.line, f.rule, f.cwe)
    )
    places = [Place(finding.rule, finding.file, finding.line) for finding in ordered]
    verdicts, faults = sieve.judge(places, today)
    named = [
        finding.model_copy(update={"fingerprint": verdict.fingerprint})
        for finding, verdict in zip(ordered, verdicts, strict=True)
    ]
    kept = [f for f, verdict in zip(named, verdicts, strict=True) if verdict.hidden_by is None]
    hidden = [(f, v) for f, v in zip(named, verdicts, strict=True) if v.hidden_by is not None]
    wanted = [finding for finding in kept if RANK[finding.severity] <= RANK[threshold]]
    listed = _fitting(wanted)
    return Report(
        open=kept,
        listed=listed,
        hidden=hidden,
        total=counts(kept),
        below_threshold=counts(kept[len(wanted) :]),
        omitted=counts(wanted[len(listed) :]),
        faults=[f"{file}:{fault.line}: {fault.fault}" for file, fault in faults[:MAX_FAULTS]],
    )


def _fitting(wanted: list[Finding]) -> list[Finding]:
    listed: list[Finding] = []
    room = MAX_FINDINGS_BYTES
    for finding in wanted[:MAX_FINDINGS]:
        bounded = _bounded(finding)
        room -= len(json.dumps(bounded.model_dump(), ensure_ascii=False).encode()) + 1
        if room < 0:
            break
        listed.append(bounded)
    return listed


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per place and weakness: the most severe, and of equals our own.

    Two scanners often see the same thing under neighbouring numbers. Dependencies are told apart
    by their advisory, because one line of a manifest can have several.
    """
    best: dict[tuple[str, int, str], Finding] = {}
    for finding in findings:
        is_advisory = finding.rule.startswith(DEPENDENCY)
        key = (finding.file, finding.line, finding.rule if is_advisory else family(finding.cwe))
        known = best.get(key)
        if known is None or _order(finding) < _order(known):
            best[key] = finding
    return list(best.values())


def _order(finding: Finding) -> tuple[int, bool, bool]:
    is_foreign = finding.rule.startswith("bandit:")
    return RANK[finding.severity], is_foreign, not finding.rule.startswith("secret:")


def counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    """How many of each severity, zeros included."""
    counted = Counter(finding.severity for finding in findings)
    return {severity: counted[severity] for severity in SEVERITIES}


def leave_sarif(report: Report) -> None:
    """Everything, suppressed ones too, as an artifact; nothing where none are taken."""
    everything = [(finding, None) for finding in report.open] + list(report.hidden)
    rules = {
        finding.rule: RuleText(
            name=finding.rule,
            text=finding.message[:MAX_MESSAGE_CHARS],
            help=finding.suggestion,
            tags=("security", f"external/cwe/{finding.cwe.lower()}"),
            security_severity=_SCORES[finding.severity],
        )
        for finding, _ in reversed(everything)
    }
    results = [
        Result(
            rule=finding.rule,
            level=_LEVELS[finding.severity],  # type: ignore[arg-type]
            message=finding.message,
            file=finding.file,
            line=finding.line,
            fingerprint=finding.fingerprint,
            suppressed_by=None if verdict is None else verdict.hidden_by,
            reason="" if verdict is None else verdict.reason,
            properties={"severity": finding.severity, "cwe": finding.cwe},
        )
        for finding, verdict in everything
    ]
    document = sarif_document(Tool("security-scanner", _version()), rules.values(), results)
    try:
        write_artifact(SARIF_NAME, json.dumps(document, ensure_ascii=False))
    except OSError as fault:  # no space left: the output still says what counts
        progress(f"the SARIF artifact could not be written: {fault.strerror}")


def _version() -> str:
    try:
        return metadata.version("penstock")
    except metadata.PackageNotFoundError:
        return "0.0.0"


def _bounded(finding: Finding) -> Finding:
    return finding.model_copy(
        update={
            "message": finding.message[:MAX_MESSAGE_CHARS],
            "file": finding.file[-MAX_FILE_CHARS:],
        }
    )
