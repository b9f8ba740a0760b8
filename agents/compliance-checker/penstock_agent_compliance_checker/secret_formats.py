"""Credentials known by their form: detect-secrets' detectors, driven directly, and more forms.

Its own scan loop calls every filter of every detector on every line by reflection, honours
allow-list comments, and can ask services whether a key is live. Here each detector first looks at
the whole text; only lines where it saw something are examined, and nothing leaves this module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detect_secrets.filters import heuristic
from detect_secrets.plugins import (
    artifactory,
    aws,
    azure_storage_key,
    discord,
    github_token,
    gitlab_token,
    jwt,
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

# Longer lines are looked at in pieces that overlap by more than the longest form: the cost of the
# library's patterns grows with the square of the length.
PIECE_CHARS = 1_000
OVERLAP_CHARS = 200
_BLANKS = re.compile(r"[ \t]{5,}")
_EXAMPLE = re.compile(
    r"(?i)example|x{6,}|0{10,}|1234567890|abcdefghij|\*{3}|\.\.\.|your|dummy|fake|redacted|placeholder"
)

OWN_FORMATS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")),
    ("Google OAuth secret", re.compile(r"\bGOCSPX-[0-9A-Za-z_-]{28}\b")),
    ("GitHub token", re.compile(r"\bgh[opsur]_[0-9A-Za-z]{36,}\b")),
    ("GitHub fine-grained token", re.compile(r"\bgithub_pat_[0-9A-Za-z_]{82}\b")),
    ("GitLab token", re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt)-[0-9A-Za-z_-]{20,}")),
    ("Slack webhook", re.compile(r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{24,}")),
    ("Anthropic API key", re.compile(r"\bsk-ant-[0-9A-Za-z_-]{80,120}")),
    ("OpenAI API key", re.compile(r"\bsk-(?:proj|svcacct|admin)-[0-9A-Za-z_-]{40,200}")),
    ("Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{34}\b")),
    ("DigitalOcean token", re.compile(r"\bdo[opr]_v1_[0-9a-f]{64}\b")),
    ("Databricks token", re.compile(r"\bdapi[0-9a-f]{32}\b")),
    ("Docker Hub token", re.compile(r"\bdckr_pat_[0-9A-Za-z_-]{27}\b")),
    ("Vault token", re.compile(r"\bhv[sbr]\.[0-9A-Za-z_-]{24,}")),
    ("Shopify token", re.compile(r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b")),
    ("npm token", re.compile(r"\bnpm_[0-9A-Za-z]{36}\b")),
    ("Linear API key", re.compile(r"\blin_api_[0-9A-Za-z]{40}\b")),
    ("New Relic key", re.compile(r"\bNRAK-[0-9A-Z]{27}\b")),
    ("Stripe key", re.compile(r"\b[rs]k_live_[0-9A-Za-z]{24,}\b")),
    ("Mailgun key", re.compile(r"\bkey-[0-9a-f]{32}\b")),
    ("SendGrid key", re.compile(r"\bSG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}\b")),
    ("age secret key", re.compile(r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b")),
    ("PostHog or Grafana token", re.compile(r"\b(?:phx|glsa|glc)_[0-9A-Za-z_=]{32,}\b")),
    ("AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
)
_ADDRESS = re.compile(
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://"
    r"([^\s:/@\"'{}<>]{0,100}):([^\s@/\"'{}<>]{1,200})@[\w.\[-]"
)
# Looking for these first is ten times as fast as the patterns.
_HINTS: dict[str, tuple[str, ...]] = {
    "Google API key": ("AIza",),
    "Google OAuth secret": ("GOCSPX-",),
    "GitHub token": ("gho_", "ghp_", "ghs_", "ghu_", "ghr_"),
    "GitHub fine-grained token": ("github_pat_",),
    "GitLab token": ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"),
    "Slack webhook": ("hooks.slack.com",),
    "Anthropic API key": ("sk-ant-",),
    "OpenAI API key": ("sk-proj-", "sk-svcacct-", "sk-admin-"),
    "Hugging Face token": ("hf_",),
    "DigitalOcean token": ("_v1_",),
    "Databricks token": ("dapi",),
    "Docker Hub token": ("dckr_pat_",),
    "Vault token": ("hvs.", "hvb.", "hvr."),
    "Shopify token": ("shpat_", "shpca_", "shppa_", "shpss_"),
    "npm token": ("npm_",),
    "Linear API key": ("lin_api_",),
    "New Relic key": ("NRAK-",),
    "Stripe key": ("_live_",),
    "Mailgun key": ("key-",),
    "SendGrid key": ("SG.",),
    "age secret key": ("AGE-SECRET",),
    "PostHog or Grafana token": ("phx_", "glsa_", "glc_"),
    "AWS access key": ("AKIA", "ASIA"),
}
_KEY_HEAD = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{40,}")
_CRITICAL_SUFFIXES = (".pem", ".key", ".ppk", ".p8")


@dataclass(frozen=True, slots=True)
class Formatted:
    """A credential of a known form: kind, line, and for addresses the password to judge."""

    kind: str
    line: int
    password: str | None = None


def _detectors() -> tuple[RegexBasedDetector, ...]:
    # Left out: the entropy detectors (hashes and ids outnumber secrets by far), public addresses
    # and the IBM formats (a pattern that takes seconds on a line of a thousand blanks).
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
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    )


class Formats:
    """Holds the detectors; one instance reads any number of files."""

    def __init__(self) -> None:
        self._detectors = _detectors()
        self._keys = private_key.PrivateKeyDetector()

    def find(self, name: str, lines: list[str]) -> Iterator[Formatted]:
        """Credentials by form, possibly several on a line."""
        parts = list(pieces(lines))
        text = "\n".join(part for _, part in parts)
        for kind, pattern in OWN_FORMATS:
            if any(hint in text for hint in _HINTS[kind]) and pattern.search(text):
                for number, part in parts:
                    if any(not _EXAMPLE.search(match[0]) for match in pattern.finditer(part)):
                        yield Formatted(kind, number)
        for detector in self._detectors:
            if any(pattern.search(text) for pattern in detector.denylist):
                for number, part in parts:
                    if any(_plausible(value) for value in detector.analyze_string(part)):
                        yield Formatted(detector.secret_type, number)
        if "PRIVATE KEY" in text and any(one.search(text) for one in self._keys.denylist):
            yield from _private_keys(name, lines)
        if "://" in text:
            for number, part in parts:
                if "://" in part:
                    for match in _ADDRESS.finditer(part):
                        yield Formatted("password in an address", number, match[2])


def pieces(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line number and text, long lines cut into overlapping pieces, runs of blanks shortened."""
    for number, line in enumerate(lines, 1):
        short = _BLANKS.sub("    ", line) if "     " in line else line
        if len(short) <= PIECE_CHARS:
            yield number, short
            continue
        for start in range(0, len(short), PIECE_CHARS - OVERLAP_CHARS):
            yield number, short[start : start + PIECE_CHARS]


def _plausible(value: str) -> bool:
    return not (
        _EXAMPLE.search(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_not_alphanumeric_string(value)
    )


def _private_keys(name: str, lines: list[str]) -> Iterator[Formatted]:
    """A head with a body behind it, or in a key file: code that looks for heads has none."""
    for number, line in enumerate(lines, 1):
        match = _KEY_HEAD.search(line[:2_000])
        if match is None:
            continue
        behind = " ".join([line[match.end() : match.end() + 200], *lines[number : number + 4]])
        if name.endswith(_CRITICAL_SUFFIXES) or _KEY_BODY.search(
            behind[:2_000].replace("\\n", " ")
        ):
            yield Formatted("private key", number)
