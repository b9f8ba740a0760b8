"""Credentials in a file, as findings of this scanner."""

import re

from penstock_agent_sdk.credentials import Credential, CredentialFinder
from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.secrets_found import Secret

MAX_PER_FILE = 100
_CRITICAL = frozenset({"private key", "AWS access key", "AWS Access Key"})


class SecretScanner:
    """Holds the finder; one instance scans any number of files."""

    def __init__(self) -> None:
        self._finder = CredentialFinder()

    def scan(self, name: str, lines: list[str]) -> list[Secret]:
        """Credentials in one file, at most one per line, at most `MAX_PER_FILE`.

        Args:
            name: Path below the repository; decides how the file is read.
            lines: The whole file.
        """
        found = self._finder.find(name, lines)
        return [_secret(credential) for credential in found[:MAX_PER_FILE]]


def _secret(found: Credential) -> Secret:
    match found.how:
        case "form" | "file":
            rule, message = _slug(found.kind), f"{found.kind} in the file"
        case "address":
            rule, message = "in-address", "A password in an address"
        case "name":
            rule = "hard-coded-credential"
            message = "A value is assigned to a name that speaks of a credential"
    return Secret(rule, _severity(found), found.line, message)


def _severity(found: Credential) -> Severity:
    """A value made to be hard to guess is in use; a word is often a label, a test made it up."""
    if found.in_test:
        return "medium" if found.how == "form" else "low"
    if found.kind in _CRITICAL:
        return "critical"
    if found.grade == "sure":
        return "high"
    return "low" if found.place == "assignment" else "medium"


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
