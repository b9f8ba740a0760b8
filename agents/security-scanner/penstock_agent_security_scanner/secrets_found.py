"""What is told about a credential that was found."""

from dataclasses import dataclass

from penstock_agent_security_scanner.models import Severity


@dataclass(frozen=True)
class Secret:
    """Where a credential is and of what kind; never what it is."""

    rule: str
    severity: Severity
    line: int
    message: str
