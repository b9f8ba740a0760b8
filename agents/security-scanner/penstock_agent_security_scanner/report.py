"""From raw findings to a bounded, ordered, de-duplicated report."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from penstock_agent_security_scanner.models import RANK, SEVERITIES, Finding, Severity

# A result up to 64 KiB travels in the message itself; summary and envelope need the rest.
MAX_FINDINGS_BYTES = 54 * 1024
MAX_FINDINGS = 500
MAX_MESSAGE_CHARS = 300
MAX_FILE_CHARS = 300


@dataclass(frozen=True)
class Report:
    """What is listed, and the counts of what is not."""

    listed: list[Finding]
    total: dict[Severity, int]
    below_threshold: dict[Severity, int]
    omitted: dict[Severity, int]


def build_report(findings: Iterable[Finding], threshold: Severity) -> Report:
    """Order by severity, then place; list from the threshold up, as many as fit."""
    ordered = sorted(
        unique(findings), key=lambda f: (RANK[f.severity], f.file, f.line, f.rule, f.cwe)
    )
    wanted = [finding for finding in ordered if RANK[finding.severity] <= RANK[threshold]]
    listed: list[Finding] = []
    room = MAX_FINDINGS_BYTES
    for finding in wanted[:MAX_FINDINGS]:
        bounded = _bounded(finding)
        room -= len(json.dumps(bounded.model_dump(), ensure_ascii=False).encode()) + 1
        if room < 0:
            break
        listed.append(bounded)
    return Report(
        listed=listed,
        total=counts(ordered),
        below_threshold=counts(ordered[len(wanted) :]),
        omitted=counts(wanted[len(listed) :]),
    )


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per place and weakness: the most severe, and of equals the first.

    Two scanners often see the same thing. Dependencies are told apart by their advisory, because
    one line of a manifest can have several.
    """
    best: dict[tuple[str, int, str, str], Finding] = {}
    for finding in findings:
        advisory = finding.rule if finding.rule.startswith("dependency:") else ""
        key = (finding.file, finding.line, "" if advisory else finding.cwe, advisory)
        known = best.get(key)
        if known is None or RANK[finding.severity] < RANK[known.severity]:
            best[key] = finding
    return list(best.values())


def counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    """How many of each severity, zeros included."""
    counted = Counter(finding.severity for finding in findings)
    return {severity: counted[severity] for severity in SEVERITIES}


def _bounded(finding: Finding) -> Finding:
    return finding.model_copy(
        update={
            "message": finding.message[:MAX_MESSAGE_CHARS],
            "file": finding.file[-MAX_FILE_CHARS:],
        }
    )
