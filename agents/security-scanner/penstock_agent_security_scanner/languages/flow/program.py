"""A program in the few shapes that the analysis knows, the same for every language."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Literal = str | int | float | bool | None


@dataclass(slots=True)
class Expr:
    """An expression; `line` is where it begins, from 1."""

    line: int


@dataclass(slots=True)
class Const(Expr):
    """A literal."""

    value: Literal


@dataclass(slots=True)
class Name(Expr):
    """A variable, function, package or class."""

    id: str


@dataclass(slots=True)
class Member(Expr):
    """`of.name`."""

    of: Expr
    name: str


@dataclass(slots=True)
class Index(Expr):
    """`of[key]`."""

    of: Expr
    key: Expr


@dataclass(slots=True)
class Call(Expr):
    """`callee(args)`; `new` for a constructor. `line` is that of the callee's last name."""

    callee: Expr
    args: list[Expr]
    new: bool = False


@dataclass(slots=True)
class Join(Expr):
    """`a + b`, or a template with its holes."""

    parts: list[Expr]


@dataclass(slots=True)
class Op(Expr):
    """Any other operator; one operand for a prefix."""

    op: str
    parts: list[Expr]


@dataclass(slots=True)
class Choose(Expr):
    """`test ? yes : no`."""

    test: Expr
    yes: Expr
    no: Expr


@dataclass(slots=True)
class Record(Expr):
    """An object, map or struct with named parts; a part without a name is spread into it."""

    pairs: list[tuple[str | None, Expr]]
    type: str = ""


@dataclass(slots=True)
class Listing(Expr):
    """A list, array or tuple."""

    items: list[Expr]


@dataclass(slots=True)
class Opaque(Expr):
    """Something of no interest, made of `parts`."""

    parts: list[Expr]


@dataclass(slots=True)
class Set(Expr):
    """`target = value`; a target that is a `Listing` or `Record` takes the value apart."""

    target: Expr
    value: Expr
    type: str = ""
    declares: bool = False


@dataclass(slots=True)
class Lambda(Expr):
    """A function as a value."""

    function: "Function"


@dataclass(slots=True)
class Block(Expr):
    """Statements in their order."""

    body: list[Expr]


@dataclass(slots=True)
class If(Expr):
    """A branch."""

    test: Expr
    yes: Expr
    no: Expr | None


@dataclass(slots=True)
class Loop(Expr):
    """A loop of any kind; `test` None for one over a collection."""

    before: list[Expr]
    test: Expr | None
    body: Expr
    changes: frozenset[str]


@dataclass(slots=True)
class Switch(Expr):
    """Cases in order, each with the values it is for (None: default) and whether it falls on."""

    subject: Expr
    cases: list[tuple[list[Expr] | None, Block, bool]]


@dataclass(slots=True)
class Try(Expr):
    """`body`, then perhaps one of `handlers`, then `last`."""

    body: Expr
    handlers: list[Expr]
    last: Expr | None


@dataclass(slots=True)
class Leave(Expr):
    """`return`, `throw`, `break` or `continue`."""

    kind: str
    value: Expr | None = None


@dataclass(slots=True)
class Parameter:
    """One parameter; `notes` are its annotations or decorators."""

    name: str
    type: str = ""
    notes: tuple[str, ...] = ()
    pattern: Expr | None = None
    rest: bool = False


@dataclass(slots=True)
class Function:
    """A function, method or lambda.

    Attributes:
        owner: Name of the class it belongs to, or empty.
        hidden: Nothing outside the file can call it.
        end: Its last line.
        receiver: What the object is called inside, where that is not `this`.
    """

    name: str
    line: int
    parameters: list[Parameter]
    body: Expr
    owner: str = ""
    hidden: bool = False
    notes: tuple[str, ...] = ()
    end: int = 0
    receiver: str = ""


@dataclass(slots=True)
class Class:
    """A class with what its fields start as."""

    name: str
    line: int
    fields: list[Set] = field(default_factory=list[Set])
    methods: list[Function] = field(default_factory=list[Function])
    parents: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Program:
    """One file.

    Attributes:
        imports: Local name to what it stands for.
        body: Statements outside of functions.
        calls: Names of everything that is called somewhere in the file.
        assigned: Names of variables and fields that are written outside their declaration.
        outward: Functions that other files can reach although nothing says so at their place.
    """

    imports: dict[str, str] = field(default_factory=dict[str, str])
    functions: list[Function] = field(default_factory=list[Function])
    classes: dict[str, Class] = field(default_factory=dict[str, Class])
    body: list[Expr] = field(default_factory=list[Expr])
    calls: set[str] = field(default_factory=set[str])
    assigned: set[str] = field(default_factory=set[str])
    outward: set[str] = field(default_factory=set[str])


def named(expr: Expr) -> Iterator[str]:
    """Every variable that a target binds."""
    match expr:
        case Name(id=name):
            yield name
        case Listing(items=items) | Opaque(parts=items):
            for item in items:
                yield from named(item)
        case Record(pairs=pairs):
            for _, item in pairs:
                yield from named(item)
        case Set(target=target):
            yield from named(target)
        case _:
            pass
