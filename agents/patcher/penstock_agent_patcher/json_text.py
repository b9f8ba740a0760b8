"""JSON as text with positions, so that one value can be replaced and nothing else moves.

Comments (`//`, `/* */`) and a comma after the last element are read as several tools write them;
whether a file may have them is for `syntax` to say.
"""

import json
import re
from dataclasses import dataclass, field

from penstock_agent_patcher.conflicts import Unfit

MAX_DEPTH = 200
_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


@dataclass(slots=True)
class Member:
    """A name of an object with where it starts, or a position of a list (then `key` is None)."""

    key: str | None
    start: int
    value: "Node"


@dataclass(slots=True)
class Node:
    """One value: `text[start:end]`; `members` is None for a scalar."""

    start: int
    end: int
    scalar: object = None
    kind: str = "scalar"
    members: list[Member] = field(default_factory=list["Member"])

    def child(self, step: str | int) -> Member | None:
        """The member a step of a path names.

        Raises:
            Unfit: A name occurs twice.
        """
        if self.kind == "object":
            found = [member for member in self.members if member.key == str(step)]
            if len(found) > 1:
                raise Unfit(f"the name {str(step)!r} occurs twice in one object")
            return found[0] if found else None
        if self.kind == "array" and str(step).isdecimal() and int(step) < len(self.members):
            return self.members[int(step)]
        return None


def parse_json(text: str) -> Node:
    """The outermost value.

    Raises:
        Unfit: The text is not JSON.
    """
    reader = _Reader(text)
    node = reader.value(reader.blank(0), 0)
    if reader.blank(node.end) != len(text):
        raise Unfit(f"not JSON: something follows the value in line {reader.line(node.end)}")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def blank(self, at: int) -> int:
        match = _BLANK.match(self._text, at)
        return at if match is None else match.end()

    def value(self, at: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Unfit("nested too deeply to be edited")
        char = self._text[at : at + 1]
        if char == "{":
            return self._container(at, depth, "object", "}")
        if char == "[":
            return self._container(at, depth, "array", "]")
        match = _STRING.match(self._text, at) or _PLAIN.match(self._text, at)
        if match is None:
            raise Unfit(f"not JSON: line {self.line(at)}")
        return Node(at, match.end(), self._scalar(match))

    def _scalar(self, match: re.Match[str]) -> object:
        try:
            return json.loads(match[0])
        except ValueError as error:
            raise Unfit(f"not JSON: line {self.line(match.start())}") from error

    def _container(self, start: int, depth: int, kind: str, closing: str) -> Node:
        node = Node(start, start, kind=kind)
        at = self.blank(start + 1)
        while self._text[at : at + 1] != closing:
            member = self._member(at, depth, named=kind == "object")
            node.members.append(member)
            at = self.blank(member.value.end)
            if self._text[at : at + 1] == ",":
                at = self.blank(at + 1)
            elif self._text[at : at + 1] != closing:
                raise Unfit(f"not JSON: line {self.line(at)}")
        node.end = at + 1
        return node

    def _member(self, at: int, depth: int, *, named: bool) -> Member:
        if not named:
            return Member(None, at, self.value(at, depth + 1))
        match = _STRING.match(self._text, at)
        colon = at if match is None else self.blank(match.end())
        if match is None or self._text[colon : colon + 1] != ":":
            raise Unfit(f"not JSON: line {self.line(at)}")
        name = self._scalar(match)
        return Member(str(name), at, self.value(self.blank(colon + 1), depth + 1))
