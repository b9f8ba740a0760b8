"""Python of other versions than the one this program runs on, made readable.

Only what keeps a file from being parsed is changed, never the number of its lines: quotes inside
the fields of newer f-strings, the print statement and its like of Python 2, and at last single
lines that still do not parse, which become `pass`.
"""

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Final

MAX_DROPPED_LINES: Final = 12
_FSTRING: Final = re.compile(r"\b(?:[rRbB]?[fF][rR]?)('''|\"\"\"|'|\")")
_OLD: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"^(\s*)print\s*$", re.MULTILINE), r"\1print()"),
    (
        re.compile(
            r"^((?:\s*|.*[:;]\s+))print\s+>>\s*[\w.]+\s*,\s*([^#\n]+?),?[ \t]*$", re.MULTILINE
        ),
        r"\1print(\2)",
    ),
    (
        re.compile(
            r"^((?:\s*|.*[:;]\s+))print[ \t]+(?![=.(])([^#\n]+?),?[ \t]*(#.*)?$", re.MULTILINE
        ),
        r"\1print(\2)",
    ),
    (
        re.compile(
            r"^((?:\s*|.*[:;]\s+))print[ \t]+(\([^\n]*\)[^\n]*[^\s,]),?[ \t]*$", re.MULTILINE
        ),
        r"\1print(\2)",
    ),
    (
        re.compile(r"^(\s*)exec\s+(?!\()([^\n#]+?)\s+in\s+([^\n#]+)$", re.MULTILINE),
        r"\1exec(\2, \3)",
    ),
    (re.compile(r"^(\s*)exec\s+(?![(=])([^\n#]+)$", re.MULTILINE), r"\1exec(\2)"),
    (
        re.compile(r"\bexcept[ \t]+([\w.]+|\([^)\n]*\))[ \t]*,[ \t]*(\w+)[ \t]*:"),
        r"except \1 as \2:",
    ),
    (re.compile(r"\braise[ \t]+([\w.]+)[ \t]*,[ \t]*([^\n#,]+)$", re.MULTILINE), r"raise \1(\2)"),
    (re.compile(r"(?<![\w.])0([0-7]{1,6})(?![\w.])"), r"0o\1"),
    (re.compile(r"\b(\d+)[lL]\b"), r"\1"),
    (re.compile(r"<>"), "!="),
    (re.compile(r"\b[uU][rR](['\"])"), r"r\1"),
    (re.compile(r"`([^`\n]*)`"), r"repr(\1)"),
)


# What cannot be written between the quotes that are left.
_SHORT: Final = {
    "\\'": "chr(39)", "'": "chr(39)", '\\"': "chr(34)", '"': "chr(34)", "\\n": "chr(10)",
    "\\r": "chr(13)", "\\\\": "chr(92)", "\\t": "chr(9)",
}  # fmt: skip


@dataclass(frozen=True)
class Parsed:
    """A file as it could be read.

    Attributes:
        tree: Of the text that was read in the end.
        text: That text; its lines are those of the file.
        whole: Nothing of it had to be left out.
    """

    tree: ast.Module
    text: str
    whole: bool


def parse(data: bytes, text: str) -> Parsed | None:
    """Read a file; None when nothing can be made of it.

    Args:
        data: The file.
        text: The same, decoded.
    """
    tree = _tree(data)
    if tree is not None:
        return Parsed(tree, text, whole=True)
    changed = (
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ").removeprefix("\ufeff")
    )
    for change in (_newer, _older):
        changed = change(changed)
        tree = _tree(changed)
        if tree is not None:
            return Parsed(tree, changed, whole=True)
    return _without_bad_lines(changed)


def _tree(source: str | bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the scanned code's syntax is not our program's
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _older(text: str) -> str:
    for pattern, replacement in _OLD:
        text = pattern.sub(replacement, text)
    return text if "\t" not in text else text.expandtabs(8)


def _without_bad_lines(text: str) -> Parsed | None:
    lines = text.split("\n")
    seen: set[int] = set()
    for _ in range(MAX_DROPPED_LINES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = "\n".join(lines)
                return Parsed(ast.parse(source), source, whole=False)
        except SyntaxError as fault:
            number = min(max(fault.lineno or 1, 1), len(lines)) - 1
            while number in seen and number > 0:
                number -= 1
            seen.add(number)
            line = lines[number]
            indent = line[: len(line) - len(line.lstrip())]
            lines[number] = indent + ("if True:" if line.rstrip().endswith(":") else "pass")
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _newer(text: str) -> str:
    """f-strings whose fields use the quotes of the string around them (PEP 701)."""
    out: list[str] = []
    position = 0
    while (match := _FSTRING.search(text, position)) is not None:
        if match.start() < position or _is_in_comment(text, match.start()):
            end = text.find("\n", match.start())
            end = len(text) if end < 0 else end
            out.append(text[position:end])
            position = end
            continue
        out.append(text[position : match.end()])
        position = _string(text, match.end(), match[1], out)
    out.append(text[position:])
    return "".join(out)


def _is_in_comment(text: str, position: int) -> bool:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line.lstrip().startswith("#")


def _string(text: str, position: int, quote: str, out: list[str]) -> int:
    """Copy an f-string from behind its opening quote to behind its closing one."""
    while position < len(text):
        char = text[position]
        if char == "\\":
            out.append(text[position : position + 2])
            position += 2
        elif text.startswith(quote, position):
            out.append(quote)
            return position + len(quote)
        elif char == "{" and not text.startswith("{{", position):
            position = _field(text, position, quote, out)
        elif char == "{":
            out.append("{{")
            position += 2
        elif char == "\n" and len(quote) == 1:
            return position
        else:
            out.append(char)
            position += 1
    return position


def _field(text: str, position: int, quote: str, out: list[str]) -> int:
    """Copy a replacement field; strings in it get the other quote and lose what 3.11 forbids."""
    other = "'" if quote[0] == '"' else '"'
    depth = 0
    while position < len(text):
        char = text[position]
        if char in "'\"":
            position = _inner(text, position, other, out)
            continue
        if char == "\n":
            if len(quote) == 1:
                return position
        elif char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
        out.append(char if char != "\\" else " ")
        position += 1
        if depth == 0:
            return position
    return position


def _inner(text: str, position: int, other: str, out: list[str]) -> int:
    quote = text[position]
    if text.startswith(quote * 3, position):
        quote *= 3
    start = position + len(quote)
    end = start
    while end < len(text) and not text.startswith(quote, end) and text[end] != "\n":
        end += 2 if text[end] == "\\" else 1
    held = text[start:end]
    if held in _SHORT:
        out.append(_SHORT[held])
        return min(end + len(quote), len(text))
    content = re.sub(r"\\.|['\"]", "_", held)
    out.append(f"{other}{content}{other}")
    return min(end + len(quote), len(text))
