"""Line rules for languages that are not parsed: Kotlin, Groovy, Scala, PHP, Ruby.

They look at single lines, so they see the common form of each weakness and no more. They are kept
to patterns that are wrong in themselves or take request data directly, because a gate that cries
wolf is switched off. The patterns themselves are in `line_patterns.toml`.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.rules import BY_NAME

MAX_LINE_CHARS = 500
SUFFIXES: dict[str, frozenset[str]] = {
    "kotlin": frozenset({".kt", ".kts", ".groovy", ".scala"}),
    "php": frozenset({".php"}),
    "ruby": frozenset({".rb"}),
}
LANGUAGES = frozenset().union(*SUFFIXES.values())
_COMMENT = re.compile(r"^\s*(?://|\*|/\*|#)")


@dataclass(frozen=True)
class Pattern:
    """One line pattern; `unless` anywhere in the file takes the finding back."""

    rule: Rule
    regex: re.Pattern[str]
    unless: re.Pattern[str] | None = None


@cache
def patterns_for(suffix: str) -> tuple[Pattern, ...]:
    """Patterns of the language with this file extension."""
    text = files(__package__ or "").joinpath("line_patterns.toml").read_text(encoding="utf-8")
    return tuple(
        Pattern(
            BY_NAME[entry["rule"]],
            re.compile(entry["regex"]),
            re.compile(entry["unless"]) if "unless" in entry else None,
        )
        for entry in tomllib.loads(text)["pattern"]
        if any(suffix in SUFFIXES[language] for language in entry["languages"])
    )


def scan_lines(suffix: str, text: str, lines: list[str]) -> list[tuple[Rule, int]]:
    """Rule and line of every pattern that fits.

    Args:
        suffix: Lower-case extension; one outside `LANGUAGES` gives nothing.
        text: The whole file.
        lines: The same by lines. Those over `MAX_LINE_CHARS` (minified code) are left out.
    """
    found: list[tuple[Rule, int]] = []
    active = [p for p in patterns_for(suffix) if p.unless is None or not p.unless.search(text)]
    if not active:
        return found
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_CHARS or _COMMENT.match(line):
            continue
        found.extend((pattern.rule, number) for pattern in active if pattern.regex.search(line))
    return found
