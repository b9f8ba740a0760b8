"""Whether a value that stands where a credential belongs is one."""

import math
import re
from collections import Counter
from typing import Literal

from detect_secrets.filters import heuristic

Grade = Literal["sure", "weak"]
"""`sure`: made to be hard to guess. `weak`: could be guessed, or is a word that is in use."""

MIN_CHARS = 4
MIN_SURE_CHARS = 8
MAX_CHARS = 2_000

_PLACEHOLDER = re.compile(
    r"(?i)change[-_. ]?(?:me|this|it|in)|changeit|example|placeholder|dummy|\byour?[-_ ]"
    r"|^your|replace|redacted|removed"
    r"|\binsert|todo|fixme|x{4,}|\*{3}|\.{3}|…|^<.*>$|^\[.*\]$|sample|foo-?bar|foobaz"
    r"|^fake|fake[-_]|[-_]fake|mock(?:ed)?[-_]|^mock"
    r"|not[-_ ]?(?:a[-_ ])?(?:real|used|set|secret|needed|valid)|to[-_ ]?be[-_ ]?(?:set"
    r"|filled|defined|changed)|^enter[-_ ]"
    r"|some[-_ ]?(?:secret|key|password|token|value)|^my[-_ ]?(?:secret|key|password"
    r"|token|api)|super[-_ ]?secret(?:[-_ ]?key)?$"
    r"|^test(?:ing)?(?:[-_ ]|$)|[-_]test$|^none$|^null$|^nil$|^true$|^false$|^undefined$"
    r"|^empty$|^unset$|^n/?a$|^tbd$|put[-_ ]"
    r"|dev[-_]only|insecure|for[-_ ]?(?:test|dev|demo|local)|dont[-_ ]?use"
    r"|do[-_ ]?not[-_ ]?(?:use|commit)|lorem|ipsum|^abc123?$"
    r"|^0+$|^1+$|deadbeef|^optional$|^required$|generate[ds]?[-_ ]|set[-_ ]?(?:me|this|in"
    r"|by|via)|fill[-_ ]?(?:me|in)|secret[-_]?here"
    r"|[-_ ]here$|[-_]goes[-_]|^invalid|^wrong|^bad[-_]|^\W*$|^default$|^value$|^string$"
    r"|^str$|^text$|^bytes$|^varchar|^read$|^write$"
)
# A value that says where the credential really is, or how to get it.
_REFERENCE = re.compile(
    r"\(\?[a-zA-Z:=!<]|\w\|\w+\|\w|\[[^\]]{1,40}\](?:[*+?]|\{\d)"  # a regular expression
    r"|\$\{|\$\(|\$[A-Za-z_]|\$\$|\{\{|\}\}|<%|%>|%\(|%[A-Z_]{2,}%|\{[A-Za-z_.]*\}|#\{"
    r"|^@(?:\w+[./(]|file|env)|^!(?:secret|vault|env|ref|sub|[A-Z])"
    r"|^&[A-Za-z_]+$|^\*[A-Za-z_]+$|ENC\[|^ENC\(|^\{cipher\}|^vault:|^op://|^ref\+|^sops:"
    r"|^secret(?:s|ref)?[:/]|^kms:|^ejson|^ssm:"
    r"|(?:^|[^A-Za-z0-9])(?:secrets?|env|vars|params|config|settings|os|process|var|local"
    r"|data|self|this|inputs|credentials"
    r"|args|options|opts|request|req|ctx|context|props|state|Rails|System|Environment"
    r"|Configuration|config_get)[.\[(]"
    r"|^\{.+\}$|^:\w+$|^arn:|^(?:aws|gcp|azure|keyvault|gsm|secretsmanager)[:/]|^/(?:run|etc|var|mnt|opt"
    r"|home|usr|secrets?|vault|tmp)/"
    r"|^\.{0,2}/[\w.-]+/|^~/|^file:|^https?://[^@]*$|^\w+\(|^projects/|^[A-Za-z_]\w*::\w"
    r"|^[A-Za-z_]\w*->|^base64:$"
)
_IDENTIFIER = re.compile(
    r"^[a-z]+(?:[A-Z][a-z0-9]+)+$|^[A-Z][a-z]+(?:[A-Z][a-z]+)+$"
    r"|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:\(.*\))?$"
    r"|^[A-Za-z_][\w.]*(?:\[[^\]]*\]|\([^)]*\))+$|^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$"
    r"|^[a-z]+(?:_[a-z]+)+$"
)
_LETTERS = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ_./: -]*")
_VERSION = re.compile(r"^[v^~>=<]*\d+(?:\.\d+){1,3}[\w.-]*$")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_HASHED = re.compile(
    r"^\$(?:2[abxy]?|5|6|1|y|argon2\w*|scrypt|pbkdf2[\w-]*|apr1)\$|^\{SSHA|^pbkdf2_"
    r"|^bcrypt\$|^sha\d*:"
)
_DIGEST = re.compile(r"^(?:sha(?:1|224|256|384|512)|md5)[-:=]", re.IGNORECASE)
_MADE_UP = re.compile(
    r"(?i)example|x{6,}|0{9,}|1234567890|Eby8vdM02xNOcq|abcdefghij|\*{3}|\.{3}|\byour|dummy"
    r"|fake|redacted|placeholder|changeme|deadbeef"
)


