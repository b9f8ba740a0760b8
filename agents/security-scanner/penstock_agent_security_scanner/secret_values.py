"""Whether a value can be a credential."""

import math
import re
from collections import Counter
from typing import Final

from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.secret_names import words_of

MIN_CHARS: Final = 4
MAX_CHARS: Final = 400
MIN_KEY_CHARS: Final = 10
_QUOTES: Final = "\"'`,; \t"
# Stands in for a credential that is elsewhere, or shows where one goes.
_PLACEHOLDER: Final = re.compile(
    r"(?i)change[-_ ]?me|change[-_]?this|changeit|example|placeholder|dummy|your[-_ ]|[-_ ]?here$|replace|redacted|"
    r"insert|todo|fixme|xxx|\*\*\*|\.\.\.|…|<[^>]*>|^\W*$|fill[-_ ]?in|not[-_ ]?set|to[-_ ]be|goes[-_ ]?here|"
    r"^(?:none|null|nil|true|false|yes|no|on|off|undefined|empty|unset|unknown|default|optional|required|"
    r"string|str|text|int|bool|object|number|array|any|varchar\S*|char\S*|value|input|enter|prompt|stdin|"
    r"hidden|masked|secret|secrets|token|tokens|password|passwd|passwords?|pass|pwd|key|apikey|api_key|credentials?|auth|bearer|basic|"
    r"user|username|login|email|name|field|test|testing|foo|bar|baz|foobar|abc|sample|demo|mock|fake|stub|"
    r"https?|digest|oauth2?|jwt|static|dynamic|external|internal|vault|environment|env|file|"
    r"abc123|my[-_]?(?:password|secret|token|key)|some[-_ ]?\w+|my[-_]?super[-_]?secret\w*|the[-_ ]\w+)$|"
    r"^(.)\1+$|^x{3,}|deadbeef(?:deadbeef)*$|^(?:0123456789|1234567890)+\w{0,6}$|^foo|^bar[_-]"
)
_REFERENCE: Final = re.compile(
    r"\$\{?[\w(]|\$\(|\{\{|\}\}|<%|%>|^%\w+%$|%s|%\(|%[dv]\b|\{[\w.]*\}|#\{|^\[\[?\w|\]\]|^@\w*\(|^!\w|^&\w|^\*\w|"
    r"(?i:^(?:env|vault|ssm|secret|secrets|ref|file|op|aws|gcp|azure|sops|keyring|doppler|config|param)[:+]|"
    r"^arn:aws|^projects/\S+/secrets/|^enc\[|^\{cipher\}|process\.env|os\.environ|getenv|env\[|secrets\.|secretsmanager|"
    r"keyvault|-----begin)"
)
_PLACE: Final = re.compile(
    r"^(?:[./~]|[A-Za-z]:\\|\w+://|\w+/[\w./-]+\.\w{1,5}$)|^[\w-]+\.(?:json|ya?ml|pem|key|txt|py|js|env|crt|html?)$"
)
# An expression of a program instead of a literal.
_EXPRESSION: Final = re.compile(
    r"^[A-Za-z_][\w.]*\s*\(|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|^[A-Za-z_]\w*\[|\)$|^(?:new|await|self|this|cls)\b|=>|::|->|^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$|^\w+\("
)
_UUID: Final = re.compile(
    r"(?i)^\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?$"
)
_DIGEST: Final = re.compile(
    r"(?i)^(?:(?:sha(?:1|224|256|384|512)|md5)[-:=$]\S+|\$(?:1|2[abxy]|5|6|argon2\w*|y|pbkdf2\S*)\$\S+|pbkdf2\S+|bcrypt\S+|\{(?:s?sha|s?md5|crypt)\S*)"
)
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-_. /:][A-Za-z]+)*")


def is_placeholder(value: str) -> bool:
    """Whether it stands in for a credential, or points to one."""
    return bool(_PLACEHOLDER.search(value) or _REFERENCE.search(value))


def entropy(value: str) -> float:
    """Bits per character, by the value's own frequencies."""
    if not value:
        return 0.0
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def graded(
    value: str, kind: str = "password", name: str = "", *, plain: bool = False
) -> Severity | None:
    """How serious a value assigned to a credential-like name is; None for what is none.

    A value with digits or mixed symbols was made to be hard to guess. In a program a plain word is
    more often a label (`password_field = "password"`) than a credential; in a file of settings it
    is what somebody really types.

    Args:
        value: As written, quotes included or not.
        kind: `password`, or `key` for what machines exchange.
        name: What it is assigned to.
        plain: It stands in a file of settings.
    """
    text = value.strip(_QUOTES)
    if not MIN_CHARS <= len(text) <= MAX_CHARS or is_placeholder(text) or _DIGEST.match(text):
        return None
    if _UUID.match(text) or _PLACE.search(text) or _EXPRESSION.search(text):
        return None
    if _repeats(text, name) or text.isdigit() and len(text) < 6:
        return None
    if kind == "key":
        return _graded_key(text)
    if " " in text:
        return "low" if text.count(" ") < 8 and not text.endswith((".", "!", "?", ":")) else None
    if _WORD.fullmatch(text):
        return "medium" if plain else "low"
    return "high" if len(text) >= 6 or plain else "low"


def _graded_key(text: str) -> Severity | None:
    """What machines exchange is long and looks drawn by lot."""
    if " " in text:
        return None
    if _WORD.fullmatch(text):
        is_drawn = len(text) >= 20 and "-" not in text and "_" not in text and entropy(text) > 3.7
        return "high" if is_drawn else "low" if len(text) >= MIN_KEY_CHARS else None
    if len(text) < MIN_KEY_CHARS:
        return "low" if len(text) >= 6 and entropy(text) > 2.3 else None
    has_digit = any(char.isdigit() for char in text)
    if not has_digit and entropy(text) < 3.3:
        return "low"
    return "high" if entropy(text) > 2.8 else "low"


def _repeats(text: str, name: str) -> bool:
    """Whether the value only says its own name again."""
    said, called = words_of(text), words_of(name)
    if not said:
        return False
    flat, own = said.replace("_", ""), called.replace("_", "")
    return bool(own) and (flat == own or (len(flat) > 5 and (flat in own or own.endswith(flat))))
