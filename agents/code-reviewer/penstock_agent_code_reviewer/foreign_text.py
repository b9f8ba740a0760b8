"""Source of languages with braces, with comments and strings told apart from code."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

_SLASHES = r"//[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)"
_HASH = r"\#[^\n]*"
_QUOTED = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'"
_TEXT_BLOCK = r'"""(?:[^"\\]|\\.|"(?!""))*"""'
_BACKTICK = r"`(?:[^`\\]|\\.)*`"
_RAW = r"`[^`]*`"
# A regular expression where a value may begin; quotes in one would be taken for a string.
_JS_REGEX = r"(?<=[=(,:;!&|?{}])[ \t]*/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*"


def _scanner(*, comment: str, strings: str) -> re.Pattern[str]:
    return re.compile(f"(?P<comment>{comment})|(?P<string>{strings})", re.DOTALL)


_SCANNERS = {
    "web": _scanner(comment=_SLASHES, strings=f"{_QUOTED}|{_BACKTICK}|{_JS_REGEX}"),
    "go": _scanner(comment=_SLASHES, strings=f"{_QUOTED}|{_RAW}"),
    "hash": _scanner(comment=_HASH, strings=_QUOTED),
    "slash": _scanner(comment=_SLASHES, strings=f"{_TEXT_BLOCK}|{_QUOTED}"),
}
_FAMILY = {"javascript": "web", "typescript": "web", "go": "go", "ruby": "hash"}
_LETTERS = re.compile(r"[^\n]")


@dataclass(frozen=True)
class ForeignText:
    """A file in two readings of the same length, so that offsets fit both.

    Attributes:
        language: Of the file.
        raw: The text.
    """

    language: str
    raw: str

    @cached_property
    def _readings(self) -> tuple[str, str]:
        scanner = _SCANNERS[_FAMILY.get(self.language, "slash")]
        code: list[str] = []
        text: list[str] = []
        at = 0
        for match in scanner.finditer(self.raw):
            between = self.raw[at : match.start()]
            code.append(between)
            text.append(between)
            found = match[0]
            blank = _LETTERS.sub(" ", found)
            if match.lastgroup == "comment":
                code.append(blank)
                text.append(blank)
            else:
                code.append(f"{found[0]}{blank[1:-1]}{found[-1]}")
                text.append(found)
            at = match.end()
        code.append(self.raw[at:])
        text.append(self.raw[at:])
        return "".join(code), "".join(text)

    @property
    def code(self) -> str:
        """Comments and the insides of strings are blanks."""
        return self._readings[0]

    @property
    def text(self) -> str:
        """Comments are blanks, strings are there."""
        return self._readings[1]

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.raw))]

    def line(self, offset: int) -> int:
        """Number of the line that an offset is on."""
        return bisect_right(self._starts, offset)

    def closing(self, opening: int) -> int:
        """Offset behind the bracket that closes the one at `opening`; the end if none does."""
        pairs = {"{": "}", "(": ")", "[": "]"}
        first = self.code[opening]
        wanted = pairs[first]
        depth = 0
        for match in re.finditer(r"[{}()\[\]]", self.code[opening:]):
            if match[0] == first:
                depth += 1
            elif match[0] == wanted:
                depth -= 1
                if depth == 0:
                    return opening + match.end()
        return len(self.code)
