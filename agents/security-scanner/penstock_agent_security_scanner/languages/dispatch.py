"""Which reader a file gets."""

import re
from collections.abc import Callable, Iterable, Iterator

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages import line_patterns
from penstock_agent_security_scanner.languages.aside import Aside
from penstock_agent_security_scanner.languages.config import dockerfile

Found = Iterable[tuple[Rule, int]]

_KINDS = {
    ".go": "go",
    ".java": "java",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".yml": "yaml",
    ".yaml": "yaml",
    ".tf": "terraform",
    ".tofu": "terraform",
}
# What YAML has to hold to be read at all: most of it is of no kind that has rules.
WORTH = re.compile(r"(?m)^\s*(?:-\s+)?[\"']?(?:apiVersion|services|jobs|runs)[\"']?\s*:")
_DOCKERFILE = re.compile(r"(?i)(?:.*\.)?(?:dockerfile|containerfile)(?:\.[\w.-]+)?")
# A file with a longer line is minified or data; a larger one is generated.
MAX_LINE_CHARS = 20_000
MAX_MEAN_CHARS = 300
MIN_LINES = 20
MAX_BYTES = 400_000


def handles(source: SourceFile) -> bool:
    """Whether `scan_file` has rules for this file; looks at the name only."""
    return _reader(source) is not None


def scan_file(source: SourceFile) -> Iterator[tuple[Rule, int]]:
    """Rule and line of every weakness, each pair once, in the order of lines.

    Never raises for what a file holds: what cannot be read or is beyond a bound gives nothing.
    """
    reader = _reader(source)
    if reader is None:
        return
    found = {(rule.name, line): rule for rule, line in reader(source)}
    for (_, line), rule in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        yield rule, line


def kind_of(source: SourceFile) -> str | None:
    """The kind that `read` knows a file by; None for what no parser is for."""
    return _KINDS.get(source.suffix)


def is_left_out(source: SourceFile) -> bool:
    """Whether a file is too large, or made by a program from others, and not looked at for that."""
    kind = kind_of(source)
    if kind is None:
        return False
    return len(source.data) > MAX_BYTES or (kind != "yaml" and _is_minified(source))


def not_read() -> int:
    """Files that gave nothing because reading them cost too much, since the program began."""
    return _ASIDE.lost


def _reader(source: SourceFile) -> Callable[[SourceFile], Found] | None:
    if kind_of(source) is not None:
        return _parsed
    if _DOCKERFILE.fullmatch(source.base):
        return _dockerfile
    if source.suffix in line_patterns.LANGUAGES:
        return _lines
    return None


def _lines(source: SourceFile) -> Found:
    return line_patterns.scan_lines(source.suffix, source.text, source.lines)


def _dockerfile(source: SourceFile) -> Found:
    return dockerfile.scan_dockerfile(source.lines)


def _parsed(source: SourceFile) -> Found:
    if is_left_out(source):
        return ()
    kind = _KINDS[source.suffix]
    if kind == "yaml" and not WORTH.search(source.text):
        return ()
    return _ASIDE.scan(kind, source.text)


def _is_minified(source: SourceFile) -> bool:
    lines = source.lines
    if ".min." in source.base or len(source.data) > MAX_MEAN_CHARS * max(len(lines), MIN_LINES):
        return True
    return any(len(line) > MAX_LINE_CHARS for line in lines)


def read(kind: str, text: str) -> Found:
    """What the child does with a file; without the child, nothing bounds what that costs.

    A parser is imported when the first file needs it.

    Args:
        kind: As `kind_of` says it.
        text: All of the file.

    Returns:
        Rules and lines, in no order; the same pair may be there twice.
    """
    # ruff: noqa: PLC0415
    if kind == "yaml":
        from penstock_agent_security_scanner.languages.config.scan import scan_yaml

        return scan_yaml(text)
    if kind == "terraform":
        from penstock_agent_security_scanner.languages.config.terraform import scan_terraform

        return scan_terraform(text)
    from penstock_agent_security_scanner.languages.flow.scan import scan_program

    return scan_program(kind, text, text.splitlines())


_ASIDE = Aside(read)
