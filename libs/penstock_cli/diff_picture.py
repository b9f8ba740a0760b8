"""A unified diff in git's format as it is drawn: in colour, and without a way to deceive.

Lines are told apart by the counts of their hunk, not by how they begin: a removed line `-- a/b`
is no file header. What cannot be read as text is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.cells import get_character_cell_size
from rich.text import Text

from penstock_cli.visible import visible

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_BINARY_SIZE = re.compile(r"(literal|delta) (\d+)$")
_BINARY_DATA = re.compile(r"[A-Za-z][0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]+$")
_HEADER = (
    "index ", "--- ", "+++ ", "similarity index ", "dissimilarity index ", "rename from ",
    "rename to ", "copy from ", "copy to ",
)  # fmt: skip
_MODES = ("old mode ", "new mode ", "new file mode ", "deleted file mode ")
_KINDS = {"100755": "executable", "120000": "symbolic link", "160000": "submodule"}
_CONTINUED = "  ↪ "
NARROWEST = 20  # columns; below it lines are left to the terminal
LINE_STYLES = {"+": "green", "-": "red"}
TRAILING_STYLE = "on red"


@dataclass(slots=True)
class DiffPicture:
    """Draws a diff line by line; afterwards it knows how many lines come and go."""

    added: int = 0
    removed: int = 0
    files: int = 0
    binary: int = 0
    _old_left: int = field(default=0, init=False)
    _new_left: int = field(default=0, init=False)
    _in_binary: bool = field(default=False, init=False)
    _hidden: int = field(default=0, init=False)

    def lines(self, diff: str, columns: int = 0) -> Iterator[Text]:
        """Give the lines to print.

        Args:
            diff: the text; only line feeds end its lines.
            columns: width of the terminal: longer lines go on behind a mark, so that no part of
                one looks like a line of its own. 0: no such width.
        """
        for line in diff.removesuffix("\n").split("\n"):
            drawn = self._line(line)
            if drawn is None:
                self._hidden += 1
                continue
            yield from self._told_hidden()
            yield from _folded(drawn, columns)
        yield from self._told_hidden()

    def _told_hidden(self) -> Iterator[Text]:
        """Say how much was left out: nothing disappears without a word."""
        if self._hidden:
            yield Text(f"  {self._hidden} lines of binary data, not shown", "yellow")
        self._hidden = 0

    def _line(self, line: str) -> Text | None:
        if line.startswith("\\"):  # `\ No newline at end of file`
            return visible(line, "dim yellow")
        if self._old_left > 0 or self._new_left > 0:
            return self._within_hunk(line)
        if found := _HUNK.match(line):
            self._old_left, self._new_left = (
                int(n if n is not None else 1) for n in found.groups()
            )
            return visible(line, "cyan")
        if line.startswith("diff --git "):
            self.files += 1
            self._in_binary = False
            return Text("\n").append_text(visible(line, "bold"))
        if self._in_binary or line == "GIT binary patch":
            return self._within_binary(line)
        return _header(line)

    def _within_hunk(self, line: str) -> Text:
        kind = line[:1]
        if kind not in ("+", "-", " ", ""):
            self._old_left = self._new_left = 0
            return visible(line, "bold red")
        if kind != "+":
            self._old_left -= 1
        if kind != "-":
            self._new_left -= 1
        self.added += kind == "+"
        self.removed += kind == "-"
        style = LINE_STYLES.get(kind, "")
        body = line.rstrip(" \t") if style else line
        drawn = visible(body, style)
        if body != line:
            rest = visible(line[len(body) :])
            rest.stylize(TRAILING_STYLE)
            drawn.append_text(rest)
        return drawn

    def _within_binary(self, line: str) -> Text | None:
        if not self._in_binary:
            self._in_binary = True
            self.binary += 1
            return Text("binary change: it cannot be shown as text", "bold yellow")
        if found := _BINARY_SIZE.match(line):
            what = "content" if found[1] == "literal" else "difference"
            return Text(f"  {what} of {found[2]} bytes", "yellow")
        if not line or _BINARY_DATA.match(line):
            return None
        return _header(line)


def _header(line: str) -> Text:
    if line.startswith("Binary files "):
        return visible(f"{line}: it cannot be shown as text", "bold yellow")
    if line.startswith(_MODES):
        kind = _KINDS.get(line.rpartition(" ")[2])
        drawn = visible(line, "bold yellow")
        return drawn.append(f"  {kind}", "bold yellow") if kind else drawn
    return visible(line, "bold" if line.startswith(_HEADER) else "")


def _folded(line: Text, columns: int) -> Iterator[Text]:
    """Cut a line into rows of at most `columns`, the later ones behind a mark."""
    if columns < NARROWEST or len(line.plain) * 2 < columns:
        yield line
        return
    cuts: list[int] = []
    row = 0
    for place, character in enumerate(line.plain):
        width = get_character_cell_size(character)
        if row + width > columns:
            cuts.append(place)
            row = len(_CONTINUED)
        row += width
    for number, piece in enumerate(line.divide(cuts)):
        yield Text(_CONTINUED, "dim").append_text(piece) if number else piece
