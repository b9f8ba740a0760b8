"""What the analysis knows of a value."""

from typing import TYPE_CHECKING

from penstock_agent_security_scanner.languages.flow.program import Literal

if TYPE_CHECKING:
    from penstock_agent_security_scanner.languages.flow.frames import Closure

# Where a value may come from. No mark at all: it is made of literals and harmless results only.
REMOTE = 1  # whoever sends a request
LOCAL = 2  # arguments, environment, standard input, sockets, files, rows of a database
PARAMETER = 4  # a parameter of a function that other files may call
UNKNOWN = 8  # the result of something not seen
BUILT = 16  # put together from several parts
ORIGINS = REMOTE | LOCAL | PARAMETER
OUTSIDE = REMOTE | LOCAL

# What a value was made harmless for, one bit each.
KINDS = (
    "sql", "command", "code", "path", "html", "url", "redirect", "ldap", "xpath", "nosql", "regex",
    "trust", "xml", "data", "template", "header", "key", "log",
)  # fmt: skip
BIT = {kind: 1 << index for index, kind in enumerate(KINDS)}
CLEAN = (1 << len(KINDS)) - 1
MAX_ITEMS = 200
MAX_HELD = 300
MAX_TEXT = 4_000


class _Absent:
    __slots__ = ()


ABSENT = _Absent()
Known = Literal | _Absent


class Value:
    """An abstract value.

    Attributes:
        marks: Where it may come from.
        clean: Kinds of harm it cannot do any more.
        const: The literal it certainly is, or `ABSENT`.
        prefix: The literal text it certainly begins with.
        ref: What it stands for in the words of the program (`http.Request.URL`), for the tables.
        items: Contents of a collection or object, shared by everyone who holds it.
        run: The function it is.
    """

    __slots__ = ("clean", "const", "items", "marks", "prefix", "ref", "run")

    def __init__(
        self,
        marks: int = 0,
        clean: int = 0,
        const: Known = ABSENT,
        prefix: str = "",
        ref: str = "",
        items: "dict[Known, Value] | None" = None,
        run: "Closure | None" = None,
    ) -> None:
        self.marks = marks
        self.clean = clean
        self.const = const
        self.prefix = prefix
        self.ref = ref
        self.items = items
        self.run = run

    def but(
        self, marks: int | None = None, clean: int | None = None, ref: str | None = None
    ) -> "Value":
        """The same with other marks, cleanness or reference; no longer a known literal."""
        return Value(
            self.marks if marks is None else marks,
            self.clean if clean is None else clean,
            ABSENT,
            self.prefix,
            self.ref if ref is None else ref,
            self.items,
            self.run,
        )

    @property
    def text(self) -> str | None:
        """The literal text it certainly is."""
        return self.const if isinstance(self.const, str) else None


NOTHING = Value()


def total(value: Value) -> Value:
    """The value with everything that it holds, as far as the first `MAX_HELD` of it."""
    if not value.items:
        return value
    parts, pending, seen = [value], [value], {id(value)}
    while pending and len(parts) < MAX_HELD:
        for item in list((pending.pop().items or {}).values())[:MAX_HELD]:
            if id(item) in seen:
                continue
            seen.add(id(item))
            parts.append(item)
            if item.items:
                pending.append(item)
    return mixed(parts)


def mixed(parts: list[Value], built: bool = False) -> Value:
    """Something of unknown shape that was made out of `parts`."""
    marks, clean = 0, CLEAN
    for part in parts:
        marks |= part.marks
        if part.marks & ORIGINS:
            clean &= part.clean
    return Value(marks | (BUILT if built and marks else 0), clean if marks & ORIGINS else 0)


def merged(one: Value, other: Value) -> Value:
    """What holds after either of two ways."""
    if one is other:
        return one
    result = mixed([one, other])
    if not isinstance(one.const, _Absent) and same(one.const, other.const):
        result.const = one.const
    result.prefix = one.prefix if one.prefix == other.prefix else ""
    result.ref = one.ref or other.ref
    result.run = one.run or other.run
    if one.items is not None or other.items is not None:
        if one.items is other.items:
            result.items = one.items
        else:
            result.items = merged_items(one.items or {}, other.items or {})
    return result


def merged_items(one: dict[Known, Value], other: dict[Known, Value]) -> dict[Known, Value]:
    """Contents after either of two ways."""
    items = dict(one)
    for key, value in other.items():
        items[key] = merged(items[key], value) if key in items else value
    return items


def same(one: Known, other: Known) -> bool:
    """Equal and of one type (`1` is not `True`)."""
    return type(one) is type(other) and one == other
