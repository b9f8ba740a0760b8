"""What is known about a value."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

# Stands for a part of a text that is not known.
HOLE: Final = "\0"
MAX_TEXT_CHARS = 300
MAX_ITEMS = 64
MAX_SIZE = 160


class Reach(IntEnum):
    """Who decides what a value is."""

    CALLER = 0  # a parameter of a function whose callers are not in sight
    LOCAL = 1  # whoever starts the program: arguments, environment, its terminal
    REMOTE = 2  # whoever sends it a request


# For each reach: None when it has no hold on the value, else the weaknesses it was cleaned against.
# The last is what else is to be said of it: marks that stay on whatever is made of the value.
Mark = tuple[str, int]
Taint = tuple[frozenset[str] | None, frozenset[str] | None, frozenset[str] | None, frozenset[Mark]]
_UNMARKED: Final[frozenset[Mark]] = frozenset()
CLEAN: Final[Taint] = (None, None, None, _UNMARKED)
# The text of an exception; made by a generator that can be predicted.
LEAK, GUESSABLE = "leak", "guessable"
_RAW: Final[frozenset[str]] = frozenset()


class Unknown:
    """The constant of a value that is none."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Value:
    """An abstract value; immutable.

    Attributes:
        const: The constant it is, or `UNKNOWN`.
        taint: Who has a hold on it.
        text: For texts: the known parts, with `HOLE` for the rest; bounded.
        fixed: Made of literals and numbers of this program only.
        kind: Dotted name of the class, module or function it is or was made by.
        items: Elements in order where all are known.
        pairs: Known keys of a mapping or attributes of an instance.
        rest: What a look-up of another key or index gives.
        target: A function, class or bound method of the scanned code.
        built: Line where text with holes was put together; 0 for none.
        size: How many values it is made of, itself included.
    """

    const: object = UNKNOWN
    taint: Taint = CLEAN
    text: str = ""
    fixed: bool = False
    kind: str = ""
    items: "tuple[Value, ...] | None" = None
    pairs: "tuple[tuple[object, Value], ...] | None" = None
    rest: "Value | None" = None
    target: object = None
    built: int = 0
    size: int = field(default=1, init=False, compare=False)

    def __post_init__(self) -> None:
        """A value of too many parts forgets them: lists of lists could double with every line."""
        if self.items is None and self.pairs is None and self.rest is None:
            return
        size = 1 + sum(item.size for item in self.items or ())
        size += sum(value.size for _, value in self.pairs or ())
        size += 0 if self.rest is None else self.rest.size
        if size > MAX_SIZE:
            object.__setattr__(self, "rest", Value(taint=self.whole()))
            object.__setattr__(self, "items", None)
            object.__setattr__(self, "pairs", None)
            size = 2
        object.__setattr__(self, "size", size)

    @property
    def known(self) -> bool:
        """Whether it is one constant."""
        return self.const is not UNKNOWN

    def reach(self, weakness: str) -> Reach | None:
        """The farthest hold on it that was not cleaned against this weakness."""
        return reach_of(self.taint, weakness)

    def marks(self, name: str) -> list[int]:
        """Lines of its marks of one name."""
        return [line for mark, line in self.whole()[3] if mark == name]

    def cleaned(self, *weaknesses: str) -> "Value":
        """The same, cleaned against more; `*` stands for all."""
        if self.taint == CLEAN and not self.items and not self.pairs:
            return self
        return replace(
            self,
            taint=cleaned(self.taint, weaknesses),
            items=None if self.items is None else tuple(v.cleaned(*weaknesses) for v in self.items),
            rest=None if self.rest is None else self.rest.cleaned(*weaknesses),
        )

    def plain(self) -> "Value":
        """Only its taint: what is left after something unknown was done with it."""
        return Value(taint=self.whole())

    def whole(self) -> Taint:
        """Its taint and that of everything in it."""
        if self.items is None and self.pairs is None and self.rest is None:
            return self.taint
        taints = [self.taint]
        taints += [item.whole() for item in self.items or ()]
        taints += [item.whole() for _, item in self.pairs or ()]
        if self.rest is not None:
            taints.append(self.rest.whole())
        return merged(taints)

    def at(self, key: object) -> "Value | None":
        """What is under a key or attribute; None when nothing is known of it."""
        for known, value in self.pairs or ():
            if known == key and type(known) is type(key):
                return value
        return self.rest

    def having(self, key: object, value: "Value") -> "Value":
        """With a key or attribute set."""
        kept = tuple(pair for pair in self.pairs or () if pair[0] != key)
        if len(kept) >= MAX_ITEMS:
            return replace(self, pairs=None, rest=joined([value, self.rest or NOTHING]))
        return replace(self, pairs=(*kept, (key, value)), const=UNKNOWN)


NOTHING: Final = Value()
NUMBER: Final = Value(fixed=True, kind="int")


