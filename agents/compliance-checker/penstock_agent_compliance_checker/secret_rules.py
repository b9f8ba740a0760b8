"""The group `secrets`: credentials in files, in environments, in defaults; committed .env files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_compliance_checker.secret_formats import Formats
from penstock_agent_compliance_checker.secret_places import is_env_file, is_sample, kept_in
from penstock_agent_compliance_checker.secret_values import grade
from penstock_agent_sdk.repository import SourceFile

MAX_PER_FILE = 60
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec|specs|testdata|testkit|conformance|\w+_testkit|fixtures|mocks?|cassettes)/|(?:^|/)(?:test_|conftest)"
    r"|[._-](?:test|spec)\.[a-z]+$|_test\.go$|Tests?\.(?:java|kt|cs)$"
)
_LOCAL = re.compile(
    r"://[^@]*@(?:localhost|127\.|0\.0\.0\.0|\[::1\]|host\.docker|[a-z]+(?::\d+)?(?:/|$))"
)


@dataclass
class SecretRules:
    """Reads files one by one.

    Attributes:
        ignored: Whether version control ignores a file: what it ignores is not committed.
    """

    formats: Formats = field(default_factory=Formats)
    ignored: frozenset[str] = frozenset()

    def look_at(self, source: SourceFile) -> Iterator[Broken]:
        """Violations of one file, at most one a line."""
        best: dict[int, Broken] = {}
        for broken in self._all(source):
            known = best.get(broken.line)
            if known is None or (known.severity != "critical" and broken.severity == "critical"):
                best[broken.line] = broken
            if len(best) >= MAX_PER_FILE:
                break
        if is_env_file(source.name) and not is_sample(source.name) and not self._is_ignored(source):
            yield from _env_file(source, list(best.values()))
        yield from best.values()

    def _is_ignored(self, source: SourceFile) -> bool:
        return source.name in self.ignored or source.base in self.ignored

    def _all(self, source: SourceFile) -> Iterator[Broken]:
        name = source.name
        softened = bool(_TESTS.search(name)) or self._is_ignored(source)
        sample = is_env_file(name) and is_sample(name)
        for one in self.formats.find(name, source.lines):
            if one.password is None:
                text = f"{one.kind} in the file. Revoke it, and take it from a secret store."
                yield _broken(
                    _slug(one.kind), "warning" if softened else "critical", name, one.line, text
                )
                continue
            graded = grade(one.password)
            local = _LOCAL.search(source.lines[one.line - 1]) is not None
            if graded is None or (sample and graded != "real") or _is_stand_in(one.password):
                continue
            severity: Severity = "critical" if graded == "real" and not local else "warning"
            text = "A password in an address. Take it from the environment or a secret store."
            yield _broken("address", _softer(severity, softened), name, one.line, text)
        for kept in kept_in(name, source.lines):
            graded = grade(kept.value)
            if graded is None or kept.value.lower() == kept.name.lower():
                continue
            if graded == "guessable" and (sample or kept.place == "assignment" or softened):
                continue
            severity = "critical" if graded == "real" else "warning"
            rule, text = _said(kept.place, kept.name, graded)
            yield _broken(rule, _softer(severity, softened), name, kept.line, text)


def _is_stand_in(password: str) -> bool:
    """`user:password@host` shows the form of an address."""
    return password.lower() in ("password", "passwd", "secret", "pass", "pwd")


def _softer(severity: Severity, softened: bool) -> Severity:
    return "info" if softened else severity


def _said(place: str, name: str, graded: str) -> tuple[str, str]:
    shown = name[:60]
    weak = " It is easily guessed, too." if graded == "guessable" else ""
    match place:
        case "default":
            return (
                "env-default",
                f"{shown} falls back to a credential in the code: without the variable, everybody knows it.{weak}",  # noqa: E501
            )
        case "environment":
            return (
                "environment",
                f"{shown} is given a value in the file. Take it from the environment of the run or a secret store.{weak}",  # noqa: E501
            )
        case _:
            return "hard-coded", f"A credential is assigned to {shown} in the code."


def _env_file(source: SourceFile, found: list[Broken]) -> Iterator[Broken]:
    if not any("=" in line for line in source.lines):
        return
    severity: Severity = "warning" if found else "info"
    text = "The file is part of the repository, so what is in it is known to all who can read it. Commit an example without values instead."  # noqa: E501
    if not found and _TESTS.search(source.name):
        return
    if not any(one.line == 1 for one in found):
        yield _broken("env-file", severity, source.name, 1, text)


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")


def _broken(rule: str, severity: Severity, file: str, line: int, message: str) -> Broken:
    return Broken("secrets", f"secret:{rule}", severity, file, line, message)
