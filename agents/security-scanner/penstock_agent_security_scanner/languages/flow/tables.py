"""The tables of a language: sources, sinks, what cleans, what is wrong by itself.

A call or member is named by its *reference*: what it hangs off, as far as the file tells, then its
own name: `child_process.exec`, `Statement.executeQuery`, `new File`, `http.Request.URL.Query()`.
Tables write `*.name` for any owner, and `*` inside an owner for anything.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.flow.slow_expressions import is_slow
from penstock_agent_security_scanner.languages.flow.values import (
    BUILT,
    LOCAL,
    ORIGINS,
    OUTSIDE,
    PARAMETER,
    REMOTE,
    Value,
)

ALL_ARGUMENTS = -1
UNSET = object()
MAX_CACHED = 20_000
Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True)
class Sink:
    """Where a value of some origin does harm.

    Attributes:
        args: Positions; `ALL_ARGUMENTS` for every one.
        keys: Of an object only these parts count.
        unless_keys: An object with one of these is of another kind.
        when: What the first argument must be like.
        owners: What the owner's reference must be like, if there is one.
        like: A text that begins with anything but SQL is of another kind.
        records: Only objects count.
        texts: Objects do not count.
        first: What the first argument's reference must be like.
        least: The fewest arguments.
        family: As in `Guarded`: a call in the same function may make it good.
    """

    rule: Rule
    bit: int
    kind: str
    args: tuple[int, ...]
    origin: str
    keys: tuple[str, ...] = ()
    unless_keys: frozenset[str] = frozenset()
    when: re.Pattern[str] | None = None
    owners: re.Pattern[str] | None = None
    like: bool = False
    records: bool = False
    texts: bool = False
    family: str = ""
    first: re.Pattern[str] | None = None
    least: int = 0


@dataclass(frozen=True, slots=True)
class Literally:
    """What a value certainly is; every part that is given must hold."""

    text: re.Pattern[str] | None
    equals: Any
    below: int | None
    literal: bool
    repeats: bool
    empty: bool
    above: int | None
    ref: re.Pattern[str] | None
    narrow: bool

    def fits(self, value: Value, depth: int = 2) -> bool:
        """Whether the value, or one in a list of values, is meant."""
        if value.items and depth:
            return any(self.fits(item, depth - 1) for item in list(value.items.values()))
        const = value.const
        if self.literal:
            return bool(value.prefix) and not value.marks
        if self.empty:
            return const is None or const == "" or const is False
        if self.text is not None:
            return isinstance(const, str) and self.text.search(const) is not None
        if self.above is not None:
            if not isinstance(const, int) or isinstance(const, bool):
                return False
            if self.narrow and const & 0o022:
                return False
            return bool(const & ~self.above & 0o777)
        if self.ref is not None:
            return self.ref.fullmatch(value.ref) is not None
        if self.repeats:
            return isinstance(const, str) and is_slow(const)
        if self.below is not None:
            return isinstance(const, int) and not isinstance(const, bool) and const < self.below
        if self.equals is UNSET:
            return True
        return type(const) is type(self.equals) and const == self.equals


@dataclass(frozen=True, slots=True)
class Wrong:
    """A call that is wrong for what one argument literally is.

    Attributes:
        arg: Its position; None when the call alone is wrong.
        keys: The part of that argument, by a path with dots; one of them suffices.
        lacks: That argument is missing or an object without this part.
        when: What the first argument must be like.
        context: `near`: more than a remark near words for secrets; `only`: nothing elsewhere.
    """

    rule: Rule
    test: Literally
    arg: int | None
    keys: tuple[str, ...]
    lacks: str
    when: re.Pattern[str] | None
    context: str


@dataclass(frozen=True, slots=True)
class Option:
    """A named part of an object that is wrong for what it literally is.

    Attributes:
        within: The type of the object.
        lacks: It is wrong for an object with the key to have none of these.
    """

    rule: Rule
    test: Literally
    key: re.Pattern[str]
    within: re.Pattern[str] | None
    lacks: frozenset[str]


@dataclass(frozen=True, slots=True)
class Guarded:
    """Something made in a dangerous state, until a call in the same function makes it safe."""

    rule: Rule
    family: str


@dataclass(frozen=True, slots=True)
class Until:
    """The call that makes a `Guarded` thing safe."""

    family: str
    args: tuple[tuple[int, Any], ...]
    text: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What its result cannot harm any more."""

    bits: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """Its result has nothing of what went in, if the first argument fits `when`."""

    marks: int
    when: re.Pattern[str] | None


