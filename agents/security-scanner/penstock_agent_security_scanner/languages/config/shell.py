"""Commands in images and pipelines that are wrong in themselves."""

import re
from collections.abc import Iterable, Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules

MAX_LINE_CHARS = 4_000
MAX_JOINED_LINES = 100
_SHELL = (
    r"(?:sudo\s+(?:-\w+\s+)*)?(?:/(?:usr/)?bin/)?(?:env\s+)?"
    r"(?:(?:ba|z|da|k)?sh\b|python[23]?\b|perl\b|ruby\b|node\b)"
)
_FETCH = r"(?:curl|wget)\b"
# A rule with expressions for one command; none may take more than linear time.
_TEXTS: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (
        rules.PIPED,
        (
            rf"\b{_FETCH}[^|;&]*(?:\|[^|;&]*)?\|\s*(?:{_SHELL})(?!\s*-c\b)",
            rf"\b(?:ba|z|da)?sh\s+(?:-c\s+)?[\"']?(?:<\(|\$\(|`)\s*{_FETCH}",
            rf"\b(?:eval|source|\.)\s+[\"']?(?:<\(|\$\(|`)\s*{_FETCH}",
        ),
    ),
    (
        rules.WIDE_MODE,
        (r"\bchmod\s+(?:-\w+\s+)*(?:0?[0-7]?777|0?666|a\+rwx|ugo\+rwx|o\+w|a\+w)\b",),
    ),
    (
        rules.TLS_OFF,
        (
            r"\bcurl\b[^|;&]*\s(?:-\w*k\w*|--insecure)(?=\s|$)",
            r"\bwget\b[^|;&]*\s--no-check-certificate\b",
            r"\b(?:strict-ssl|http\.sslVerify|sslverify)[\s=\"]+(?:false|0)\b",
            r"\bpip3?\b[^|;&]*--trusted[-]host\b",
            r"\bNODE_TLS_REJECT_UNAUTHORIZED=[\"']?0|\bGIT_SSL_NO_VERIFY=[\"']?(?:1|true)",
            r"\bStrictHostKeyChecking[=\s]+no\b",
        ),
    ),
    (
        rules.UNSIGNED,
        (
            r"--allow-unauthenticated|--force-yes|--nogpgcheck|--allow-untrusted"
            r"|--no-gpg-checks?|\[trusted=yes\]|AllowInsecureRepositories",
        ),
    ),
)
_PATTERNS = tuple((rule, re.compile("|".join(texts))) for rule, texts in _TEXTS)


def in_shell(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[Rule, int]]:
    """Rule and line for numbered lines of a script; a command that goes on is joined."""
    held: list[tuple[int, str]] = []
    for number, line in lines:
        text = line[:MAX_LINE_CHARS].rstrip()
        held.append((number, text.removesuffix("\\").rstrip()))
        if not text.endswith(("\\", "|")) or len(held) > MAX_JOINED_LINES:
            yield from _command(held)
            held = []
    yield from _command(held)


def _command(lines: list[tuple[int, str]]) -> Iterator[tuple[Rule, int]]:
    whole = " ".join(text for _, text in lines) if len(lines) > 1 else ""
    for rule, pattern in _PATTERNS:
        found = [number for number, text in lines if pattern.search(text)]
        if not found and whole and pattern.search(whole[:MAX_LINE_CHARS]):
            found = [lines[0][0]]
        for number in found:
            yield rule, number
