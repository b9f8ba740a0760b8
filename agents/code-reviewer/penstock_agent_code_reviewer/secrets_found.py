"""Credentials written into code, in any language, as this agent tells of them."""

from collections.abc import Iterator, Sequence
from functools import cache

from penstock_agent_code_reviewer.models import Severity
from penstock_agent_code_reviewer.rules import Found, rule
from penstock_agent_sdk.credentials import Credential, CredentialFinder


def secrets(name: str, lines: Sequence[str], is_test: bool) -> Iterator[Found]:
    """Find credentials; in tests only those of a form that nothing else has count.

    Args:
        name: Of the file; decides how it is read.
        lines: Of the file.
        is_test: Whether it is one of tests.
    """
    for found in _finder().find(name, lines):
        in_test = is_test or found.in_test
        if in_test and found.how != "form":
            continue
        yield Found(rule("hardcoded-secret"), found.line, severity=_severity(found, in_test))


@cache
def _finder() -> CredentialFinder:
    return CredentialFinder()


def _severity(found: Credential, in_test: bool) -> Severity | None:
    """Of the rule itself only for what was made to be hard to guess."""
    if in_test:
        return "minor"
    return None if found.grade == "sure" else "major"
