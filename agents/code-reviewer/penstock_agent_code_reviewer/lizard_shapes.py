"""Measures of functions in other languages, by lizard."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from penstock_agent_code_reviewer.foreign_text import ForeignText
from penstock_agent_code_reviewer.python_complexity import Shape

# lizard chooses the language by the name.
_NAMES = {
    "javascript": "a.js",
    "typescript": "a.ts",
    "go": "a.go",
    "java": "a.java",
    "kotlin": "a.kt",
    "csharp": "a.cs",
    "rust": "a.rs",
    "swift": "a.swift",
    "scala": "a.scala",
    "ruby": "a.rb",
    "php": "a.php",
    "c": "a.c",
    "cpp": "a.cpp",
}


_BLOCK = re.compile(
    r"[{};]|\b(?:if|else|for|foreach|while|switch|select|try|catch|do|match|loop)\b"
)


def depth(lines: Sequence[str]) -> int:
    """Deepest nesting of blocks that a keyword begins; cases are no blocks."""
    open_blocks: list[bool] = []
    deepest = 0
    pending = False
    for match in _BLOCK.finditer("\n".join(lines)):
        if match[0] == "{":
            open_blocks.append(pending)
            deepest = max(deepest, sum(open_blocks))
            pending = False
        elif match[0] == "}":
            if open_blocks:
                open_blocks.pop()
            pending = False
        elif match[0] != ";":
            pending = True
    return deepest


def shapes(language: str, text: str) -> Iterator[Shape]:
    """Measure every function of a text; what lizard cannot read gives nothing."""
    name = _NAMES.get(language)
    if name is None:
        return
    import lizard  # noqa: PLC0415 (a twentieth of a second, not needed for Python)

    analyzer = lizard.FileAnalyzer(lizard.get_extensions([]))
    lines = ForeignText(language, text).code.split("\n")
    # Its readers are written for sound programs; a broken one must not end the review.
    with suppress(RecursionError, IndexError, AttributeError, ValueError, KeyError, TypeError):
        for one in analyzer.analyze_source_code(name, text).function_list:
            yield Shape(
                name=str(one.name)[:100],
                start=int(one.start_line),
                end=int(one.end_line),
                cyclomatic=int(one.cyclomatic_complexity),
                cognitive=0,
                depth=depth(lines[int(one.start_line) - 1 : int(one.end_line)]),
                lines=int(one.nloc),
                parameters=int(one.parameter_count),
            )
