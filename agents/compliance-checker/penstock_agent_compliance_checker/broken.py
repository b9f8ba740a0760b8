"""A broken rule before it has a name of its own."""

from dataclasses import dataclass

from penstock_agent_compliance_checker.models import Rule, Severity


@dataclass(frozen=True, slots=True)
class Broken:
    """What is told of one place.

    Attributes:
        group: The group the rule belongs to.
        rule: Its stable name.
        severity: How bad it is.
        file: Relative, with slashes.
        line: From 1.
        message: One or two sentences, without any secret.
        detail: Tells several on one line apart, such as a package's name.
    """

    group: Rule
    rule: str
    severity: Severity
    file: str
    line: int
    message: str
    detail: str = ""
