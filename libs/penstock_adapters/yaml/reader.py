"""YAML to JSON values, with positions.

Only what JSON can say is accepted: text keys, no tags of one's own, no infinities. Aliases are
resolved within a bound on the number of values, so that a small text cannot become a large one.
"""

import re
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol, cast

from pydantic import JsonValue
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from penstock_adapters.yaml.document import Document, DocumentError, Position, Spot
from penstock_contracts.values import JsonObject

MAX_TEXT_BYTES = 1024 * 1024
MAX_VALUES = 50_000  # scalars, lists and objects in one document, aliases resolved
MAX_DEPTH = 64  # levels of nesting
MAX_DOCUMENTS = 100  # in one text

_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
MAX_INTEGER_DIGITS = 40


class _Mark(Protocol):
    line: int
    column: int


class _Parsed(Protocol):
    """What is read of the library's nodes, which carry no types."""

    start_mark: _Mark
    tag: str
    value: object
    flow_style: bool


class _Complaint(Protocol):
    """What is read of the library's errors."""

    context: str | None
    problem: str | None
    context_mark: _Mark | None
    problem_mark: _Mark | None


def _parsed(node: Node) -> _Parsed:
    return cast("_Parsed", node)


def read_document(text: str, name: str) -> Document:
    """Read a text that holds one document, an object.

    Args:
        text: YAML 1.2 or JSON.
        name: of the file, for messages.

    Raises:
        DocumentError: it holds none, more than one, or what JSON cannot say.
    """
    documents = read_documents(text, name)
    if len(documents) != 1:
        raise DocumentError(name, 1, 1, f"one document is expected, not {len(documents)}")
    return documents[0]


def read_documents(text: str, name: str) -> list[Document]:
    """Read every document of a text; empty ones are left out.

    Raises:
        DocumentError: see `read_document`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise DocumentError(name, 1, 1, f"the text is over {MAX_TEXT_BYTES // 1024} KiB")
    lines = tuple(text.splitlines())
    documents: list[Document] = []
    try:
        for node in _compose(text):
            if isinstance(node, ScalarNode) and _parsed(node).value == "":
                continue
            if len(documents) == MAX_DOCUMENTS:
                raise DocumentError(name, 1, 1, f"over {MAX_DOCUMENTS} documents")
            documents.append(_document(node, name, lines))
    except MarkedYAMLError as error:
        complaint = cast("_Complaint", error)
        mark = complaint.problem_mark or complaint.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        raise DocumentError(name, line, column, _said(complaint)) from None
    except YAMLError as error:
        raise DocumentError(name, 1, 1, str(error).partition("\n")[0]) from None
    except RecursionError:
        raise DocumentError(name, 1, 1, f"nested over {MAX_DEPTH} deep") from None
    return documents


def _compose(text: str) -> Iterator[Node | None]:
    yaml = YAML(typ="safe", pure=True)
    compose = cast("Callable[[str], Iterator[Node | None]]", yaml.compose_all)
    return compose(text)


def _said(error: _Complaint) -> str:
    context = f" {error.context}" if error.context else ""
    problem = error.problem or "not YAML"
    hint = "; indent with spaces" if "\\t" in problem else ""
    return f"{problem}{context}{hint}"


def _document(node: Node | None, name: str, lines: tuple[str, ...]) -> Document:
    reading = _Reading(name)
    value = reading.value(node, "", None, 0) if node is not None else None
    if not isinstance(value, dict):
        line, column = (1, 1) if node is None else _start(node)
        raise DocumentError(name, line, column, "a document is an object: `name: value` lines")
    return Document(name=name, value=value, lines=lines, spots=reading.spots)


def _start(node: Node) -> Position:
    mark = _parsed(node).start_mark
    return Position(mark.line + 1, mark.column + 1)


class _Reading:
    """One document on the way to values."""

    __slots__ = ("_left", "_name", "spots")

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MAX_VALUES
        self.spots: dict[str, Spot] = {}

    def _refuse(self, node: Node, message: str) -> NoReturn:
        line, column = _start(node)
        raise DocumentError(self._name, line, column, message)

    def value(self, node: Node, pointer: str, key: Node | None, depth: int) -> JsonValue:
        """Give the value of a node, and note its place."""
        self._left -= 1
        if self._left < 0:
            self._refuse(node, f"over {MAX_VALUES} values, aliases resolved")
        if depth > MAX_DEPTH:
            self._refuse(node, f"nested over {MAX_DEPTH} deep; an alias inside itself is that too")
        start = _start(node)
        parsed = _parsed(node)
        block = not isinstance(node, ScalarNode) and not parsed.flow_style
        spread = block and bool(parsed.value)
        self.spots[pointer] = Spot(start if key is None else _start(key), start, spread)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            return [
                self.value(item, f"{pointer}/{index}", None, depth + 1)
                for index, item in enumerate(cast("list[Node]", parsed.value))
            ]
        if isinstance(node, MappingNode):
            return self._mapping(cast("list[tuple[Node, Node]]", parsed.value), pointer, depth)
        return self._refuse(node, "not a value of JSON")

    def _mapping(self, fields: list[tuple[Node, Node]], pointer: str, depth: int) -> JsonObject:
        found: JsonObject = {}
        for key_node, value_node in fields:
            key = self._key(key_node)
            if key in found:
                self._refuse(key_node, f"the field {key!r} is written twice")
            token = key.replace("~", "~0").replace("/", "~1")
            found[key] = self.value(value_node, f"{pointer}/{token}", key_node, depth + 1)
        return found

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            self._refuse(node, "a field's name is a text")
        if _parsed(node).tag == f"{_CORE}merge":
            self._refuse(node, "`<<` is not a part of YAML 1.2; write the fields out")
        value = self._scalar(node)
        if not isinstance(value, str):
            self._refuse(node, "a field's name is a text; write it in quotes")
        return value

    def _scalar(self, node: ScalarNode) -> JsonValue:
        text, tag = str(_parsed(node).value), _parsed(node).tag
        if not tag.startswith(_CORE):
            self._refuse(node, f"unknown tag {tag}")
        match tag.removeprefix(_CORE):
            case "str" | "timestamp" | "value" | "merge":
                return self._text(node, text)
            case "null":
                return None if text in _NULLS else self._refuse(node, f"not null: {text}")
            case "bool":
                return text in _TRUE if text in _TRUE | _FALSE else text
            case "int":
                return self._integer(node, text)
            case "float":
                return self._number(node, text)
            case other:
                return self._refuse(node, f"!!{other} is not a type of JSON")

    def _text(self, node: ScalarNode, text: str) -> str:
        """Join the surrogate pairs that JSON's escapes may give."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._refuse(node, "half of a surrogate pair is no character")

    def _integer(self, node: ScalarNode, text: str) -> int | str:
        if len(text) > MAX_INTEGER_DIGITS:
            self._refuse(node, f"a number of over {MAX_INTEGER_DIGITS} digits")
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text, 0)
        if _HEXADECIMAL.fullmatch(text):
            return int(text, 0)
        return text

    def _number(self, node: ScalarNode, text: str) -> float | str:
        if not _DECIMAL.fullmatch(text):
            if text.lower().lstrip("+-") in (".inf", ".nan"):
                self._refuse(node, f"{text} is no number of JSON")
            return text
        number = float(text)
        if number in (float("inf"), float("-inf")):
            self._refuse(node, f"{text} is too large a number")
        return number
