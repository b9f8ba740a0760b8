"""What a rule of this scanner says."""

from dataclasses import dataclass

from penstock_agent_security_scanner.models import Severity


@dataclass(frozen=True)
class Rule:
    """What a finding of this rule says."""

    name: str
    severity: Severity
    cwe: str
    message: str
    suggestion: str
