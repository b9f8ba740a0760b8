"""Text of others as it may be shown on a terminal: nothing in it acts, nothing in it hides.

Escape sequences, carriage returns, text that changes its direction and characters without width
let a text look like another one. Each is shown as a mark instead of being sent to the terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rich.text import Text

MARK_STYLE = "reverse magenta"
TAB = "→   "
_CONTROL_PICTURES = 0x2400  # Unicode block: a picture for each control character
_DELETE = 0x7F
# What counts as printable and leaves no trace all the same: fillers, blanks, variation selectors.
_TRACELESS = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef"
)
_SEEN_THROUGH = re.compile(f"[{_TRACELESS}]")


def visible(text: str, style: str = "") -> Text:
    """Give the text with a mark for every character that is not plainly visible.

    Ends of lines stay; a tab becomes an arrow of four columns.
    """
    return _marked(text, style, keep="\n")


def untricked(text: str, style: str = "") -> Text:
    """Give the text likewise, but with its tabs: where nobody compares blanks."""
    return _marked(text, style, keep="\n\t")


def one_line(text: object, style: str = "") -> Text:
    """Give a text that has to stay on its line: ends of lines are marks as well."""
    return _marked(str(text), style, keep="")


def json_text(value: object) -> Text:
    """Give a JSON document for people."""
    return visible(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _marked(text: str, style: str, keep: str) -> Text:
    marked = Text()
    for piece, is_plain in _pieces(text, keep):
        if is_plain:
            marked.append(piece, style)
        elif piece == "\t":
            marked.append(TAB, "dim")
        else:
            marked.append(mark_of(piece), MARK_STYLE)
    return marked


def mark_of(character: str) -> str:
    """Give what is shown in place of a character: a control picture, or its code point."""
    point = ord(character)
    if point < 0x20:
        return chr(_CONTROL_PICTURES + point)
    return "␡" if point == _DELETE else f"<U+{point:04X}>"


def _pieces(text: str, keep: str) -> Iterator[tuple[str, bool]]:
    """Give runs of plain characters, and each other character by itself."""
    start = 0
    for place, character in enumerate(text):
        if character in keep or is_plain(character):
            continue
        if start < place:
            yield text[start:place], True
        yield character, False
        start = place + 1
    if start < len(text):
        yield text[start:], True


def is_plain(character: str) -> bool:
    """Tell whether a character shows as what it is."""
    return character.isprintable() and not _SEEN_THROUGH.match(character)
