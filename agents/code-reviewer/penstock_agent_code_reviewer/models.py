"""Typed input and output of the code reviewer."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from penstock_agent_sdk.models import AgentModel

Category = Literal["complexity", "style", "security", "testing", "performance"]
Severity = Literal["blocker", "critical", "major", "minor"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

# done: everything was looked at. partial: a bound was met, or a file cannot be read as what it is.
Status = Literal["done", "partial"]
# What the changed lines were found by: commits of the repository, or nothing (whole files).
Comparison = Literal["commit", "none"]

MAX_CHANGED_FILES = 10_000
MAX_PATH_CHARS = 4_096
_PathText = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS)]
# A revision as git writes it; what begins with a dash would be taken for an option.
_Revision = Annotated[
    str, Field(max_length=300, pattern=r"^[A-Za-z0-9_@.][A-Za-z0-9_@./^~{}:+-]*$")
]


class ReviewInput(AgentModel):
    """What to review.

    Attributes:
        repository_path: Folder inside the sandbox (the executor rewrites the host's path).
        changed_files: Names relative to the repository; None for what differs from `baseline`,
            or for all files where there is none.
        baseline: A git revision (branch, tag, commit) to compare with. Its last commit in common
            with what is reviewed counts, so that others' later work is nobody's change.
        revision: A git revision to review instead of the files as they lie in the folder.
        suppressions: Whose comments hide issues: Penstock's own, all tools', or none.
        baseline_path: File with issues that are known: inside the repository, or mounted.
    """

    repository_path: _PathText
    changed_files: Annotated[tuple[_PathText, ...], Field(max_length=MAX_CHANGED_FILES)] | None = (
        None
    )
    baseline: _Revision | None = None
    revision: _Revision | None = None
    suppressions: Literal["own", "all", "none"] = "own"
    baseline_path: _PathText | None = None

    @field_validator("changed_files")
    @classmethod
    def _inside(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is None:
            return None
        plain = tuple(name.removeprefix("./") for name in names)
        if any(name.startswith("/") or ".." in name.split("/") for name in plain):
            raise ValueError("names are relative to the repository and stay inside it")
        return plain


class Issue(AgentModel):
    """One thing to mend.

    Attributes:
        rule: Stable name, for suppressions.
        category: `testing` holds what fails, or hides a failure, when it is run, as well as
            what is not tested.
        line: From 1.
        fingerprint: Stays when lines move.
    """

    rule: str
    category: Category
    severity: Severity
    file: str
    line: int
    message: str
    suggestion: str
    fingerprint: str


class Metrics(AgentModel):
    """Three figures about what changed.

    Attributes:
        complexity_score: Mean cyclomatic complexity of the functions with changed lines; 1 is a
            straight line, 0 says that no function was changed.
        test_coverage: Percent of changed lines that ran, by the repository's own coverage
            report; None without one that knows the changed files.
        security_issues: Issues of the category security.
    """

    complexity_score: float
    test_coverage: float | None
    security_issues: int


class FileSummary(AgentModel):
    """What was read; `skipped` counts by reason, `languages` the reviewed files."""

    reviewed: int = 0
    changed_lines: int = 0
    languages: dict[str, int] = Field(default_factory=dict)
    skipped: dict[str, int] = Field(default_factory=dict)


class Summary(AgentModel):
    """The counts behind the score.

    Attributes:
        compared_with: Commit that changed lines were found by.
        note: Why nothing was compared, where that was asked for.
        omitted: Issues that are not listed because the output is bounded.
        suppressed: Issues hidden by comments.
        baselined: Issues hidden by the baseline file.
        suppression_faults: Comments that hide nothing, and why (the first few).
    """

    status: Status
    comparison: Comparison
    compared_with: str | None
    note: str
    by_severity: dict[Severity, int]
    by_category: dict[Category, int]
    omitted: int
    suppressed: int
    baselined: int
    suppression_faults: list[str]
    highest_complexity: int
    coverage_report: str | None
    files: FileSummary
    duration_s: float


class ReviewOutput(AgentModel):
    """Most severe first. 100: nothing to mend; how the score falls is told in `scoring.py`."""

    score: int
    issues: list[Issue]
    metrics: Metrics
    summary: Summary
