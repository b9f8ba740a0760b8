"""The project's agents as the harness sees them. No library may import an agent; a test may."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from penstock_agent_security_scanner.models import Check, ScanInput, ScanOutput, Severity
from penstock_agent_security_scanner.scan import scan
from penstock_testkit.quality.cases import Finding
from penstock_testkit.quality.families import number_of
from penstock_testkit.quality.subjects import Scanned

FILES_AT_ONCE = 400
DEPENDENCY = "dependency:"


@dataclass(frozen=True)
class Scanner:
    """The security scanner, some of its checks."""

    name: str = "security-scanner"
    checks: tuple[Check, ...] = ("code", "secrets")
    threshold: Severity = "medium"
    advisories: Path | None = None
    tool: bool = False
    files_at_once: int = FILES_AT_ONCE

    def scan(self, folder: Path) -> Scanned:
        """Every finding; not whole where the output or the time was bounded."""
        task = ScanInput(
            repository_path=str(folder),
            scan_type=self.checks,
            severity_threshold=self.threshold,
            advisory_path=None if self.advisories is None else str(self.advisories),
        )
        with contextlib.redirect_stdout(io.StringIO()):  # where its progress goes
            output = scan(task)
        return Scanned([_finding(item) for item in output.findings], whole=_is_whole(output))


def _is_whole(output: ScanOutput) -> bool:
    summary = output.summary
    return not any(summary.omitted.values()) and "deadline" not in summary.files.skipped


def _finding(item: object) -> Finding:
    rule, file, line = (getattr(item, name) for name in ("rule", "file", "line"))
    number = number_of(getattr(item, "cwe", "") or "")
    return Finding(
        file=file,
        line=line,
        rule=rule,
        cwes=frozenset() if number is None else frozenset({number}),
        severity=getattr(item, "severity", ""),
        klass=rule.removeprefix(DEPENDENCY) if rule.startswith(DEPENDENCY) else rule,
    )
