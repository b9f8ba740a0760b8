"""Which names a CEL expression reads, found by its tokens.

The CEL library does not show its syntax tree. The lexical grammar of CEL is regular, and a name's
part in an expression follows from its neighbours: behind a dot it is a member, before a
parenthesis a function, bound by a macro it is a local. Nothing else is needed here; whether the
expression is well-formed is the library's to say.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

TYPE_NAMES = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}
)
"""Identifiers that stand for types, so that `type(x) == int` reads no variable."""
LITERALS = frozenset({"true", "false", "null", "in"})
RESERVED = frozenset(
    {
        *LITERALS,
        *TYPE_NAMES,
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
"""What cannot be the name of a variable in an expression."""
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>(?i:r|rb|br)(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")
               |(?i:b)?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
                |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
  | (?P<number>\d[0-9a-zA-Z]*(?:\.\d+(?:[eE][+-]?\d+)?)?|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>`[^`\n]*`)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str


Read = tuple[str, ...]
"""A variable and the members read of it, as far as the text says: `("scan", "output", "count")`."""


@dataclass(frozen=True, slots=True)
class _Local:
    """A name bound by a macro, up to the parenthesis that closes the macro's call."""

    name: str
    depth: int


def reads_of(text: str) -> frozenset[Read]:
    """Give every variable that `text` reads, each with the members read of it."""
    tokens = _tokens(text)
    reads: set[Read] = set()
    locals_: list[_Local] = []
    depth = 0
    for index, (kind, word) in enumerate(tokens):
        if word == "(" and kind == "mark":
            depth += 1
            if (name := _bound_by_macro(tokens, index)) is not None:
                locals_.append(_Local(name, depth))
        elif word == ")" and kind == "mark":
            while locals_ and locals_[-1].depth == depth:
                locals_.pop()
            depth -= 1
        elif (
            kind == "name"
            and _is_variable(tokens, index)
            and all(local.name != word for local in locals_)
        ):
            reads.add((word, *_members(tokens, index)))
    return frozenset(reads)


def _tokens(text: str) -> list[_Token]:
    found = ((match.lastgroup or "mark", match.group()) for match in _TOKEN.finditer(text))
    return [_Token(kind, word) for kind, word in found if kind != "space"]


def _text_at(tokens: Sequence[_Token], index: int) -> str:
    if not 0 <= index < len(tokens) or tokens[index].kind == "string":
        return ""
    return tokens[index].text


def _is_variable(tokens: Sequence[_Token], index: int) -> bool:
    word = tokens[index].text
    if word in LITERALS or word in TYPE_NAMES or _text_at(tokens, index + 1) == "(":
        return False
    return _text_at(tokens, index - 1) != "." or not _ends_operand(tokens, index - 2)


def _ends_operand(tokens: Sequence[_Token], index: int) -> bool:
    """Tell whether something can be selected from what ends at `index` (`.x` alone is a root)."""
    if index < 0:
        return False
    kind, word = tokens[index]
    return kind != "mark" or word in ")]}"


def _members(tokens: Sequence[_Token], index: int) -> Read:
    found: list[str] = []
    while _text_at(tokens, index + 1) == "." and _text_at(tokens, index + 3) != "(":
        kind, word = tokens[index + 2] if index + 2 < len(tokens) else _Token("mark", "")
        if kind not in ("name", "quoted"):
            break
        found.append(word.strip("`"))
        index += 2
    return tuple(found)


def _bound_by_macro(tokens: Sequence[_Token], index: int) -> str | None:
    """Give the variable that `.all(x, ...)` and its like bind; `index` is at the parenthesis."""
    called = _text_at(tokens, index - 1) in _MACROS and _text_at(tokens, index - 2) == "."
    named = index + 1 < len(tokens) and tokens[index + 1].kind == "name"
    if called and named and _text_at(tokens, index + 2) == ",":
        return tokens[index + 1].text
    return None
