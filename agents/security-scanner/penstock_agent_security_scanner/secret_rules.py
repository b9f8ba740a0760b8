"""detect-secrets, with its detectors driven directly.

Its own scan loop calls every filter of every detector on every line by reflection, honours
allow-list comments, and can ask the services whether a key is live. Here each detector first
looks at the whole text, in one regular expression search, and only lines where it saw something
are examined; nothing is verified over a network, and no value ever leaves this module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detect_secrets.filters import heuristic
from detect_secrets.plugins import (
    artifactory,
    aws,
    azure_storage_key,
    cloudant,
    discord,
    github_token,
    gitlab_token,
    ibm_cloud_iam,
    ibm_cos_hmac,
    jwt,
    keyword,
    mailchimp,
    npm,
    openai,
    private_key,
    pypi_token,
    sendgrid,
    slack,
    softlayer,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import RegexBasedDetector

from penstock_agent_security_scanner.models import Severity

CWE = "CWE-798"
SUGGESTION = (
    "Take it from the environment or a secret store, revoke this one, and purge the history."
)
MAX_LINE_CHARS = 4_000
MAX_PER_FILE = 100

# Formats the library lacks: (name, pattern). Each has a fixed, unmistakable prefix.
OWN_FORMATS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("GitHub fine-grained token", re.compile(r"\bgithub_pat_[0-9A-Za-z_]{82}\b")),
    ("Anthropic API key", re.compile(r"\bsk-ant-[0-9A-Za-z_-]{80,120}")),
    ("Hugging Face token", re.compile(r"\bhf_[A-Za-z]{34}\b")),
    ("DigitalOcean token", re.compile(r"\bdo[opr]_v1_[0-9a-f]{64}\b")),
)
# The library's pattern stops at characters that should be escaped in an address and rarely are.
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'{}<>]{1,100}:([^\s@/\"'{}<>]{1,200})@[\w.-]"
)
_CRITICAL = (aws.AWSKeyDetector, private_key.PrivateKeyDetector)
_KEYWORD = re.compile("|".join(keyword.DENYLIST), re.IGNORECASE)
# Files of `name=value` lines whose extension the library does not know as such.
_CONFIGURATION = re.compile(r"(?:^|/)\.env(?:\.[\w.-]+)?$|\.(?:env|cfg|cnf|conf|ini|properties)$")
_PLACEHOLDER = re.compile(
    r"(?i)change.?me|example|placeholder|dummy|your[-_ ]|replace|redacted|insert|todo|xxx|\*\*\*"
    r"|\.\.\.|^test|^none$|^null$|^true$|^false$|^\W*$|[{}<>()\[\]$]|%s|%\("
)
_WORD = re.compile(r"[A-Za-z][A-Za-z_./ :-]*")
MIN_VALUE_CHARS = 6


@dataclass(frozen=True)
class Secret:
    """Where a credential is and of what kind; never what it is."""

    rule: str
    severity: Severity
    line: int
    message: str


def _detectors() -> tuple[RegexBasedDetector, ...]:
    # Left out: the entropy detectors (hashes, ids and integrity values outnumber secrets by far)
    # and public IP addresses (not a secret).
    return (
        artifactory.ArtifactoryDetector(),
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        cloudant.CloudantDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        ibm_cloud_iam.IbmCloudIamDetector(),
        ibm_cos_hmac.IbmCosHmacDetector(),
        jwt.JwtTokenDetector(),
        mailchimp.MailchimpDetector(),
        npm.NpmDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        softlayer.SoftlayerDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    )


class SecretScanner:
    """Holds the detectors; one instance scans any number of files."""

    def __init__(self) -> None:
        self._detectors = _detectors()
        self._keyword = keyword.KeywordDetector()

    def scan(self, name: str, text: str) -> list[Secret]:
        """Credentials in one file, at most one per line, at most `MAX_PER_FILE`.

        Args:
            name: Path below the repository; decides how assignments are read.
            text: The whole file.
        """
        lines = text.splitlines()
        best: dict[int, Secret] = {}
        for secret in self._all(name, text, lines):
            best.setdefault(secret.line, secret)
            if len(best) >= MAX_PER_FILE:
                break
        return list(best.values())

    def _all(self, name: str, text: str, lines: list[str]) -> Iterator[Secret]:
        for kind, pattern in OWN_FORMATS:
            for match in pattern.finditer(text):
                number = text.count("\n", 0, match.start()) + 1
                yield Secret(_slug(kind), "high", number, f"{kind} in the file")
        for match in _ADDRESS.finditer(text):
            severity = graded(match[1])
            if severity:
                number = text.count("\n", 0, match.start()) + 1
                yield Secret("secret-in-address", severity, number, "A password in an address")
        for detector in self._detectors:
            if any(pattern.search(text) for pattern in detector.denylist):
                yield from self._by_format(detector, lines)
        if not heuristic.is_lock_file(name):
            yield from self._by_name(name, lines)

    @staticmethod
    def _by_format(detector: RegexBasedDetector, lines: list[str]) -> Iterator[Secret]:
        severity: Severity = "critical" if isinstance(detector, _CRITICAL) else "high"
        kind = detector.secret_type
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE_CHARS:
                continue
            values = [value for value in detector.analyze_string(line) if _is_plausible(value)]
            if values:
                yield Secret(_slug(kind), severity, number, f"{kind} in the file")

    def _by_name(self, name: str, lines: list[str]) -> Iterator[Secret]:
        """Assignments to names like `password`; the value decides how serious it is."""
        known_as = "settings.ini" if _CONFIGURATION.search(name) else name
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE_CHARS or not _KEYWORD.search(line):
                continue
            if heuristic.is_indirect_reference(line):
                continue
            found = self._keyword.analyze_line(filename=known_as, line=line, line_number=number)
            severity = _worst([item.secret_value or "" for item in found])
            if severity:
                message = "A value is assigned to a name that speaks of a credential"
                yield Secret("hard-coded-credential", severity, number, message)


def graded(value: str) -> Severity | None:
    """How serious a value assigned to a credential-like name is; None for a placeholder.

    A value with digits or mixed symbols was made to be hard to guess. A plain word is more often
    a label (`password_field = "password"`) than a credential, so it is reported as low.
    """
    text = value.strip().strip("\"'`,;")
    if len(text) < MIN_VALUE_CHARS or _PLACEHOLDER.search(text):
        return None
    if not _is_plausible(text) or heuristic.is_potential_uuid(text):
        return None
    if " " in text or _WORD.fullmatch(text):
        return "low"
    return "high"


def _worst(values: list[str]) -> Severity | None:
    grades = {graded(value) for value in values}
    return "high" if "high" in grades else "low" if "low" in grades else None


def _is_plausible(value: str) -> bool:
    return not (
        heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
        or heuristic.is_not_alphanumeric_string(value)
    )


def _slug(kind: str) -> str:
    return "secret-" + re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
