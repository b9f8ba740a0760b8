"""One pass over a repository, all requested groups of rules."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.licence_rules import LicenceRules, is_about_licences
from penstock_agent_compliance_checker.models import (
    RANK,
    CheckInput,
    CheckOutput,
    FileSummary,
    LicenseSummary,
    Rule,
    RuleSummary,
    Status,
    Summary,
)
from penstock_agent_compliance_checker.report import Judged, omitted
from penstock_agent_compliance_checker.secret_rules import SecretRules
from penstock_agent_compliance_checker.security_rules import SecurityRules
from penstock_agent_sdk import AgentError, progress
from penstock_agent_sdk.artifacts import write_artifact
from penstock_agent_sdk.findings import Sieve, baseline_in
from penstock_agent_sdk.repository import MAX_FILE_BYTES, SourceFile, Walk

# After this the files not reached are counted and the groups are partial: an answer in time that
# says what it lacks is worth more than a task killed at its limit.
DEADLINE_S = 40.0
PROGRESS_FILES = 1_000
# A repository made to break millions of rules must not take our memory.
MAX_KEPT = 20_000
SARIF_NAME = "compliance-checker.sarif"


def check(
    task: CheckInput,
    clock: Callable[[], float] = time.monotonic,
    today: date | None = None,
) -> CheckOutput:
    """Check one repository.

    Raises:
        AgentError: `no_repository` when the path is not a folder that can be read, or
            `bad_baseline`.
    """
    root = Path(task.repository_path)
    if not root.is_dir():
        raise AgentError("no_repository", "repository_path is not a folder in this sandbox")
    return _Checker(task, root, clock, today or datetime.now(UTC).date()).run()


class _Wanted(Collection[str]):
    """The changed files, and those that licences are judged by."""

    def __init__(self, changed: Sequence[str], about_licences: bool) -> None:
        self._changed = {name.removeprefix("./") for name in changed}
        self._about_licences = about_licences

    def __contains__(self, name: object) -> bool:
        if name in self._changed:
            return True
        return self._about_licences and isinstance(name, str) and is_about_licences(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._changed)

    def __len__(self) -> int:
        return len(self._changed)


@dataclass
class _Checker:
    task: CheckInput
    root: Path
    clock: Callable[[], float]
    today: date
    started: float = 0.0
    scanned: int = 0
    lines: int = 0
    not_reached: int = 0
    not_kept: int = 0
    found: list[Broken] = field(default_factory=list["Broken"])

    def run(self) -> CheckOutput:
        task = self.task
        self.started = self.clock()
        baseline = baseline_in(self.root, task.baseline_path, self.today)
        licences = LicenceRules(task) if "licenses" in task.rules else None
        security = SecurityRules() if "security" in task.rules else None
        secrets = SecretRules(ignored=_ignored(self.root)) if "secrets" in task.rules else None
        walk = Walk(self.root, only=self._only(licences is not None))
        for source in walk:
            if self._late():
                self.not_reached += 1
                continue
            self._count(source)
            if licences is not None:
                licences.look_at(source)
            if security is not None:
                security.look_at(source)
            if secrets is not None:
                self._keep(secrets.look_at(source))
        if licences is not None:
            self._keep(licences.finish(self.root, self._late))
        if security is not None:
            self._keep(security.finish())
        judged = Judged(
            self._of_changed(), Sieve(task.suppressions, baseline, self._lines_of), self.today
        )
        write_artifact(SARIF_NAME, judged.sarif())
        partial = walk.truncated or bool(self.not_reached or self.not_kept)
        return self._output(judged, walk, licences, security, partial)

    def _late(self) -> bool:
        return self.clock() - self.started > DEADLINE_S

    def _count(self, source: SourceFile) -> None:
        self.scanned += 1
        self.lines += source.data.count(b"\n")
        if self.scanned % PROGRESS_FILES == 0:
            progress(f"{self.scanned} files read")

    def _only(self, licences: bool) -> Collection[str] | None:
        changed = self.task.changed_files
        return None if changed is None else _Wanted(changed, licences)

    def _keep(self, found: Iterator[Broken] | list[Broken]) -> None:
        for one in found:
            if len(self.found) >= MAX_KEPT:
                self.not_kept += 1
            else:
                self.found.append(one)

    def _of_changed(self) -> list[Broken]:
        """Of an incremental check, only what the change can have brought."""
        if self.task.changed_files is None:
            return self.found
        changed = {name.removeprefix("./") for name in self.task.changed_files}
        whole = any(is_about_licences(name) for name in changed)
        return [
            one for one in self.found if one.file in changed or (whole and one.group == "licenses")
        ]

    def _lines_of(self, name: str) -> Sequence[str]:
        """A file's text for suppressions and fingerprints; read again, as few have violations."""
        path = self.root / name
        try:
            if path.is_symlink() or not path.is_file():
                return []
            with path.open("rb") as opened:
                return opened.read(MAX_FILE_BYTES).decode("utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def _output(
        self,
        judged: Judged,
        walk: Walk,
        licences: LicenceRules | None,
        security: SecurityRules | None,
        partial: bool,
    ) -> CheckOutput:
        shown = judged.listed()
        total = judged.counts()
        skipped = dict(walk.skipped)
        if self.not_reached:
            skipped["deadline"] = self.not_reached
        of_licences = partial or bool(licences and licences.truncated)
        base = self._group("licenses", judged, of_licences, bool(self.scanned))
        own = LicenseSummary(status=base.status, violations=base.violations)
        serves = security is not None and security.applicable
        summary = Summary(
            licenses=own if licences is None else licences.summary(own),
            security=self._group("security", judged, partial, serves),
            secrets=self._group("secrets", judged, partial, bool(self.scanned)),
            fail_on=self.task.fail_on,
            total=total,
            omitted=omitted(total, shown),
            suppressed=judged.suppressed,
            baselined=judged.baselined,
            suppression_faults=judged.faults,
            files=FileSummary(scanned=self.scanned, lines=self.lines, skipped=skipped),
            duration_s=round(self.clock() - self.started, 3),
        )
        statuses = {summary.licenses.status, summary.security.status, summary.secrets.status}
        passed = statuses <= {"passed", "not_applicable", "not_requested"}
        return CheckOutput(violations=shown, summary=summary, passed=passed)

    def _group(self, rule: Rule, judged: Judged, partial: bool, applicable: bool) -> RuleSummary:
        """Failed beats partial, and both beat what the group itself would say."""
        if rule not in self.task.rules:
            return RuleSummary(status="not_requested")
        own = [one for one, _ in judged.shown if one.group == rule]
        status: Status = "passed" if applicable else "not_applicable"
        if partial:
            status = "partial"
        if any(RANK[one.severity] <= RANK[self.task.fail_on] for one in own):
            status = "failed"
        return RuleSummary(status=status, violations=len(own))


def _ignored(root: Path) -> frozenset[str]:
    """Plain names that the top's .gitignore lists; patterns are not worked out."""
    path = root / ".gitignore"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return frozenset()
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(
        line.strip().lstrip("/") for line in lines if line.strip()[:1] not in ("", "#", "!")
    )
