"""The agents that look at one repository at a time."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock_agent_code_reviewer.models import ReviewInput
from penstock_agent_code_reviewer.review import reviewed
from penstock_agent_compliance_checker.models import CheckInput
from penstock_agent_compliance_checker.scan import check
from penstock_testkit.quality.cases import Case, Finding
from penstock_testkit.quality.verdicts import Verdict


@dataclass(frozen=True)
class Reviewer:
    """The code reviewer; a case with an earlier state is compared with it."""

    name: str = "code-reviewer"

    def judge(self, case: Case, folder: Path) -> Verdict:
        """All issues."""
        fields: dict[str, object] = {"repository_path": str(folder)}
        if case.before:
            fields["baseline"] = "HEAD~1"
        task = ReviewInput.model_validate({**fields, **case.input})
        with contextlib.redirect_stdout(io.StringIO()):
            output = reviewed(task)
        issues = [
            Finding(
                file=issue.file,
                line=issue.line,
                rule=issue.rule,
                severity=issue.severity,
                klass=issue.category,
            )
            for issue in output.issues
        ]
        return Verdict(issues, {"score": output.score})


@dataclass(frozen=True)
class Compliance:
    """The compliance checker; a case asks for licences unless it says otherwise."""

    name: str = "compliance-checker"

    def judge(self, case: Case, folder: Path) -> Verdict:
        """Violations, whether it passed, and what it takes the project's licence for."""
        asked: Mapping[str, object] = {"rules": "licenses", **case.input}
        task = CheckInput.model_validate({"repository_path": str(folder), **asked})
        with contextlib.redirect_stdout(io.StringIO()):
            output = check(task)
        violations = [
            Finding(
                file=violation.file,
                line=violation.line,
                rule=violation.rule,
                severity=violation.severity,
                klass=violation.rule,
            )
            for violation in output.violations
        ]
        licence = output.summary.licenses.project
        return Verdict(violations, {"passed": output.passed, "license": licence})
