"""What the scanner finds in a file that is not Python."""

from pathlib import Path

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner import languages
from penstock_agent_security_scanner.languages.dispatch import kind_of, read


def found_in(name: str, text: str) -> list[tuple[str, int]]:
    """Names of rules and lines, in the order they are told.

    What a parser is for is read in a child; reading it here has to find the same.
    """
    source = SourceFile(name, Path(name), text.encode())
    assert languages.handles(source)
    found = [(rule.name, line) for rule, line in languages.scan_file(source)]
    kind = kind_of(source)
    if kind is not None:
        assert {(rule.name, line) for rule, line in read(kind, text)} == set(found)
    return found
