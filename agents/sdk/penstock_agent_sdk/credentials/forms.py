"""Credentials that are known by their form.

The detectors of detect-secrets are driven directly: its own scan loop calls every filter of every
detector on every line by reflection, honours allow-list comments, and can ask services whether a
key is live. Here a text is searched as a whole first, and only lines where something was seen are
examined. Nothing is verified over a network, and no value leaves this package.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

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
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)
from detect_secrets.plugins.base import RegexBasedDetector

from penstock_agent_sdk.credentials.values import is_made_up

# Longer lines (minified code, one-line JSON) are looked at in pieces that overlap by more than
# nearly every form: the cost of the library's patterns grows with the square of the length.
PIECE_CHARS = 1_000
OVERLAP_CHARS = 250
_BLANKS = re.compile(r"[ \t]{5,}")

_ADDRESS = re.compile(
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://"
    r"([^\s:/@\"'<>,]{0,100}):([^\s/\"'<>,]{1,200})@([\w.\[{$-]+)"
)
_MAIL_ADDRESS = re.compile(r"\bhttps?://[^\s:/@]{1,64}@[\w.-]{1,100}:([^\s/\"'<>]{4,200})@[\w.-]+")
_KEY_HEAD = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-\d"
    r"|^\s*<RSAKeyValue>.*<D>"
)
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{40,}")
_KEY_FILE = re.compile(r"(?i)\.(?:pem|key|ppk|p8|asc|priv)$|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)$")


@dataclass(frozen=True, slots=True)
class Form:
    """A row of `forms.toml`."""

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Formed:
    """A text of a known form; `value` is what would have to be judged, if anything."""

    kind: str
    line: int
    value: str | None = None


def _detectors() -> tuple[RegexBasedDetector, ...]:
    # Left out: the entropy detectors (hashes, ids and integrity values outnumber secrets by far),
    # public addresses (no secret), and the IBM formats (a pattern that takes seconds on a line of
    # a thousand blanks, so that a repository could stop its own scan).
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


def _own_forms() -> tuple[Form, ...]:
    table = resources.files("penstock_agent_sdk.credentials").joinpath("forms.toml")
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["form"]
    return tuple(Form(row["name"], tuple(row["hints"]), re.compile(row["form"])) for row in rows)


class Forms:
    """Holds the forms; one instance reads any number of files."""

    def __init__(self) -> None:
        self._detectors = _detectors()
        self._own = _own_forms()

    def find(self, name: str, lines: Sequence[str]) -> Iterator[Formed]:
        """Credentials by form, possibly several on a line and one several times.

        Args:
            name: Of the file; some names tell that the whole file is a key.
            lines: The file.
        """
        parts = list(pieces(lines))
        text = "\n".join(part for _, part in parts)
        for form in self._own:
            if any(hint in text for hint in form.hints) and form.pattern.search(text):
                yield from _of_form(form, parts)
        for detector in self._detectors:
            if any(pattern.search(text) for pattern in detector.denylist):
                yield from _by_detector(detector, parts)
        if "PRIVATE KEY" in text or "PuTTY-User" in text or "<RSAKeyValue>" in text:
            yield from _private_keys(name, lines)
        if "://" in text:
            for number, part in parts:
                if "://" in part and "@" in part:
                    yield from _in_address(number, part)


def pieces(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Line number and text, long lines cut into overlapping pieces, runs of blanks shortened."""
    for number, line in enumerate(lines, 1):
        short = _BLANKS.sub("    ", line)
        if len(short) <= PIECE_CHARS:
            yield number, short
            continue
        for start in range(0, len(short), PIECE_CHARS - OVERLAP_CHARS):
            yield number, short[start : start + PIECE_CHARS]


def _of_form(form: Form, parts: list[tuple[int, str]]) -> Iterator[Formed]:
    for number, part in parts:
        if any(hint in part for hint in form.hints) and any(
            not is_made_up(match[0]) for match in form.pattern.finditer(part)
        ):
            yield Formed(form.name, number)


def _by_detector(detector: RegexBasedDetector, parts: list[tuple[int, str]]) -> Iterator[Formed]:
    for number, part in parts:
        matches = (match for one in detector.denylist for match in one.finditer(part))
        if any(not is_made_up(match[0]) for match in matches):
            yield Formed(detector.secret_type, number)


def _in_address(number: int, part: str) -> Iterator[Formed]:
    for match in _ADDRESS.finditer(part):
        yield Formed("password in an address", number, match[2])
    for match in _MAIL_ADDRESS.finditer(part):
        yield Formed("password in an address", number, match[1])


def _private_keys(name: str, lines: Sequence[str]) -> Iterator[Formed]:
    """A head with a body behind it, or in a key file: code that looks for heads has none."""
    for number, line in enumerate(lines, 1):
        match = _KEY_HEAD.search(line[:2_000])
        if match is None:
            continue
        behind = " ".join([line[match.end() : match.end() + 200], *lines[number : number + 8]])
        body = _KEY_BODY.search(behind[:2_000].replace("\\n", " "))
        if "RSAKeyValue" in match[0] or _KEY_FILE.search(name) or (body and len(set(body[0])) > 8):
            yield Formed("private key", number)
