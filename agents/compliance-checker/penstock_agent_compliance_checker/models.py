"""Typed input and output of the compliance checker."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from penstock_agent_sdk.models import AgentModel

Severity = Literal["critical", "warning", "info"]
Rule = Literal["licenses", "security", "secrets"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
RULES: tuple[Rule, ...] = get_args(Rule)
RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

# passed: done, nothing at the bar. failed: something there. partial: a bound was met.
# not_applicable: nothing of the kind in the repository. not_requested: not in rules.
Status = Literal["passed", "failed", "partial", "not_applicable", "not_requested"]

Path = Annotated[str, Field(min_length=1, max_length=4_096)]
Expression = Annotated[str, Field(min_length=1, max_length=400)]


def _rules(value: object) -> object:
    if value == "all":
        return list(RULES)
    return [value] if isinstance(value, str) else value


class CheckInput(AgentModel):
    """What to check.

    Attributes:
        repository_path: Folder inside the sandbox (the executor rewrites the host's path).
        rules: `all`, one group of rules, or a list of groups.
        project_license: Licence of the whole project, in place of what its files say.
        allowed_licenses: If given, dependencies may have no other licence.
        denied_licenses: Licences no dependency may have, though they be compatible.
        linking: How dependencies become part of the program; by default what their ecosystem does.
        require_license_headers: Every source file needs an SPDX-License-Identifier (REUSE).
        fail_on: A violation of that severity or above makes the check fail.
        suppressions: Whose comments hide violations: Penstock's own with a reason, other tools'
            too, or none.
        baseline_path: Violations known before: a file in the repository, or an absolute path.
        changed_files: Look at these only; licences as a whole if one of them is about licences.
    """

    repository_path: Path
    rules: Annotated[
        tuple[Rule, ...], BeforeValidator(_rules), Field(min_length=1, max_length=3)
    ] = RULES
    project_license: Expression | None = None
    allowed_licenses: Annotated[tuple[Expression, ...], Field(max_length=200)] | None = None
    denied_licenses: Annotated[tuple[Expression, ...], Field(max_length=200)] = ()
    linking: Literal["auto", "dynamic", "static", "copied"] = "auto"
    require_license_headers: bool = False
    fail_on: Severity = "warning"
    suppressions: Literal["own", "all", "none"] = "own"
    baseline_path: Path | None = None
    changed_files: Annotated[tuple[Path, ...], Field(max_length=10_000)] | None = None


class Violation(AgentModel):
    """One broken rule at one place; `message` never holds a secret. Line 1 for a whole file."""

    rule: str
    severity: Severity
    file: str
    line: int
    message: str
    fingerprint: str


class RuleSummary(AgentModel):
    """How one group of rules ended, and how many violations it has, hidden ones left out."""

    status: Status
    violations: int = 0


class LicenseFile(AgentModel):
    """What a licence file was recognised as; null: not recognised, or changed."""

    file: str
    license: str | None


class LicenseSummary(RuleSummary):
    """Adds what was found out about licences.

    Attributes:
        project: The project's licence; null if it is not known.
        texts: The licence files, the first of them.
        dependencies: Packages that manifests and lock files name.
        unknown: How many of them have no licence in the repository.
        by_license: Packages by licence, the most frequent ones.
    """

    project: str | None = None
    texts: list[LicenseFile] = Field(default_factory=list["LicenseFile"])
    dependencies: int = 0
    unknown: int = 0
    by_license: dict[str, int] = Field(default_factory=dict[str, int])


class FileSummary(AgentModel):
    """What was read and what was not; `skipped` counts by reason."""

    scanned: int = 0
    lines: int = 0
    skipped: dict[str, int] = Field(default_factory=dict[str, int])


class Summary(AgentModel):
    """The counts behind `passed`.

    Attributes:
        total: Violations by severity, before the bound of the output.
        omitted: Those not listed because the output is bounded, by severity.
        suppressed: Hidden by a comment.
        baselined: Hidden by the baseline.
        suppression_faults: Comments that hide nothing: expired, malformed, without a reason.
    """

    licenses: LicenseSummary
    security: RuleSummary
    secrets: RuleSummary
    fail_on: Severity
    total: dict[Severity, int]
    omitted: dict[Severity, int]
    suppressed: int
    baselined: int
    suppression_faults: int
    files: FileSummary
    duration_s: float


class CheckOutput(AgentModel):
    """Worst first. `passed`: every requested rule was carried out and nothing reached the bar."""

    violations: list[Violation]
    summary: Summary
    passed: bool
