"""One pass over a repository, all requested checks."""

import ast
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from penstock_agent_sdk import AgentError, progress
from penstock_agent_sdk.repository import SourceFile, Walk
from penstock_agent_security_scanner import dependencies, text_rules
from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.manifests import is_manifest
from penstock_agent_security_scanner.models import (
    RANK,
    Check,
    CheckSummary,
    DependencySummary,
    FileSummary,
    Finding,
    ScanInput,
    ScanOutput,
    Status,
    Summary,
)
from penstock_agent_security_scanner.python_rules import Scan, scan_python
from penstock_agent_security_scanner.report import build_report
from penstock_agent_security_scanner.secrets_found import Secret

if TYPE_CHECKING:
    from penstock_agent_security_scanner.bandit_rules import BanditScanner
    from penstock_agent_security_scanner.secret_rules import SecretScanner

CREDENTIAL_CWE = "CWE-798"
CREDENTIAL_ADVICE = (
    "Take it from the environment or a secret store, revoke this one, and purge the history."
)

# After this the files not yet reached are counted and the check is partial: an answer in time
# that says what it lacks is worth more than a task killed at its limit.
DEADLINE_S = 25.0
BATCH_FILES = 50
BATCH_BYTES = 4_000_000
# Findings kept per check; a repository made to have millions of them must not take our memory.
MAX_KEPT = 10_000
_SUPPRESSION = re.compile(
    r"#\s*nosec\b|nosemgrep|#\s*noqa:?.*\bS\d{3}\b|pragma: ?(?:allow|white)list[ -]"
    r"|NOSONAR|eslint-disable|checkov:skip|gitleaks:allow|@SuppressWarnings"
)


@dataclass
class _State:
    """What has been gathered so far."""

    found: dict[Check, list[Finding]] = field(
        default_factory=lambda: {"code": [], "secrets": [], "dependencies": []}
    )
    scanned: int = 0
    lines: int = 0
    code_files: int = 0
    not_reached: int = 0
    suppression_comments: int = 0
    suppressed: int = 0
    not_kept: int = 0
    manifests: list[SourceFile] = field(default_factory=list)


def scan(task: ScanInput, clock: Callable[[], float] = time.monotonic) -> ScanOutput:
    """Scan one repository.

    Raises:
        AgentError: `no_repository` when the path is not a folder that can be read.
    """
    root = Path(task.repository_path)
    if not root.is_dir():
        raise AgentError("no_repository", "repository_path is not a folder in this sandbox")
    return _Scanner(task, root, clock).run()


