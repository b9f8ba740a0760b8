"""Whether a value that stands where a credential belongs is one."""

import re
from typing import Literal

from detect_secrets.filters import heuristic

# real: made to be hard to guess. guessable: a password somebody could guess, in use all the same.
Grade = Literal["real", "guessable"]

MIN_CHARS = 6
MIN_REAL_CHARS = 8
MAX_CHARS = 400
_PLACEHOLDER = re.compile(
    r"(?i)change[-_. ]?(?:me|this|it)|changeit|example|placeholder|dummy|^your|your[-_ ]|replace|redacted"  # noqa: E501
    r"|insert|todo|fixme|xxx|\*\*\*|\.\.\.|^<.*>$|^\[.*\]$|sample|foobar|foo-?bar|^fake|fake[-_]|[-_]fake"
    r"|mock|not[-_ ]?(?:a[-_ ])?(?:real|used|set|secret|needed)|to[-_ ]?be[-_ ]?(?:set|filled|defined)|enter[-_ ]|some[-_ ]?"  # noqa: E501
    r"(?:secret|key|password|token)|my[-_ ]?(?:secret|key|password|token)|^super[-_ ]?secret(?:[-_ ]?key)?$"  # noqa: E501
    r"|^test|[-_]test$|^none$|^null$|^nil$|^true$|^false$|^undefined$|^empty$|^unset$|^secret$|^n/?a$|^tbd$|put[-_ ]|dev[-_]only|insecure"  # noqa: E501
    r"|for[-_ ]?(?:test|dev|demo|local)|dont[-_ ]?use|do[-_ ]not[-_ ]use|lorem|ipsum|^abc123?$|^0+$|^1+$|deadbeef"  # noqa: E501
)
# A reference to where the value really is.
_REFERENCE = re.compile(
    r"\$\{|\$\(|\$[A-Za-z_]|\{\{|\}\}|<%|%\(|%[A-Z_]+%|\{[A-Za-z_.]+\}|^@|^!|^&|^\*|ENC\[|ENC\(|vault:|^op://"
    r"|(?:^|[^a-z])(?:secrets?|env|vars|params|config|settings|os|process|var|local|data|self|this)\."
    r"|^arn:|^ssm:|^aws:|^gcp:|^keyvault|^/(?:run|etc|var|mnt|secrets?|vault)/|^\.{0,2}/|^file:|^https?://\S+$"
    r"|\w\(|^projects/|::"
)
_LETTERS = re.compile(r"[A-Za-z][A-Za-z_./: -]*")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_CODE = re.compile(r"^[A-Za-z_][\w.]*(?:\[[^\]]*\]|\([^)]*\))+$|^[a-z]+(?:[A-Z][a-z]+)+$")
_VERSION = re.compile(r"^[v^~>=<]*\d+(?:\.\d+){1,3}\w*$")


def grade(value: str) -> Grade | None:
    """Judge a value; None for a placeholder, a reference, a label or nothing."""
    text = value.strip().strip("\"'`,;").strip()
    if not MIN_CHARS <= len(text) <= MAX_CHARS:
        return None
    if "(?" in text or re.search(r"\w\|\w+\|", text):
        return None  # a pattern that looks for credentials
    if _PLACEHOLDER.search(text) or _REFERENCE.search(text):
        return None
    if heuristic.is_sequential_string(text) or heuristic.is_not_alphanumeric_string(text):
        return None
    if _VERSION.match(text) or len(set(text)) < 4:
        return None
    if _LETTERS.fullmatch(text) or " " in text:
        return None if " " in text or _CODE.match(text) else "guessable"
    if _UUID.fullmatch(text):
        return "real"
    if _CODE.match(text):
        return None
    digits = any(char.isdigit() for char in text)
    letters = any(char.isalpha() for char in text)
    if not letters:
        return "guessable"
    if not digits and not re.search(r"[^\w\s.-]", text):
        return "guessable" if len(text) < 20 else None
    simple = re.fullmatch(r"[a-z]{3,12}[-_@!]?\d{1,4}[!@#$]?", text.lower())
    return "guessable" if simple or len(text) < MIN_REAL_CHARS else "real"


# Parts of names that credentials are kept under.
_NAME = re.compile(
    r"(?i)(?:passw(?:or)?d|passwd|\bpwd\b|_pwd|pass(?:phrase|code)|(?:^|[_.-])pass$|secret|token|api[-_.]?key|apikey"
    r"|access[-_.]?key|private[-_.]?key|encryption[-_.]?key|signing[-_.]?key|auth[-_.]?key|account[-_.]?key"
    r"|master[-_.]?key|client[-_.]?key|shared[-_.]?key|service[-_.]?key|storage[-_.]?key|license[-_.]?key|credential|(?:^|[_.-])dsn$|webhook[-_.]?url|conn(?:ection)?[-_.]?str)"
)
# Names that only speak of one.
_NOT_NAME = re.compile(
    r"(?i)(?:field|label|type|name|(?<!key[-_.])(?:^|[-_.])id|url|uri|path|file|filename|dir|header|prefix|suffix|length|len|size|min|max|count"
    r"|limit|policy|regex|pattern|format|algorithm|alg|hash(?:er|ers)?|salt_?rounds|expir\w*|ttl|timeout|age|lifetime|enabled|disabled"
    r"|required|valid\w*|placeholder|hint|message|error|text|title|description|help|prompt|env|var|param\w*|attr\w*|column|"
    r"index|state|status|endpoint|provider|class|scope|scopes|audience|issuer|method|mode|style|position|budget|usage|tokens"
    r"|strength|reset|store|manager|service|ref|selector|mount|encryption|cookie|tokenizer|kind|pos|offset|at|rotation|version|arn)s?$"
    r"|(?:^|[_.-])(?:public|no|is|has|use|csrf|xsrf|show|hide|max|min|num|total|next|page|design|cancellation)[_.-]?|publishable|tokeniz|secretary|passport|bypass|compass|compassion"
)


def is_credential_name(name: str) -> bool:
    """Whether a name speaks of the credential itself, not of its length, path or type."""
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    if re.search(r"(?i)webhook[-_.]?url$", split):
        return True
    return bool(_NAME.search(split)) and not _NOT_NAME.search(split)
