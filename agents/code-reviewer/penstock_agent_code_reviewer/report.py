"""From what was found to a bounded, ordered report, and to SARIF in full."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from penstock_agent_code_reviewer.languages import language_of
from penstock_agent_code_reviewer.models import (
    CATEGORIES,
    RANK,
    SEVERITIES,
    FileSummary,
    Issue,
    Metrics,
    ReviewInput,
    ReviewOutput,
    Severity,
    Summary,
)
from penstock_agent_code_reviewer.rules import Found
from penstock_agent_code_reviewer.scope import Reviewed, Scope
from penstock_agent_code_reviewer.scoring import score
from penstock_agent_sdk.artifacts import write_artifact
from penstock_agent_sdk.findings import (
    Place,
    Result,
    RuleText,
    Sieve,
    Tool,
    Verdict,
    baseline_in,
    sarif_document,
)
from penstock_agent_sdk.findings.sarif import Level

VERSION = "1.0.0"
ARTIFACT = "code-reviewer.sarif"
# A result up to 64 KiB travels in the message itself; summary and envelope need the rest.
MAX_ISSUES_BYTES = 52 * 1024
MAX_ISSUES = 500
MAX_KEPT = 20_000
MAX_TEXT_CHARS = 300
MAX_FAULTS = 10
_LEVELS: dict[Severity, Level] = {
    "blocker": "error",
    "critical": "error",
    "major": "warning",
    "minor": "note",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """Something found in a file."""

    file: str
    found: Found


class Tally:
    """Counts that are told beside the issues."""

    def __init__(self, scope: Scope) -> None:
        """Begin with what gathering left out."""
        self.scope = scope
        self.coverage_report: str | None = None
        self.changed_lines = 0
        self.files = 0
        self.languages: Counter[str] = Counter()
        self.skipped = Counter({name: n for name, n in scope.skipped.items() if n})
        self.bounded = scope.truncated
        self.complexities: Sequence[int] = ()
        self.coverage: float | None = None

    def reviewed(self, one: Reviewed) -> None:
        """Count a file that was looked at."""
        self.files += 1
        self.changed_lines += one.changed_count
        self.languages[language_of(one.source.name) or "python"] += 1

    def partial(self, reason: str) -> None:
        """Count something that could not be looked at."""
        self.skipped[reason] += 1
        self.bounded = True

    def late(self, files: int) -> None:
        """Count files that the deadline left out."""
        self.skipped["deadline"] += files
        self.bounded = True

    def measured(self, complexities: Sequence[int], covered: int, coverable: int) -> None:
        """Keep the figures of the metrics."""
        self.complexities = complexities
        self.coverage = round(100 * covered / coverable, 1) if coverable else None


def reported(
    task: ReviewInput,
    placed: Iterable[Placed],
    tally: Tally,
    today: date,
    elapsed: Callable[[], float],
) -> ReviewOutput:
    """Sift, order, bound and score.

    Raises:
        AgentError: `bad_baseline`.
    """
    ordered = sorted(placed, key=_order)
    kept = ordered[:MAX_KEPT]
    if len(ordered) > MAX_KEPT:
        tally.partial("not_kept")
    lines = {one.source.name: one.source.lines for one in tally.scope.files}
    baseline = baseline_in(Path(task.repository_path), task.baseline_path, today)
    sieve = Sieve(task.suppressions, baseline, lambda name: lines.get(name, ()))
    places = [
        Place(one.found.rule.name, one.file, one.found.line, one.found.detail) for one in kept
    ]
    verdicts, faults = sieve.judge(places, today)
    _leave_sarif(kept, verdicts)
    shown = [
        (one, each) for one, each in zip(kept, verdicts, strict=True) if each.hidden_by is None
    ]
    counts: Counter[str] = Counter(one.found.weight for one, _ in shown)
    categories: Counter[str] = Counter(one.found.rule.category for one, _ in shown)
    listed = _listed(shown)
    hidden = Counter(each.hidden_by for each in verdicts)
    many = tally.complexities
    summary = Summary(
        status="partial" if tally.bounded else "done",
        comparison="none" if tally.scope.commit is None else "commit",
        compared_with=tally.scope.commit,
        note=tally.scope.note,
        by_severity={severity: counts[severity] for severity in SEVERITIES},
        by_category={category: categories[category] for category in CATEGORIES},
        omitted=len(shown) - len(listed),
        suppressed=hidden["inSource"],
        baselined=hidden["external"],
        suppression_faults=[f"{file}:{one.line}: {one.fault}" for file, one in faults[:MAX_FAULTS]],
        highest_complexity=max(many, default=0),
        coverage_report=tally.coverage_report,
        files=FileSummary(
            reviewed=tally.files,
            changed_lines=tally.changed_lines,
            languages=dict(tally.languages),
            skipped=dict(tally.skipped),
        ),
        duration_s=round(elapsed(), 3),
    )
    return ReviewOutput(
        score=score(counts, tally.changed_lines),
        issues=listed,
        metrics=Metrics(
            complexity_score=round(sum(many) / len(many), 2) if many else 0.0,
            test_coverage=tally.coverage,
            security_issues=categories["security"],
        ),
        summary=summary,
    )


def _order(one: Placed) -> tuple[int, str, int, str, str]:
    found = one.found
    return (RANK[found.weight], one.file, found.line, found.rule.name, found.detail)


def _listed(shown: Sequence[tuple[Placed, Verdict]]) -> list[Issue]:
    listed: list[Issue] = []
    room = MAX_ISSUES_BYTES
    for one, verdict in shown[:MAX_ISSUES]:
        issue = Issue(
            rule=one.found.rule.name,
            category=one.found.rule.category,
            severity=one.found.weight,
            file=_shown(one.file)[-MAX_TEXT_CHARS:],
            line=one.found.line,
            message=_shown(one.found.text)[:MAX_TEXT_CHARS],
            suggestion=one.found.rule.suggestion,
            fingerprint=verdict.fingerprint,
        )
        room -= len(json.dumps(issue.model_dump(), ensure_ascii=False).encode()) + 1
        if room < 0:
            break
        listed.append(issue)
    return listed


def _shown(text: str) -> str:
    """Without surrogates, which JSON cannot hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _leave_sarif(kept: Sequence[Placed], verdicts: Sequence[Verdict]) -> None:
    rules = {one.found.rule.name: one.found.rule for one in kept}
    texts = [
        RuleText(each.name, each.message or each.suggestion, each.suggestion, (each.category,))
        for each in rules.values()
    ]
    results = [
        Result(
            rule=one.found.rule.name,
            level=_LEVELS[one.found.weight],
            message=_shown(one.found.text) or one.found.rule.suggestion,
            file=_shown(one.file),
            line=one.found.line,
            fingerprint=verdict.fingerprint,
            suppressed_by=verdict.hidden_by,
            reason=verdict.reason,
            properties={"category": one.found.rule.category, "severity": one.found.weight},
        )
        for one, verdict in zip(kept, verdicts, strict=True)
    ]
    document = sarif_document(Tool("penstock-code-reviewer", VERSION), texts, results)
    write_artifact(ARTIFACT, json.dumps(document, ensure_ascii=False))
