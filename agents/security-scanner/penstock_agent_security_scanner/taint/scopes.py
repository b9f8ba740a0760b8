"""Names and what they stand for."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from penstock_agent_security_scanner.taint.values import Value, joined

SIZE_COUNTED: Final = 40
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass
class Scope:
    """The names of one body; look-ups go on in the enclosing one.

    Attributes:
        parent: The enclosing body.
        names: What is bound here.
        elsewhere: Names that `global` or `nonlocal` bind in another scope.
        function: Whose body it is; None for a module.
        results: What was returned or yielded so far.
        finals: Names as they were where the body was left by `return`.
        exits: Names as they were where the innermost loop was left.
        origins: The expression a name was last bound to.
    """

    parent: "Scope | None" = None
    names: dict[str, Value] = field(default_factory=dict)
    elsewhere: dict[str, "Scope"] = field(default_factory=dict)
    function: "Function | None" = None
    results: list[Value] = field(default_factory=list[Value])
    finals: list[dict[str, Value]] = field(default_factory=list[dict[str, Value]])
    exits: list[dict[str, Value]] = field(default_factory=list[dict[str, Value]])
    origins: dict[str, ast.expr] = field(default_factory=dict[str, ast.expr])

    def get(self, name: str) -> Value | None:
        """The value of a name, or None when nobody bound it."""
        scope: Scope | None = self
        while scope is not None:
            value = scope.names.get(name)
            if value is not None:
                return value
            scope = scope.parent
        return None

    def set(self, name: str, value: Value) -> None:
        """Bind a name here, or where `global` or `nonlocal` says."""
        target = self.elsewhere.get(name)
        if target is not None:
            target.names[name] = joined([value, target.names.get(name, value)])
        else:
            self.names[name] = value

    def declare(self, names: list[str], outermost: bool) -> None:
        """`global` and `nonlocal`."""
        scope = self.parent
        if scope is None:
            return
        while outermost and scope.parent is not None:
            scope = scope.parent
        for name in names:
            self.elsewhere[name] = scope

    def fork(self) -> dict[str, Value]:
        """The names as they are, to come back to."""
        return dict(self.names)

    def merge(self, branches: list[dict[str, Value]]) -> None:
        """Go on with what any of the branches left."""
        if len(branches) == 1:
            self.names = branches[0]
            return
        if not branches:
            return
        first, *others = branches
        result = dict(first)
        for other in others:
            for name, value in other.items():
                known = result.get(name)
                if known is None:
                    result[name] = value
                elif known is not value:
                    result[name] = joined([known, value])
        self.names = result


@dataclass(eq=False)
class Function:
    """A function of the scanned code, with the scope it was defined in."""

    node: FunctionNode
    scope: Scope
    owner: "Class | None" = None
    module: str = ""
    calls: int = 0
    _size: int = -1

    @property
    def size(self) -> int:
        """How many statements it has, up to a few dozen."""
        if self._size < 0:
            body = self.node.body if not isinstance(self.node, ast.Lambda) else []
            pending, count = list(body), 0
            while pending and count < SIZE_COUNTED:
                statement = pending.pop()
                count += 1
                for name in ("body", "orelse", "handlers", "finalbody", "cases"):
                    pending.extend(getattr(statement, name, None) or [])
            self._size = count
        return self._size

    @property
    def name(self) -> str:
        """Its name; empty for a lambda."""
        return "" if isinstance(self.node, ast.Lambda) else self.node.name

    def parameters(self) -> list[ast.arg]:
        """Those that take one value, in order."""
        given = self.node.args
        return [*given.posonlyargs, *given.args, *given.kwonlyargs]

    def decorators(self) -> list[ast.expr]:
        """As written."""
        return [] if isinstance(self.node, ast.Lambda) else self.node.decorator_list


@dataclass(eq=False)
class Class:
    """A class of the scanned code.

    Attributes:
        bases: By dotted name.
        members: Methods and class attributes.
        fields: What was seen to be put under `self` so far.
        set_often: Names that several places put something under, maybe not all of them seen.
    """

    name: str
    bases: list[str] = field(default_factory=list)
    parents: list["Class"] = field(default_factory=list)
    members: dict[str, Value] = field(default_factory=dict)
    fields: dict[str, Value] = field(default_factory=dict)
    set_often: frozenset[str] = frozenset()

    def lookup(self, name: str) -> Value | None:
        """A method or class attribute, parents included."""
        for known in self.lineage():
            if name in known.members:
                return known.members[name]
        return None

    def field_of(self, name: str) -> Value | None:
        """What any method was seen to put under `self.name`."""
        for known in self.lineage():
            if name in known.fields:
                return known.fields[name]
        return None

    def note(self, name: str, value: Value) -> None:
        """A method put this under `self.name`."""
        self.fields[name] = joined([value, self.fields.get(name, value)])

    def lineage(self) -> Iterator["Class"]:
        """Itself and its parents, nearest first; at most 16, as they may be a cycle."""
        pending: list[Class] = [self]
        seen = 0
        while pending and seen < 16:
            known = pending.pop(0)
            seen += 1
            yield known
            pending.extend(known.parents)

    def all_bases(self) -> list[str]:
        """Dotted names of every base in sight."""
        return [base for known in self.lineage() for base in known.bases]


@dataclass(frozen=True, eq=False)
class Bound:
    """A method together with the instance it was taken from."""

    function: Function
    instance: Value
