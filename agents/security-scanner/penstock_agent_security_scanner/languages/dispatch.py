"""Which reader a file gets."""

import re
from collections.abc import Callable, Iterable, Iterator

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages import line_patterns

Found = Iterable[tuple[Rule, int]]

PROGRAMS = {
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
}
TERRAFORM = frozenset({".tf", ".tofu"})
_DOCKERFILE = re.compile(r"(?i)(?:.*\.)?(?:dockerfile|containerfile)(?:\.[\w.-]+)?")
# A file with a longer line is minified or data; a larger one is generated.
MAX_LINE_CHARS = 20_000
MAX_PROGRAM_BYTES = 400_000
MAX_CONFIG_BYTES = 500_000


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


def _reader(source: SourceFile) -> Callable[[SourceFile], Found] | None:
    if source.suffix in PROGRAMS:
        return _program
    if source.suffix in (".yml", ".yaml"):
        return _yaml
    if source.suffix in TERRAFORM:
        return _terraform
    if _DOCKERFILE.fullmatch(source.base):
        return _dockerfile
    if source.suffix in line_patterns.LANGUAGES:
        return _lines
    return None


def _yaml(source: SourceFile) -> Found:
    if len(source.data) > MAX_CONFIG_BYTES:
        return ()
    from penstock_agent_security_scanner.languages.config.scan import scan_yaml  # noqa: PLC0415

    return scan_yaml(source.text)


def _terraform(source: SourceFile) -> Found:
    if len(source.data) > MAX_CONFIG_BYTES or _is_minified(source):
        return ()
    from penstock_agent_security_scanner.languages.config.terraform import (  # noqa: PLC0415
        scan_terraform,
    )

    return scan_terraform(source.text)


def _dockerfile(source: SourceFile) -> Found:
    from penstock_agent_security_scanner.languages.config.dockerfile import (  # noqa: PLC0415
        scan_dockerfile,
    )

    return scan_dockerfile(source.lines)


def _lines(source: SourceFile) -> Found:
    return line_patterns.scan_lines(source.suffix, source.text, source.lines)


def _program(source: SourceFile) -> Found:
    if len(source.data) > MAX_PROGRAM_BYTES or _is_minified(source):
        return ()
    from penstock_agent_security_scanner.languages.flow.scan import scan_program  # noqa: PLC0415

    return scan_program(PROGRAMS[source.suffix], source.text, source.lines)


def _is_minified(source: SourceFile) -> bool:
    return any(len(line) > MAX_LINE_CHARS for line in source.lines)
