"""The table of stable codes, docs/reference/codes.md, from the enumeration and its comments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

from penstock_contracts import codes

PAGE = "docs/reference/codes.md"
OWNS = (PAGE,)

_SECTION = re.compile(r"    # (\S.*)")
_MEMBER = re.compile(r'    [A-Z_]+ = "([a-z_]+)"(?:  # (.*))?')

_HEAD = """\
# Codes

<!-- Written by `make generate` from penstock_contracts/codes.py. Do not edit. -->

Every code that an API answer, an event or a log line may carry. A code once released keeps its
meaning for ever; new ones are added.
"""


def page(source: str) -> str:
    """Turns the source of the enumeration into a page with one table for each section."""
    lines = [_HEAD]
    for line in source.splitlines():
        if section := _SECTION.fullmatch(line):
            lines.append(f"\n## {section[1]}\n\n| code | meaning |\n| --- | --- |\n")
        elif member := _MEMBER.fullmatch(line):
            meaning = member[2] or member[1].replace("_", " ")
            lines.append(f"| `{member[1]}` | {meaning} |\n")
    return "".join(lines)


def generate(_root: Path) -> Mapping[str, str]:
    """Writes the page of all codes."""
    return {PAGE: page(inspect.getsource(codes.Code))}
