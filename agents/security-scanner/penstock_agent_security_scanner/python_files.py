"""Everything that is found in one Python file, each weakness once."""

import ast
import re
from dataclasses import dataclass, field, replace

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.bandit_rules import BanditScanner, Issue
from penstock_agent_security_scanner.models import RANK, Severity
from penstock_agent_security_scanner.modules import Modules
from penstock_agent_security_scanner.source_text import Parsed, parse
from penstock_agent_security_scanner.taint.analysis import analyse
from penstock_agent_security_scanner.taint.machine import Result
from penstock_agent_security_scanner.taint.relevance import has_strangers, worthwhile_lines


@dataclass(frozen=True)
class Weakness:
    """A finding before it knows its file."""

    rule: str
    severity: Severity
    line: int
    message: str
    cwe: str
    suggestion: str


@dataclass
class PythonReport:
    """What one file gave; `parsed` is False if parts of it are no Python."""

    found: list[Weakness] = field(default_factory=list[Weakness])
    parsed: bool = True


class PythonScanner:
    """bandit, and the flow of values that judges what it says."""

    def __init__(self, modules: Modules | None = None) -> None:
        self._bandit = BanditScanner()
        self._modules = modules

    def scan(self, name: str, data: bytes, text: str) -> PythonReport:
        """Judge one file.

        Args:
            name: Relative to the repository.
            data: The file.
            text: The same, decoded.
        """
        parsed = parse(data, text)
        if parsed is None:
            return PythonReport(parsed=False)
        result = self._followed(name, parsed)
        issues = self._issues(name, parsed.tree, parsed.text)
        if _TEST.search(name):
            issues = [_in_test(issue) for issue in issues if issue.test != "B101"]
        return PythonReport(merged(result, issues, text.splitlines()), parsed.whole)

    def _followed(self, name: str, parsed: Parsed) -> Result:
        worthwhile = worthwhile_lines(parsed.text)
        if not worthwhile:
            return Result()
        # What other modules do matters where values of strangers come in.
        follows = self._modules is not None and has_strangers(parsed.text)
        loader = self._modules.loader(name) if self._modules is not None and follows else None
        return analyse(parsed.tree, worthwhile, Modules.name_of(name), loader)

    def _issues(self, name: str, tree: ast.Module, text: str) -> list[Issue]:
        try:
            return self._bandit.scan(name, tree, text)
        except RecursionError:  # bandit's own helpers walk expressions by recursion
            return []


# A shell, an open file or an XML parser nobody needs is worth a word even with harmless values.
_STILL_UNUSUAL = (catalogue.COMMAND, catalogue.PERMISSIONS, catalogue.XXE)


# Programs that try other programs; a password there opens nothing, and an assert is the point.
_TEST = re.compile(r"(?:^|/)(?:tests?|testing)/|(?:^|/)(?:test_[^/]*|[^/]*_test|conftest)\.py$")


def _in_test(issue: Issue) -> Issue:
    return replace(issue, severity="low") if issue.rule is catalogue.CREDENTIAL else issue


def merged(result: Result, issues: list[Issue], lines: list[str]) -> list[Weakness]:
    """Bandit's issues in the light of the analysis, and what the analysis found besides."""
    hits = dict(result.hits)
    found: list[Weakness] = []
    for issue in issues:
        severity, line, name = issue.severity, issue.line, issue.name
        if issue.is_prose(lines) or line in result.dead:
            continue
        if _is_refuted(issue, result):
            if issue.rule not in _STILL_UNUSUAL:
                continue
            severity = "low"
        for (rule, at), level in list(hits.items()):
            same = issue.rule is not None and issue.rule.name == rule
            if same and (at in issue.lines or result.built.get((rule, at)) in issue.lines):
                del hits[rule, at]
                severity, name = min((severity, level), key=RANK.__getitem__), rule
        found.append(Weakness(name, severity, line, issue.message, issue.cwe, issue.suggestion))
    for (name, line), severity in hits.items():
        rule = result.rules[name]
        found.append(Weakness(name, severity, line, rule.message, rule.cwe, rule.suggestion))
    return sorted(found, key=lambda weakness: (weakness.line, weakness.rule))


def _is_refuted(issue: Issue, result: Result) -> bool:
    """Whether the analysis saw that the values are harmless."""
    if issue.rule is None or issue.test == "B609":
        return False
    name = issue.rule.name
    if any((name, line) in result.hits for line in issue.lines):
        return False
    cleared = result.cleared.get(name, set())
    if issue.rule is catalogue.SQL:
        return not cleared.isdisjoint(issue.lines)
    return issue.line in cleared