def is_made_up(value: str) -> bool:
    """Whether a text of a credential's form is one that documentation prints."""
    body = value.rpartition("_")[2] or value
    return (
        _MADE_UP.search(value) is not None
        or len(set(body)) < min(6, len(body))
        or heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_not_alphanumeric_string(value)
    )


def grade(value: str, *, quoted_in_code: bool = False) -> Grade | None:
    """Judge a value under a credential's name; None for a placeholder, a reference or a label.

    Args:
        value: Without its quotation marks.
        quoted_in_code: It is a literal of a program, where a plain word is more often a label
            (`password_field = "password"`) than a password; in a configuration it is in use.
    """
    text = value.strip().strip("\"'`,;").strip()
    if not MIN_CHARS <= len(text) <= MAX_CHARS:
        return None
    if _PLACEHOLDER.search(text) or _REFERENCE.search(text) or _DIGEST.match(text):
        return None
    if heuristic.is_sequential_string(text) or heuristic.is_not_alphanumeric_string(text):
        return None
    if _VERSION.match(text) or len(set(text)) < min(4, len(text)):
        return None
    if not text.isascii():
        return None  # a translation
    if " " in text or "\t" in text:
        return None if quoted_in_code or len(text.split()) > 6 else _words(text)
    if _HASHED.match(text):
        return "sure"
    if _LETTERS.fullmatch(text):
        return _letters(text, quoted_in_code)
    if _IDENTIFIER.match(text) and entropy(text) < 3.8:
        return None
    return _mixed(text, quoted_in_code)


def entropy(text: str) -> float:
    """Shannon's entropy of the characters, in bits a character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def _words(text: str) -> Grade | None:
    """Several words: a passphrase has odd ones, a sentence is about something."""
    return "weak" if any(char.isdigit() for char in text) and len(text) >= MIN_SURE_CHARS else None


def _letters(text: str, quoted_in_code: bool) -> Grade | None:
    mixed = bool(re.search(r"[a-z]", text)) and bool(re.search(r"[A-Z]", text))
    changes = len(re.findall(r"[a-z][A-Z]|[A-Z][a-z]", text))
    if len(text) >= 16 and mixed and changes >= len(text) / 5 and entropy(text) >= 3.5:
        return "sure"  # no camel case turns so often
    if len(text) >= 20 and not re.search(r"[ _./:-]", text) and entropy(text) >= 3.9:
        return "sure"
    if _IDENTIFIER.match(text) or re.search(r"[ _./:]", text):
        return None
    return None if quoted_in_code else "weak"


def _mixed(text: str, quoted_in_code: bool) -> Grade | None:
    letters = any(char.isalpha() for char in text)
    digits = any(char.isdigit() for char in text)
    if not letters:
        if quoted_in_code and len(text) < MIN_SURE_CHARS:
            return None
        return "weak"
    if not digits and not re.search(r"[^\w\s.:/-]", text):
        return None if quoted_in_code else "weak"
    if _UUID.fullmatch(text):
        return "sure"
    simple = re.fullmatch(r"[a-z]{3,12}[-_@!]?\d{1,4}[!@#$]?", text.lower())
    if simple or len(text) < MIN_SURE_CHARS:
        return "weak"
    return "sure"
