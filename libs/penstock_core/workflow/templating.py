"""Templates: `{{node.output.field}}` in strings anywhere in a JSON value. Data in, data out.

A reference is a root name followed by field names and list positions. Nothing is called, no
attribute is read and no expression is evaluated, so that a template costs what its result weighs.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, to_json

MAX_TEMPLATE_DEPTH = 64  # levels of nesting in a template
MAX_RENDERED_CHARS = 1024 * 1024  # characters of JSON text that a rendering may grow to
MAX_REFERENCE_CHARS = 512  # between the braces

_ESCAPE = "{{{{"
_OPEN = "{{"
_CLOSE = "}}"
_ROOT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)")
_STEP = re.compile(
    r"""\.([A-Za-z0-9_$@-]+) | \[\s*(\d{1,9})\s*\] | \[\s*("(?:[^"\\]|\\.)*")\s*\]""", re.VERBOSE
)


class TemplateError(Exception):
    """A template is malformed, or a reference in it has no value.

    Attributes:
        pointer: RFC 6901 pointer to the string, relative to the template's own root.
        message: what is wrong, without any payload.
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.pointer = pointer
        self.message = message


@dataclass(frozen=True, slots=True)
class Reference:
    """One `{{...}}`: a root name and the way into its value.

    Attributes:
        root: `inputs`, `trigger`, `run` or a node's name.
        path: field names and list positions, after the root.
        pointer: RFC 6901 pointer to the string it stands in.
        alone: whether it is the whole string, so that the typed value passes.
    """

    root: str
    path: tuple[str | int, ...]
    pointer: str
    alone: bool

    def __str__(self) -> str:
        return self.root + "".join(_step_text(step) for step in self.path)


@dataclass(frozen=True, slots=True)
class Text:
    """A string with references inside it: literal parts and references, in order."""

    parts: tuple[str | Reference, ...]
    pointer: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value without references: given as it is."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with references somewhere inside."""

    items: tuple[tuple[str, "Piece"], ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list with references somewhere inside."""

    items: tuple["Piece", ...]


Piece = Fixed | Text | Reference | Fields | Items
"""What a template is compiled to."""


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value with references, compiled.

    Rendered values share what they do not change with the template and the scope: treat all of
    them as immutable.

    Attributes:
        source: as written.
        piece: the compiled form, for those who check a template against types.
        references: every reference, in document order.
    """

    source: JsonValue
    piece: Piece = field(compare=False, repr=False)
    references: tuple[Reference, ...] = field(compare=False)

    def render(self, scope: Mapping[str, JsonValue]) -> JsonValue:
        """Give the value with every reference replaced.

        Raises:
            TemplateError: a reference has no value, or the result is too large.
        """
        if isinstance(self.piece, Fixed):
            return self.piece.value
        return _Rendering(scope).render(self.piece)


def compile_template(value: JsonValue) -> Template:
    """Compile a JSON value.

    Raises:
        TemplateError: a string in it is malformed; the first such.
    """
    template, faults = compile_with_faults(value)
    if faults:
        raise faults[0]
    return template


def compile_with_faults(value: JsonValue) -> tuple[Template, tuple[TemplateError, ...]]:
    """Compile a JSON value; a malformed string is taken literally and its fault given."""
    compiler = _Compiler()
    piece = compiler.compile(value, "", 0)
    references = tuple(compiler.references)
    return Template(source=value, piece=piece, references=references), tuple(compiler.faults)


def escape_token(token: str) -> str:
    """Give a key as a token of an RFC 6901 pointer."""
    return token.replace("~", "~0").replace("/", "~1")


class _Compiler:
    """Collects references and faults on the way through a value."""

    __slots__ = ("faults", "references")

    def __init__(self) -> None:
        self.references: list[Reference] = []
        self.faults: list[TemplateError] = []

    def compile(self, value: JsonValue, pointer: str, depth: int) -> Piece:
        if depth > MAX_TEMPLATE_DEPTH:
            self.faults.append(TemplateError(pointer, f"nested over {MAX_TEMPLATE_DEPTH} deep"))
            return Fixed(None)
        match value:
            case str():
                return self._string(value, pointer)
            case dict():
                pairs = tuple(
                    (key, self.compile(item, f"{pointer}/{escape_token(key)}", depth + 1))
                    for key, item in value.items()
                )
                plain = _as_written((piece for _, piece in pairs), value.values())
                return Fixed(value) if plain else Fields(pairs)
            case list():
                pieces = tuple(
                    self.compile(item, f"{pointer}/{index}", depth + 1)
                    for index, item in enumerate(value)
                )
                return Fixed(value) if _as_written(pieces, value) else Items(pieces)
            case _:
                return Fixed(value)

    def _string(self, text: str, pointer: str) -> Piece:
        if _OPEN not in text:
            return Fixed(text)
        try:
            parts = _parse(text, pointer)
        except TemplateError as error:
            self.faults.append(error)
            return Fixed(text)
        self.references.extend(part for part in parts if isinstance(part, Reference))
        if len(parts) == 1:
            only = parts[0]
            return only if isinstance(only, Reference) else Fixed(only)
        return Text(tuple(parts), pointer)


def _as_written(pieces: Iterable[Piece], values: Iterable[JsonValue]) -> bool:
    """Tell whether compiling changed nothing; an unescaped string has changed."""
    return all(
        isinstance(piece, Fixed) and piece.value is value
        for piece, value in zip(pieces, values, strict=True)
    )


def _parse(text: str, pointer: str) -> list[str | Reference]:
    """Split a string into literal parts and references."""
    parts: list[str | Reference] = []
    literal: list[str] = []
    start = 0
    while (opened := text.find(_OPEN, start)) >= 0:
        literal.append(text[start:opened])
        if text.startswith(_ESCAPE, opened):
            literal.append(_OPEN)
            start = opened + len(_ESCAPE)
            continue
        inside, start = _inside(text, opened, pointer)
        alone = opened == 0 and start == len(text)
        if any(literal):
            parts.append("".join(literal))
        literal = []
        parts.append(_reference(inside, pointer, alone=alone))
    literal.append(text[start:])
    if any(literal) or not parts:
        parts.append("".join(literal))
    return parts


def _inside(text: str, opened: int, pointer: str) -> tuple[str, int]:
    """Give what stands between the braces opened at `opened`, and where to go on."""
    closed = text.find(_CLOSE, opened)
    if closed < 0:
        raise TemplateError(pointer, "`{{` without `}}`; write `{{{{` for two braces")
    inside = text[opened + len(_OPEN) : closed]
    if len(inside) > MAX_REFERENCE_CHARS:
        raise TemplateError(pointer, f"a reference is over {MAX_REFERENCE_CHARS} characters long")
    return inside, closed + len(_CLOSE)


def _reference(inside: str, pointer: str, *, alone: bool) -> Reference:
    shown = inside.strip()
    if not shown:
        raise TemplateError(pointer, "an empty reference; write `{{node.output.field}}`")
    root = _ROOT.match(inside)
    if root is None:
        raise TemplateError(pointer, f"`{shown}` does not begin with a name")
    path: list[str | int] = []
    position = root.end()
    end = len(inside.rstrip())
    while position < end:
        step = _STEP.match(inside, position)
        if step is None:
            raise TemplateError(pointer, _malformed(shown, inside[position:end]))
        name, index, quoted = step.groups()
        path.append(name if name is not None else _key(index, quoted, pointer))
        position = step.end()
    return Reference(root=root.group(1), path=tuple(path), pointer=pointer, alone=alone)


def _key(index: str | None, quoted: str | None, pointer: str) -> str | int:
    if index is not None:
        return int(index)
    try:
        return str(json.loads(quoted or '""'))
    except ValueError:
        raise TemplateError(pointer, f"not a quoted key: {quoted}") from None


def _malformed(shown: str, rest: str) -> str:
    reason = f"`{shown}` is not a reference: unexpected `{rest.strip()[:40]}`"
    if any(mark in rest for mark in "|(+*/=<>!&? "):
        return f"{reason}; a template only names a value, conditions belong in `when`"
    return reason


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _STEP.fullmatch(f".{step}") else f"[{json.dumps(step)}]"


class _Rendering:
    """One rendering and what it may still grow by."""

    __slots__ = ("_left", "_scope")

    def __init__(self, scope: Mapping[str, JsonValue]) -> None:
        self._scope = scope
        self._left = MAX_RENDERED_CHARS

    def render(self, piece: Piece) -> JsonValue:
        match piece:
            case Fixed(value):
                return value
            case Reference():
                value = self._value(piece)
                self._spend(_weight(value, piece), piece.pointer)
                return value
            case Text(parts, pointer):
                return "".join(self._part(part, pointer) for part in parts)
            case Fields(items):
                return {key: self.render(item) for key, item in items}
            case Items(items):
                return [self.render(item) for item in items]

    def _part(self, part: str | Reference, pointer: str) -> str:
        text = part if isinstance(part, str) else as_text(self._value(part), part)
        self._spend(len(text), pointer)
        return text

    def _value(self, reference: Reference) -> JsonValue:
        if reference.root not in self._scope:
            raise TemplateError(reference.pointer, f"there is no `{reference.root}` here")
        value = self._scope[reference.root]
        for number, step in enumerate(reference.path):
            match value, step:
                case dict(), str() if step in value:
                    value = value[step]
                case list(), int() if step < len(value):
                    value = value[step]
                case _:
                    raise TemplateError(reference.pointer, _absent(reference, number, value))
        return value

    def _spend(self, amount: int, pointer: str) -> None:
        self._left -= amount
        if self._left < 0:
            limit = f"over {MAX_RENDERED_CHARS // 1024} KiB"
            raise TemplateError(pointer, f"the rendered value is too large ({limit})")


def as_text(value: JsonValue, reference: Reference) -> str:
    """Give a value as it stands inside a string: text as it is, all else as compact JSON.

    Raises:
        TemplateError: it is nested too deeply to be written.
    """
    return value if isinstance(value, str) else _json(value, reference).decode()


def _json(value: JsonValue, reference: Reference) -> bytes:
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError):
        _refuse_deep(reference)


def _refuse_deep(reference: Reference) -> NoReturn:
    raise TemplateError(reference.pointer, f"`{reference}` is nested too deeply") from None


def _weight(value: JsonValue, reference: Reference) -> int:
    match value:
        case str():
            return len(value)
        case dict() | list():
            return len(_json(value, reference))
        case _:
            return 1


def _absent(reference: Reference, number: int, value: JsonValue) -> str:
    """Say what is missing by the names the author wrote, never by the value."""
    whole = reference.root + "".join(_step_text(step) for step in reference.path[:number])
    step = reference.path[number]
    if value is None:
        return f"`{reference}` has no value: `{whole}` is null"
    if isinstance(value, dict) and isinstance(step, str):
        return f"`{reference}` has no value: `{whole}` has no field {step!r}"
    if isinstance(value, list) and isinstance(step, int):
        return f"`{reference}` has no value: `{whole}` has only {len(value)} items"
    return f"`{reference}` has no value: `{whole}` is {_kind(value)}"


def _kind(value: JsonValue) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a string"
        case bool():
            return "a boolean"
        case _:
            return "a number"