class _Scanner:
    def __init__(self, task: ScanInput, root: Path, clock: Callable[[], float]) -> None:
        self._task = task
        self._clock = clock
        self._started = clock()
        self._walk = Walk(root)
        self._state = _State()
        self._bandit = _bandit() if "code" in task.scan_type else None
        self._secrets = _secrets() if "secrets" in task.scan_type else None

    def run(self) -> ScanOutput:
        batch: list[SourceFile] = []
        for source in self._walk:
            if self._late():
                self._state.not_reached += 1
                continue
            self._look_at(source)
            if self._bandit is not None and source.is_python:
                batch.append(source)
            if len(batch) >= BATCH_FILES or sum(len(s.data) for s in batch) > BATCH_BYTES:
                self._python(batch)
                batch = []
        self._python(batch)
        return self._result()

    def _late(self) -> bool:
        return self._clock() - self._started > DEADLINE_S

    def _look_at(self, source: SourceFile) -> None:
        state = self._state
        state.scanned += 1
        state.lines += source.data.count(b"\n")
        if self._secrets is not None:
            for secret in self._secrets.scan(source.name, source.lines):
                self._add("secrets", source, _secret_finding(secret, source.name))
        if "code" in self._task.scan_type and source.suffix in text_rules.LANGUAGES:
            state.code_files += 1
            for rule, line in text_rules.scan_text(source.suffix, source.text, source.lines):
                self._add("code", source, _finding(rule, source.name, line))
        if "dependencies" in self._task.scan_type and is_manifest(source.base):
            state.manifests.append(source)

    def _python(self, batch: list[SourceFile]) -> None:
        """Run bandit and the own rules over one batch."""
        if self._bandit is None or not batch:
            return
        progress(f"{self._state.scanned} files read")
        self._state.code_files += len(batch)
        by_path = {str(source.path): source for source in batch}
        own: dict[str, Scan] = {path: _own_rules(source) for path, source in by_path.items()}
        for path, scanned in own.items():
            source = by_path[path]
            for rule, line in scanned.found:
                self._add("code", source, _finding(rule, source.name, line))
        for issue in self._bandit.scan(by_path):
            source = by_path[issue.path]
            judged = issue.judged(source.lines, own[issue.path].constant_sql)
            if judged is None:
                continue
            finding = Finding(
                rule=judged.rule,
                severity=judged.severity,
                file=source.name,
                line=judged.line,
                message=judged.message,
                cwe=judged.cwe,
                suggestion=judged.suggestion,
            )
            self._add("code", source, finding, judged.lines)

    def _add(
        self, check: Check, source: SourceFile, finding: Finding, lines: range | None = None
    ) -> None:
        covered = lines or range(finding.line, finding.line + 1)
        text = source.lines[covered.start - 1 : covered.stop - 1]
        if any(_SUPPRESSION.search(line) for line in text):
            self._state.suppression_comments += 1
            if self._task.honour_suppressions:
                self._state.suppressed += 1
                return
        if len(self._state.found[check]) >= MAX_KEPT:
            self._state.not_kept += 1
            return
        self._state.found[check].append(finding)

    def _result(self) -> ScanOutput:
        state, task = self._state, self._task
        looked_up = dependencies.check(state.manifests, task.advisory_path)
        state.found["dependencies"] = looked_up.findings
        everything = [finding for group in state.found.values() for finding in group]
        report = build_report(everything, task.severity_threshold)
        skipped = dict(self._walk.skipped)
        if state.not_reached:
            skipped["deadline"] = state.not_reached
        if self._bandit is not None and self._bandit.unparsed:
            skipped["not_parsed"] = self._bandit.unparsed
        summary = Summary(
            code=self._check("code", state.code_files),
            secrets=self._check("secrets", state.scanned),
            dependencies=DependencySummary(
                status=self._status("dependencies", looked_up.status),
                findings=len(looked_up.findings),
                manifests=looked_up.manifests,
                packages=looked_up.packages,
                without_version=looked_up.without_version,
                advisories=looked_up.advisories,
            ),
            severity_threshold=task.severity_threshold,
            total=report.total,
            below_threshold=report.below_threshold,
            omitted=report.omitted,
            suppression_comments=state.suppression_comments,
            suppressed=state.suppressed,
            files=FileSummary(scanned=state.scanned, lines=state.lines, skipped=skipped),
            duration_s=round(self._clock() - self._started, 3),
        )
        statuses = {summary.code.status, summary.secrets.status, summary.dependencies.status}
        passed = statuses <= {"passed", "not_applicable", "not_requested"}
        return ScanOutput(findings=report.listed, summary=summary, passed=passed)

    def _check(self, check: Check, files: int) -> CheckSummary:
        status = self._status(check, "passed" if files else "not_applicable")
        return CheckSummary(status=status, findings=len(self._state.found[check]))

    def _status(self, check: Check, otherwise: Status) -> Status:
        """Failed beats partial, and both beat what the check itself would say."""
        if check not in self._task.scan_type:
            return "not_requested"
        bar = RANK[self._task.severity_threshold]
        if any(RANK[finding.severity] <= bar for finding in self._state.found[check]):
            return "failed"
        state = self._state
        if self._walk.truncated or state.not_reached or state.not_kept:
            return "partial"
        return otherwise


# Each library takes a tenth of a second to import: only what was asked for is.
def _bandit() -> "BanditScanner":
    from penstock_agent_security_scanner.bandit_rules import BanditScanner  # noqa: PLC0415

    return BanditScanner()


def _secrets() -> "SecretScanner":
    from penstock_agent_security_scanner.secret_rules import SecretScanner  # noqa: PLC0415

    return SecretScanner()


def _own_rules(source: SourceFile) -> Scan:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the scanned code's syntax is not our program's
            tree = ast.parse(source.data)
            return scan_python(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # bandit meets the same file, cannot parse it either, and counts it as `not_parsed`.
        return Scan()


def _secret_finding(secret: Secret, file: str) -> Finding:
    return Finding(
        rule=secret.rule,
        severity=secret.severity,
        file=file,
        line=secret.line,
        message=secret.message,
        cwe=CREDENTIAL_CWE,
        suggestion=CREDENTIAL_ADVICE,
    )


def _finding(rule: Rule, file: str, line: int) -> Finding:
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        file=file,
        line=line,
        message=rule.message,
        cwe=rule.cwe,
        suggestion=rule.suggestion,
    )
