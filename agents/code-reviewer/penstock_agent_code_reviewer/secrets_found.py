"""Secrets written into code, in any language. A value is never part of what is told."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from penstock_agent_code_reviewer.models import Severity
from penstock_agent_code_reviewer.rules import Found, rule

MAX_LINE_CHARS = 2_000
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{50,}"
    r"|\bglpat-[A-Za-z0-9_-]{20}\b|\bxox[abprs]-[0-9A-Za-z-]{20,}|\bsk_live_[0-9a-zA-Z]{20,}"
    r"|\brk_live_[0-9a-zA-Z]{20,}|\bAIza[0-9A-Za-z_-]{35}\b|\bSG\.[\w-]{20,}\.[\w-]{20,}"
    r"|-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP )?PRIVATE KEY|\bnpm_[A-Za-z0-9]{36}\b"
    r"|\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}|\bpypi-[A-Za-z0-9_-]{50,}"
    r"|\bey[JK][A-Za-z0-9_-]{15,}\.ey[JK][A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"
)
_ASSIGNED = re.compile(
    r"""(?ix) (?P<name>[\w.\-\["']*?
          (?:password|passwd|pwd|passphrase|secret|token|api_?key|apikey|access_?key|auth_?key
             |private_?key|client_?secret|secret_?key|encryption_?key|credential))
        ["'\]]* \s* (?::\s*[\w.\[\]]+\s*)? (?: := | = | : | => ) \s* [rbuf]?
        (?P<quote>["'`]) (?P<value>[^"'`\n]{4,200}) (?P=quote)"""
)
_NAMED = re.compile(r"(?i)pass|pwd|secret|token|key|credential")
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+]{1,20}://[^\s:/@'\"]{1,60}:(?P<value>[^\s@/'\"]{4,100})@")
_PLACEHOLDER = re.compile(
    r"(?i)example|dummy|placeholder|your[_-]|<|>|\$\{|\{\{|\{|%s|xxx|\*\*\*|\.\.\.|changeme|redacted"
    r"|test|sample|fake|mock|foobar|n/?a$|none$|null$|todo|fixme|^env|insert|replace|secret$|^password"
    r"|^token|default|localhost|\bthe\b"
)
_NOT_A_VALUE = re.compile(
    r"^(?:https?://|/|\./|[\w.-]+/[\w./-]+$|[a-z]+(?:[_.\- :][a-z]+)*$|[A-Z][A-Z_]+$)"
)
_NAME_OF = re.compile(
    r"(?i)(?:_?(?:name|field|url|uri|path|file|header|type|label|id|prefix|env|var|regex|pattern"
    r"|format|hint|help|text|error|message|title|param|class))$"
)


def secrets(lines: Sequence[str], is_test: bool, *, backticks: bool = False) -> Iterator[Found]:
    """Find secrets; in tests only those with the shape of a real one count.

    Args:
        lines: Of the file.
        is_test: Whether it is one of tests.
        backticks: Whether they quote text in this language.
    """
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_CHARS:
            continue
        shape = _SHAPES.search(line)
        if shape is not None and not _is_sample(shape[0]):
            yield Found(rule("hardcoded-secret"), number, severity="minor" if is_test else None)
            continue
        if is_test:
            continue
        match = _ASSIGNED.search(line) if _NAMED.search(line) else None
        quoted = match is not None and (backticks or match["quote"] != "`")
        if match is not None and quoted and _is_secret(match["name"], match["value"]):
            yield Found(rule("hardcoded-secret"), number, severity=_weight(match["value"]))
            continue
        address = _IN_ADDRESS.search(line)
        if address is not None and not _is_sample(address["value"]):
            value = address["value"]
            if value.lower() not in ("password", "pass", "postgres", "root", "user", "guest"):
                yield Found(rule("hardcoded-secret"), number, severity="major")


def _is_sample(value: str) -> bool:
    return bool(_PLACEHOLDER.search(value)) or len(set(value)) < 5


def _is_secret(name: str, value: str) -> bool:
    if _NAME_OF.search(name) or _is_sample(value) or " " in value or len(value) < 6:
        return False
    return not _NOT_A_VALUE.match(value) and value[-1] not in ":="


def _weight(value: str) -> Severity | None:
    """Sure only for what looks made up or random: digits or signs among letters."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w]"))
    return None if kinds >= 3 or (kinds == 2 and entropy(value) > 2.8) else "major"


def entropy(value: str) -> float:
    """Bits a character."""
    counted = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counted.values())
