"""One pass over a repository, all requested checks."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from penstock_agent_sdk import AgentError, progress
from penstock_agent_sdk.findings import Baseline, Sieve, baseline_in
from penstock_agent_sdk.repository import SourceFile, Walk
from penstock_agent_security_scanner import dependencies
from penstock_agent_security_scanner.checking import FileChecker, FileReport
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
from penstock_agent_security_scanner.modules import read_regular
from penstock_agent_security_scanner.report import Report, build_report, leave_sarif
from penstock_agent_security_scanner.workers import Workers, processors

# After this the files not yet reached are counted and the check is partial: an answer in time
# that says what it lacks is worth more than a task killed at its limit.
DEADLINE_S = 90.0
# Fewer files are done before a second process has started.
FILES_FOR_WORKERS = 120
BYTES_FOR_WORKERS = 600_000
# Findings kept per check; a repository made to have millions of them must not take our memory.
MAX_KEPT = 10_000
PROGRESS_EVERY = 500


@dataclass
class _State:
    """What has been gathered so far."""

    found: dict[Check, list[Finding]] = field(
        default_factory=lambda: {"code": [], "secrets": [], "dependencies": []}
    )
    scanned: int = 0
    lines: int = 0
    code_files: int = 0
    not_parsed: int = 0
    left_out: int = 0
    given_up: int = 0
    not_reached: int = 0
    not_kept: int = 0
    manifests: list[SourceFile] = field(default_factory=list[SourceFile])


def scan(
    task: ScanInput,
    clock: Callable[[], float] = time.monotonic,
    today: date | None = None,
    workers: int | None = None,
) -> ScanOutput:
    """Scan one repository.

    Args:
        task: What to look at, and for what.
        clock: Seconds, for the deadline.
        today: Decides which suppressions have ended; the current day by default.
        workers: How many processes check files; by default as many as there are processors.

    Raises:
        AgentError: `no_repository` when the path is not a folder that can be read;
            `bad_baseline` when the baseline cannot be.
    """
    root = Path(task.repository_path)
    if not root.is_dir():
        raise AgentError("no_repository", "repository_path is not a folder in this sandbox")
    day = today or datetime.now(UTC).date()
    baseline = baseline_in(root, task.baseline_path, day)
    scanner = _Scanner(task, root, clock, processors() if workers is None else workers)
    return scanner.run(baseline, day)


class _Scanner:
    def __init__(
        self, task: ScanInput, root: Path, clock: Callable[[], float], workers: int
    ) -> None:
        self._task = task
        self._root = root
        self._clock = clock
        self._started = clock()
        self._worker_count = workers
        only = None if task.changed_files is None else frozenset(task.changed_files)
        self._walk = Walk(root, only)
        self._state = _State()
        self._checker = FileChecker(root, frozenset(task.scan_type))

    def run(self, baseline: Baseline, today: date) -> ScanOutput:
        """Walk, check, judge."""
        for name, report in self._reports():
            self._take(name, report)
        looked_up = dependencies.check(self._state.manifests, self._task.advisory_path)
        self._state.found["dependencies"] = looked_up.findings
        everything = [finding for group in self._state.found.values() for finding in group]
        sieve = Sieve(self._task.suppressions, baseline, self._lines)
        report = build_report(everything, self._task.severity_threshold, sieve, today)
        leave_sarif(report)
        return self._output(report, looked_up)

    def _late(self) -> bool:
        return self._clock() - self._started > DEADLINE_S

    def _reports(self) -> Iterator[tuple[str, FileReport]]:
        """Here while there are few files, in workers as soon as there are many."""
        sources = self._sources()
        first: list[SourceFile] = []
        size = 0
        for source in sources:
            first.append(source)
            size += len(source.data)
            if len(first) >= FILES_FOR_WORKERS or size >= BYTES_FOR_WORKERS:
                break
        else:
            yield from self._here(first)
            return
        rest = itertools.chain(first, sources)
        if self._worker_count < 2:
            yield from self._here(rest)
            return
        workers = Workers(self._checker.check, self._late, self._worker_count)
        yield from workers.run(rest)
        self._state.not_reached += workers.lost

    def _here(self, sources: Iterable[SourceFile]) -> Iterator[tuple[str, FileReport]]:
        for source in sources:
            if self._late():
                self._state.not_reached += 1
                continue
            yield source.name, self._checker.check(source)

    def _sources(self) -> Iterator[SourceFile]:
        for source in self._walk:
            if "dependencies" in self._task.scan_type and is_manifest(source.base):
                self._state.manifests.append(source)
            yield source

    def _take(self, name: str, report: FileReport) -> None:
        state = self._state
        state.scanned += 1
        state.lines += report.lines
        state.code_files += report.is_code
        state.not_parsed += not report.parsed
        state.left_out += report.left_out
        state.given_up += report.given_up
        state.not_kept += report.dropped
        for check, found in report.found.items():
            room = MAX_KEPT - len(state.found[check])
            state.found[check] += found[:room]
            state.not_kept += len(found[room:])
        if state.scanned % PROGRESS_EVERY == 0:
            progress(f"{state.scanned} files read")

    def _lines(self, file: str) -> list[str]:
        data = read_regular(self._root / file)
        return [] if data is None else data.decode("utf-8", "replace").splitlines()

    def _output(self, report: Report, looked_up: dependencies.Lookup) -> ScanOutput:
        state, task = self._state, self._task
        skipped = dict(self._walk.skipped)
        if state.not_reached:
            skipped["deadline"] = state.not_reached
        if state.not_parsed:
            skipped["not_parsed"] = state.not_parsed
        if state.left_out:
            skipped["minified"] = state.left_out
        if state.given_up:
            skipped["given_up"] = state.given_up
        summary = Summary(
            code=self._check("code", state.code_files, report),
            secrets=self._check("secrets", state.scanned, report),
            dependencies=DependencySummary(
                status=self._status("dependencies", looked_up.status, report),
                findings=len(report.of_check("dependencies")),
                manifests=looked_up.manifests,
                packages=looked_up.packages,
                without_version=looked_up.without_version,
                advisories=looked_up.advisories,
            ),
            severity_threshold=task.severity_threshold,
            total=report.total,
            below_threshold=report.below_threshold,
            omitted=report.omitted,
            suppressed=report.suppressed,
            baselined=report.baselined,
            suppression_faults=report.faults,
            files=FileSummary(scanned=state.scanned, lines=state.lines, skipped=skipped),
            duration_s=round(self._clock() - self._started, 3),
        )
        statuses = {summary.code.status, summary.secrets.status, summary.dependencies.status}
        passed = statuses <= {"passed", "not_applicable", "not_requested"}
        return ScanOutput(findings=report.listed, summary=summary, passed=passed)

    def _check(self, check: Check, files: int, report: Report) -> CheckSummary:
        status = self._status(check, "passed" if files else "not_applicable", report)
        return CheckSummary(status=status, findings=len(report.of_check(check)))

    def _status(self, check: Check, otherwise: Status, report: Report) -> Status:
        """Failed beats partial, and both beat what the check itself would say."""
        if check not in self._task.scan_type:
            return "not_requested"
        bar = RANK[self._task.severity_threshold]
        if any(RANK[finding.severity] <= bar for finding in report.of_check(check)):
            return "failed"
        state = self._state
        if self._walk.truncated or state.not_reached or state.not_kept:
            return "partial"
        if check == "code" and state.given_up:
            return "partial"
        return otherwise
