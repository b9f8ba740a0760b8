"""Typed input and output of the security scanner."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from penstock_agent_sdk.models import AgentModel

Severity = Literal["critical", "high", "medium", "low"]
Check = Literal["code", "secrets", "dependencies"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_CHANGED_FILES = 10_000
CHECKS: tuple[Check, ...] = get_args(Check)
RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

# passed: done, nothing at or above the threshold. failed: something there. partial: a bound was
# met, or a package has no version to look up. not_checked: could not be done at all (no advisory
# snapshot). not_applicable: nothing of the kind in the repository. not_requested: not in scan_type.
Status = Literal["passed", "failed", "partial", "not_checked", "not_applicable", "not_requested"]


def _checks(value: object) -> object:
    if value == "all":
        return list(CHECKS)
    return [value] if isinstance(value, str) else value


class ScanInput(AgentModel):
    """What to scan.

    Attributes:
        repository_path: Folder inside the sandbox (the executor rewrites the host's path).
        scan_type: `all`, one check, or a list of checks.
        severity_threshold: Findings below it are counted, not listed, and do not fail the scan.
        advisory_path: Folder with advisories in OSV format; without it dependencies cannot be
            checked.
        suppressions: Whose comments hide findings: Penstock's own, which have a reason and may have
            an end (`own`), those of other tools too (`all`), or nobody's (`none`).
        baseline_path: File with findings that were known before; relative to the repository, or
            mounted elsewhere.
        changed_files: Look at these only; relative to the repository, with slashes.
    """

    repository_path: Annotated[str, Field(min_length=1, max_length=4_096)]
    scan_type: Annotated[
        tuple[Check, ...], BeforeValidator(_checks), Field(min_length=1, max_length=3)
    ] = CHECKS
    severity_threshold: Severity = "medium"
    advisory_path: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None
    suppressions: Literal["own", "all", "none"] = "own"
    baseline_path: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None
    changed_files: Annotated[tuple[str, ...], Field(max_length=MAX_CHANGED_FILES)] | None = None


class Finding(AgentModel):
    """One weakness at one place; `message` never holds a secret.

    `fingerprint` stays the same while the lines around it move.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    message: str
    cwe: str
    suggestion: str
    fingerprint: str = ""


class CheckSummary(AgentModel):
    """How one check ended, and how many findings it has at any severity."""

    status: Status
    findings: int = 0


class DependencySummary(CheckSummary):
    """Adds what was looked up: packages with a version, packages without, advisories read."""

    manifests: int = 0
    packages: int = 0
    without_version: int = 0
    advisories: int = 0


class FileSummary(AgentModel):
    """What was read and what was not; `skipped` counts by reason."""

    scanned: int = 0
    lines: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)


class Summary(AgentModel):
    """The counts behind `passed`.

    Attributes:
        total: Findings by severity, before the threshold and the output bound.
        below_threshold: Those not listed because of the threshold, by severity.
        omitted: Those not listed because the output is bounded, by severity.
        suppressed: Findings hidden by a comment.
        baselined: Findings hidden because the baseline knows them.
        suppression_faults: Penstock's comments that hide nothing (no reason, ended, malformed), as
            `file:line: why`; at most 50.
    """

    code: CheckSummary
    secrets: CheckSummary
    dependencies: DependencySummary
    severity_threshold: Severity
    total: dict[Severity, int]
    below_threshold: dict[Severity, int]
    omitted: dict[Severity, int]
    suppressed: int
    baselined: int
    suppression_faults: list[str]
    files: FileSummary
    duration_s: float


class ScanOutput(AgentModel):
    """Most severe first. `passed`: every requested check was done and nothing reached the bar."""

    findings: list[Finding]
    summary: Summary
    passed: bool
