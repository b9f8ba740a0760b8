"""detect-secrets, with its detectors driven directly.

Its own scan loop calls every filter of every detector on every line by reflection, honours
allow-list comments, and can ask the services whether a key is live. Here each detector first
looks at the whole text, in one regular expression search, and only lines where it saw something
are examined; nothing is verified over a network, and no value ever leaves this module.
"""

import re
from collections.abc import Iterator

from detect_secrets.filters import heuristic
from detect_secrets.plugins import (
    artifactory,
    aws,
    azure_storage_key,
    discord,
    github_token,
    gitlab_token,
    jwt,
    keyword,
    mailchimp,
    npm,
    openai,
    private_key,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import RegexBasedDetector

from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.secrets_found import Secret

# Longer lines (minified code, one-line JSON) are looked at in pieces that overlap by more than the
# longest credential format: the cost of the library's patterns grows with the square of the length.
PIECE_CHARS = 1_000
OVERLAP_CHARS = 200
# The library's assignment patterns backtrack quadratically in the length of a line.
MAX_ASSIGNMENT_CHARS = 400
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
_BLANKS = re.compile(r"[ \t]{5,}")
MIN_VALUE_CHARS = 6


def _detectors() -> tuple[RegexBasedDetector, ...]:
    # Left out: the entropy detectors (hashes, ids and integrity values outnumber secrets by far),
    # public IP addresses (not a secret), and the four IBM formats (one pattern shape that takes
    # seconds on a line of a thousand blanks, so that a repository could stop its own scan).
    return (
        artifactory.ArtifactoryDetector(),
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        mailchimp.MailchimpDetector(),
        npm.NpmDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
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

    def scan(self, name: str, lines: list[str]) -> list[Secret]:
        """Credentials in one file, at most one per line, at most `MAX_PER_FILE`.

        Args:
            name: Path below the repository; decides how assignments are read.
            lines: The whole file.
        """
        best: dict[int, Secret] = {}
        for secret in self._all(name, list(pieces(lines))):
            best.setdefault(secret.line, secret)
            if len(best) >= MAX_PER_FILE:
                break
        return list(best.values())

    def _all(self, name: str, parts: list[tuple[int, str]]) -> Iterator[Secret]:
        text = "\n".join(part for _, part in parts)
        for kind, pattern in OWN_FORMATS:
            for number in _numbers(pattern, text, parts):
                yield Secret(_slug(kind), "high", number, f"{kind} in the file")
        if "://" in text:
            for number, part in parts:
                severity = _worst(_ADDRESS.findall(part)) if "://" in part else None
                if severity:
                    yield Secret("secret-in-address", severity, number, "A password in an address")
        for detector in self._detectors:
            if any(pattern.search(text) for pattern in detector.denylist):
                yield from self._by_format(detector, parts)
        if not heuristic.is_lock_file(name):
            yield from self._by_name(name, parts)

    @staticmethod
    def _by_format(detector: RegexBasedDetector, parts: list[tuple[int, str]]) -> Iterator[Secret]:
        severity: Severity = "critical" if isinstance(detector, _CRITICAL) else "high"
        kind = detector.secret_type
        for number, part in parts:
            if any(_is_plausible(value) for value in detector.analyze_string(part)):
                yield Secret(_slug(kind), severity, number, f"{kind} in the file")

    def _by_name(self, name: str, parts: list[tuple[int, str]]) -> Iterator[Secret]:
        """Assignments to names like `password`; the value decides how serious it is."""
        known_as = "settings.ini" if _CONFIGURATION.search(name) else name
        for number, line in parts:
            if len(line) > MAX_ASSIGNMENT_CHARS or not _KEYWORD.search(line):
                continue
            if heuristic.is_indirect_reference(line):
                continue
            found = self._keyword.analyze_line(filename=known_as, line=line, line_number=number)
            severity = _worst([item.secret_value or "" for item in found])
            if severity:
                message = "A value is assigned to a name that speaks of a credential"
                yield Secret("hard-coded-credential", severity, number, message)


def pieces(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line number and text, long lines cut into overlapping pieces, runs of blanks shortened."""
    for number, line in enumerate(lines, 1):
        short = _BLANKS.sub("    ", line)
        if len(short) <= PIECE_CHARS:
            yield number, short
            continue
        for start in range(0, len(short), PIECE_CHARS - OVERLAP_CHARS):
            yield number, short[start : start + PIECE_CHARS]


def _numbers(pattern: re.Pattern[str], text: str, parts: list[tuple[int, str]]) -> Iterator[int]:
    if pattern.search(text):
        yield from (number for number, part in parts if pattern.search(part))


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