class ByReference(Generic[Spec]):
    """Specifications found by the reference of a call."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[tuple[re.Pattern[str] | None, Spec]]] = {}
        self._cache: dict[tuple[str, str], tuple[Spec, ...]] = {}

    def add(self, call: str, spec: Spec) -> None:
        """Say something of `owner.name`."""
        owner, _, name = call.rpartition(".")
        pattern = None if owner == "*" else re.compile(_globbed(owner))
        self._by_name.setdefault(name, []).append((pattern, spec))

    def all(self) -> list[Spec]:
        """Every specification there is."""
        return [spec for entries in self._by_name.values() for _, spec in entries]

    def find(self, owner: str, name: str) -> tuple[Spec, ...]:
        """Everything that is said of `owner.name`."""
        key = (owner, name)
        found = self._cache.get(key)
        if found is None:
            entries = [*self._by_name.get(name, ()), *self._by_name.get("*", ())]
            found = tuple(
                spec for pattern, spec in entries if pattern is None or pattern.fullmatch(owner)
            )
            if len(self._cache) < MAX_CACHED:
                self._cache[key] = found
        return found


def _globbed(owner: str) -> str:
    if not owner:
        return ""
    pattern = re.escape(owner).replace(r"\*", ".*")
    return pattern if owner.startswith("*") else rf"(?:.*[./])?{pattern}"


@dataclass(slots=True)
class Table:
    """Everything that is known about a language.

    Attributes:
        remote: References that hold what a client sent.
        local: References that hold what the machine or its user gave.
        remote_notes: Annotations of parameters that a client fills.
        remote_types: Types of parameters that a client fills.
        neutral_types: Types or names of parameters that are the framework's, not data.
        entry_notes: Annotations of functions that are called with data of a request.
        inherits: Whether an object's keys may lead to what all objects share.
        writes: Sinks that are assigned to.
    """

    remote: re.Pattern[str]
    local: re.Pattern[str]
    remote_notes: frozenset[str]
    remote_types: frozenset[str]
    neutral_types: re.Pattern[str]
    entry_notes: re.Pattern[str]
    inherits: bool
    sinks: ByReference[Sink] = field(default_factory=lambda: ByReference[Sink]())
    writes: list[tuple[re.Pattern[str], Sink]] = field(
        default_factory=list[tuple[re.Pattern[str], Sink]]
    )
    wrongs: ByReference[Wrong] = field(default_factory=lambda: ByReference[Wrong]())
    guarded: ByReference[Guarded] = field(default_factory=lambda: ByReference[Guarded]())
    until: ByReference[Until] = field(default_factory=lambda: ByReference[Until]())
    cleaners: ByReference[Cleaner] = field(default_factory=lambda: ByReference[Cleaner]())
    fresh: ByReference[Fresh] = field(default_factory=lambda: ByReference[Fresh]())
    options: list[Option] = field(default_factory=list[Option])


_SQL = re.compile(
    r"(?i)[\s(]*(?:select|insert|update|delete|with|create|drop|alter|replace|merge|call|exec|grant"
    r"|truncate|set|show|use|declare|pragma|from|where|and|or|order|explain|union|values|begin)\b"
)
_SAFE_START = {
    "url": re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^/?#@]+[/?#]"),
    "redirect": re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^/?#@]+[/?#]|/[^/\\]|[?#]"),
}


def harms(sink: Sink, value: Value) -> bool:
    """Whether a value does harm where it arrives."""
    marks = value.marks
    if sink.like and value.prefix and not _SQL.match(value.prefix):
        return False
    if value.clean & sink.bit and marks & ORIGINS:
        return False
    start = _SAFE_START.get(sink.kind)
    if start is not None and value.prefix and start.match(value.prefix):
        return False
    match sink.origin:
        case "remote":
            return bool(marks & REMOTE)
        case "outside":
            return bool(marks & OUTSIDE)
        case "built":
            return bool(marks & OUTSIDE) or bool(marks & PARAMETER and marks & BUILT)
        case "local":
            return bool(marks & LOCAL) and not marks & REMOTE
        case "any":
            return bool(marks & ORIGINS)
        case _:
            return bool(marks)
