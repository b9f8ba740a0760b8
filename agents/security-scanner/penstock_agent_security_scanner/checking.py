"""All that is looked for in one file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner import languages
from penstock_agent_security_scanner.models import Check, Finding

if TYPE_CHECKING:
    from penstock_agent_security_scanner.python_files import PythonScanner
    from penstock_agent_security_scanner.secret_rules import SecretScanner

CREDENTIAL_CWE: Final = "CWE-798"
CREDENTIAL: Final = "secret:"
CREDENTIAL_ADVICE: Final = (
    "Take it from the environment or a secret store, revoke this one, and purge the history."
)
# Findings kept per file and check; a file made to have thousands must not hide all others.
MAX_PER_FILE: Final = 500


@dataclass
class FileReport:
    """What one file gave.

    Attributes:
        found: By check.
        lines: Of the file.
        is_code: A language the code check has rules for.
        parsed: False if parts of a Python file are no Python.
        left_out: It is minified, or too large for its language.
        given_up: Reading it cost more than a file may.
        dropped: Findings over `MAX_PER_FILE`.
    """

    found: dict[Check, list[Finding]] = field(default_factory=dict[Check, list[Finding]])
    lines: int = 0
    is_code: bool = False
    parsed: bool = True
    left_out: bool = False
    given_up: bool = False
    dropped: int = 0


class FileChecker:
    """Holds the scanners of the requested checks; one instance looks at any number of files."""

    def __init__(self, root: Path, checks: frozenset[Check]) -> None:
        self._root = root
        self._checks = checks
        self._python: PythonScanner | None = None
        self._secrets: SecretScanner | None = None

    def check(self, source: SourceFile) -> FileReport:
        """Look at one file."""
        report = FileReport(lines=source.data.count(b"\n"))
        if "secrets" in self._checks:
            self._keep(report, "secrets", self._credentials(source))
        if "code" in self._checks:
            if source.is_python:
                report.is_code = True
                self._keep(report, "code", self._weaknesses(source, report))
            elif languages.handles(source):
                report.is_code = True
                report.left_out = languages.is_left_out(source)
                before = languages.not_read()
                self._keep(report, "code", _other_language(source))
                report.given_up = languages.not_read() > before
        return report

    @staticmethod
    def _keep(report: FileReport, check: Check, found: list[Finding]) -> None:
        report.found[check] = found[:MAX_PER_FILE]
        report.dropped += len(found[MAX_PER_FILE:])

    def _weaknesses(self, source: SourceFile, report: FileReport) -> list[Finding]:
        if self._python is None:
            self._python = _python(self._root)
        scanned = self._python.scan(source.name, source.data, source.text)
        report.parsed = scanned.parsed
        return [
            Finding(
                rule=weakness.rule,
                severity=weakness.severity,
                file=source.name,
                line=weakness.line,
                message=weakness.message,
                cwe=weakness.cwe,
                suggestion=weakness.suggestion,
            )
            for weakness in scanned.found
        ]

    def _credentials(self, source: SourceFile) -> list[Finding]:
        if self._secrets is None:
            self._secrets = _secrets()
        return [
            Finding(
                rule=f"{CREDENTIAL}{secret.rule}",
                severity=secret.severity,
                file=source.name,
                line=secret.line,
                message=secret.message,
                cwe=CREDENTIAL_CWE,
                suggestion=CREDENTIAL_ADVICE,
            )
            for secret in self._secrets.scan(source.name, source.lines)
        ]


def _other_language(source: SourceFile) -> list[Finding]:
    return [
        Finding(
            rule=rule.name,
            severity=rule.severity,
            file=source.name,
            line=line,
            message=rule.message,
            cwe=rule.cwe,
            suggestion=rule.suggestion,
        )
        for rule, line in languages.scan_file(source)
    ]


# Each library takes a tenth of a second to import: only what is needed is.
def _python(root: Path) -> "PythonScanner":
    from penstock_agent_security_scanner.modules import Modules  # noqa: PLC0415
    from penstock_agent_security_scanner.python_files import PythonScanner  # noqa: PLC0415

    return PythonScanner(Modules(root))


def _secrets() -> "SecretScanner":
    from penstock_agent_security_scanner.secret_rules import SecretScanner  # noqa: PLC0415

    return SecretScanner()
