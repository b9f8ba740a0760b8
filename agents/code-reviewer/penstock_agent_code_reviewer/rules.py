"""What a rule is, and every rule of this reviewer's own."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from penstock_agent_code_reviewer.models import Category, Severity

PACKAGE = "penstock_agent_code_reviewer"


@dataclass(frozen=True, slots=True)
class Rule:
    """What an issue of this rule says."""

    name: str
    category: Category
    severity: Severity
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Found:
    """A rule met at a line.

    Attributes:
        end: Last line of what the rule is about: a change there is a change of it.
        message: Instead of the rule's own.
        severity: Instead of the rule's own.
        detail: Tells two of one rule on one line apart.
    """

    rule: Rule
    line: int
    end: int = 0
    message: str = ""
    severity: Severity | None = None
    detail: str = ""

    @property
    def weight(self) -> Severity:
        """The severity that counts."""
        return self.severity or self.rule.severity

    @property
    def text(self) -> str:
        """What to tell."""
        return self.message or self.rule.message


def table(name: str) -> Mapping[str, object]:
    """Read a table that lies beside this module."""
    return tomllib.loads(files(PACKAGE).joinpath(name).read_text(encoding="utf-8"))


@cache
def own_rules() -> Mapping[str, Rule]:
    """The rules of `rules.toml`, by name."""
    return {
        name: Rule(name, *fields)  # type: ignore[arg-type]  # the table's test checks the shape
        for name, fields in table("rules.toml").items()
    }


def rule(name: str) -> Rule:
    """One of this reviewer's own rules."""
    return own_rules()[name]
