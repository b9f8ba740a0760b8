"""The group `secrets`: credentials in files, in environments, in defaults; committed .env files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_sdk.credentials import Credential, CredentialFinder
from penstock_agent_sdk.credentials.file_kinds import is_env_file, is_sample
from penstock_agent_sdk.repository import SourceFile

MAX_PER_FILE = 60
# Of what the finder takes for tests, and folders that only help them.
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|testdata|testkit|conformance|\w+_testkit|fixtures|mocks?"
    r"|cassettes)/|(?:^|/)(?:test_|conftest)"
    r"|[._-](?:test|spec)\.[a-z]+$|_test\.go$|Tests?\.(?:java|kt|cs)$"
)
_LOCAL = re.compile(
    r"://[^@]*@(?:localhost|127\.|0\.0\.0\.0|\[::1\]|host\.docker|[a-z]+(?::\d+)?(?:/|$))"
)
# `user:password@host` shows the form of an address.
_SHOWN = re.compile(r"(?i)://[^\s/@]{0,100}:(?:password|passwd|secret|pass|pwd)@")
_KEPT_ELSEWHERE = "Take it from the environment or a secret store."


@dataclass
class SecretRules:
    """Reads files one by one.

    Attributes:
        ignored: Whether version control ignores a file: what it ignores is not committed.
    """

    finder: CredentialFinder = field(default_factory=CredentialFinder)
    ignored: frozenset[str] = frozenset()

    def look_at(self, source: SourceFile) -> Iterator[Broken]:
        """Violations of one file, at most one a line."""
        ignored = source.name in self.ignored or source.base in self.ignored
        found = list(self._found(source, ignored))
        if is_env_file(source.name) and not is_sample(source.name) and not ignored:
            yield from _env_file(source, found)
        yield from found

    def _found(self, source: SourceFile, ignored: bool) -> Iterator[Broken]:
        left = MAX_PER_FILE
        for one in self.finder.find(source.name, source.lines):
            softened = ignored or one.in_test or _TESTS.search(source.name) is not None
            severity = _severity(one, source.lines[one.line - 1], softened)
            if severity is None:
                continue
            rule, message = _said(one)
            yield Broken("secrets", f"secret:{rule}", severity, source.name, one.line, message)
            left -= 1
            if left == 0:
                return


def _severity(found: Credential, line: str, softened: bool) -> Severity | None:
    """How bad one is; None for what only looks like one."""
    if found.how == "form":
        return "warning" if softened else "critical"
    sure = found.grade == "sure"
    if found.how == "name" and not sure and (softened or found.place == "assignment"):
        return None  # a word in code is more often a label
    if found.how == "address":
        if not sure and _SHOWN.search(line):
            return None
        sure = sure and _LOCAL.search(line) is None
    if softened:
        return "info"
    return "critical" if sure else "warning"


def _said(found: Credential) -> tuple[str, str]:
    """The rule, and what is told of it."""
    if found.how in ("form", "file"):
        text = f"{found.kind} in the file. Revoke it, and take it from a secret store."
        return _slug(found.kind), text
    if found.how == "address":
        return "address", f"A password in an address. {_KEPT_ELSEWHERE}"
    weak = " It is easily guessed, too." if found.grade == "weak" else ""
    shown = found.name[:60]
    match found.place:
        case "default":
            return (
                "env-default",
                f"{shown} falls back to a credential in the file: without the variable, "
                f"everybody knows it.{weak}",
            )
        case "environment" | "configuration":
            return (
                "environment",
                f"{shown} is given a value in the file. {_KEPT_ELSEWHERE}{weak}",
            )
        case _:
            return "hard-coded", f"A credential is assigned to {shown} in the code."


def _env_file(source: SourceFile, found: list[Broken]) -> Iterator[Broken]:
    if not any("=" in line for line in source.lines):
        return
    severity: Severity = "warning" if found else "info"
    text = (
        "The file is part of the repository, so what is in it is known to all who can read it. "
        "Commit an example without values instead."
    )
    if not found and _TESTS.search(source.name):
        return
    if not any(one.line == 1 for one in found):
        yield Broken("secrets", "secret:env-file", severity, source.name, 1, text)


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
