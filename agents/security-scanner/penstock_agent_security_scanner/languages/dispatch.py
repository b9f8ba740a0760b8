"""Which reader a file gets."""

from collections.abc import Iterator

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner import text_rules
from penstock_agent_security_scanner.catalogue import Rule


def handles(source: SourceFile) -> bool:
    """Whether `scan_file` has rules for this file; looks at the name only."""
    return source.suffix in text_rules.LANGUAGES


def scan_file(source: SourceFile) -> Iterator[tuple[Rule, int]]:
    """Rule and line of every weakness, each pair once, in the order of lines.

    Never raises for what a file holds: what cannot be read or is beyond a bound gives nothing.
    """
    yield from text_rules.scan_text(source.suffix, source.text, source.lines)