def reach_of(taint: Taint, weakness: str) -> Reach | None:
    """The farthest reach of a taint that was not cleaned against a weakness."""
    for reach in (Reach.REMOTE, Reach.LOCAL, Reach.CALLER):
        cleaned_against = taint[reach]
        if cleaned_against is not None and not cleaned_against & {weakness, "*"}:
            return reach
    return None


def tainted(reach: Reach, kind: str = "", cleaned_against: frozenset[str] = _RAW) -> Value:
    """A value someone else decides; so are all its parts."""
    marks: list[frozenset[str] | None] = [None, None, None]
    marks[reach] = cleaned_against
    return Value(taint=(marks[0], marks[1], marks[2], _UNMARKED), kind=kind, text=HOLE)


def marked(name: str, line: int, kind: str = "") -> Value:
    """A value nobody else decides, about which something is to be remembered."""
    return Value(taint=(None, None, None, frozenset({(name, line)})), kind=kind, text=HOLE)


def constant(value: object) -> Value:
    """A literal."""
    text = value if isinstance(value, str) else ""
    if isinstance(value, bytes):
        text = value[:MAX_TEXT_CHARS].decode("latin-1")
    elif isinstance(value, int | float):
        text = str(value)[:MAX_TEXT_CHARS] if abs(value) < 1e18 else HOLE
    return Value(const=value, text=text[:MAX_TEXT_CHARS], fixed=True, kind=type(value).__name__)


def cleaned(taint: Taint, weaknesses: Iterable[str]) -> Taint:
    """The taint, cleaned against more."""
    more = frozenset(weaknesses)
    first, second, third, marks = taint
    return (
        None if first is None else first | more,
        None if second is None else second | more,
        None if third is None else third | more,
        marks,
    )


def merged(taints: Iterable[Taint]) -> Taint:
    """Whoever has a hold on one part has one on the whole; cleaned only where all parts are."""
    several = [taint for taint in taints if taint is not CLEAN and taint != CLEAN]
    if len(several) < 2:
        return several[0] if several else CLEAN
    result: list[frozenset[str] | None] = [None, None, None]
    kept = _UNMARKED
    for taint in several:
        for index, against in enumerate(taint[:3]):
            if against is not None:
                known = result[index]
                result[index] = against if known is None else known & against
        if taint[3]:
            kept |= taint[3]
    return (result[0], result[1], result[2], kept)


def joined(values: Iterable[Value]) -> Value:
    """One of several: what holds for all of them, and the taint of each."""
    different: list[Value] = []
    for value in values:
        if any(value is known for known in different) or value in different[:4]:
            continue
        if len(different) < MAX_ITEMS:
            different.append(value)
    if not different:
        return NOTHING
    if len(different) == 1:
        return different[0]
    first = different[0]
    kinds = {value.kind for value in different if value.const is not None}
    texts = [value.text for value in different if value.text]
    targets = [value.target for value in different if value.target is not None]
    return Value(
        taint=merged(value.taint for value in different),
        text=_common_text(texts),
        fixed=all(value.fixed for value in different),
        kind=kinds.pop() if len(kinds) == 1 else "",
        items=_joined_items(different),
        pairs=_joined_pairs(different),
        rest=_joined_rest(different),
        target=targets[0] if targets else None,
        built=max(value.built for value in different) or first.built,
    )


def _common_text(texts: list[str]) -> str:
    """The longest, as it tells most about what kind of text it is, behind what all begin with."""
    if not texts or all(text == texts[0] for text in texts):
        return texts[0] if texts else ""
    begin = texts[0]
    for text in texts[1:]:
        while not text.startswith(begin):
            begin = begin[:-1]
    longest = max(texts, key=len)
    return (
        longest if longest.startswith(begin + HOLE) else (begin + HOLE + longest)[:MAX_TEXT_CHARS]
    )


def _joined_items(values: list[Value]) -> tuple[Value, ...] | None:
    lists = [value.items for value in values if value.items is not None]
    if len(lists) != len(values) or len({len(items) for items in lists}) != 1:
        return None
    return tuple(joined(column) for column in zip(*lists, strict=True))


def _joined_pairs(values: list[Value]) -> tuple[tuple[object, Value], ...] | None:
    if all(value.pairs is None for value in values):
        return None
    keys: dict[object, list[Value]] = {}
    for value in values:
        for key, part in value.pairs or ():
            keys.setdefault(key, []).append(part)
    return tuple((key, joined(parts)) for key, parts in list(keys.items())[:MAX_ITEMS])


def _joined_rest(values: list[Value]) -> Value | None:
    """Lists of different lengths lose their order, not their content."""
    rests = [value.rest for value in values if value.rest is not None]
    if any(value.items is not None for value in values) and _joined_items(values) is None:
        rests += [item for value in values for item in value.items or ()]
    return joined(rests) if rests else None
