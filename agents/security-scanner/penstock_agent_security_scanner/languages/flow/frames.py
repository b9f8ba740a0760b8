"""Variables, running functions, and what is told of a run."""

from dataclasses import dataclass, field

from penstock_agent_security_scanner.languages.flow.program import (
    Function,
    Leave,
    Record,
    Set,
)
from penstock_agent_security_scanner.languages.flow.values import Known, Value, merged


class Env:
    """Variables of one function, and those around it."""

    __slots__ = ("parent", "vars")

    def __init__(self, parent: "Env | None", held: dict[Known, Value] | None = None) -> None:
        self.vars: dict[Known, Value] = {} if held is None else held
        self.parent = parent

    def find(self, name: str) -> Value | None:
        """A variable of this or an outer scope."""
        scope: Env | None = self
        while scope is not None:
            found = scope.vars.get(name)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def assign(self, name: str, value: Value) -> None:
        """Write a variable where it lives, or here when it is new."""
        scope: Env | None = self
        while scope is not None:
            if name in scope.vars:
                scope.vars[name] = value
                return
            scope = scope.parent
        self.vars[name] = value


@dataclass(slots=True)
class Closure:
    """A function and the variables it sees."""

    function: Function
    env: Env
    entered: bool = False


@dataclass(slots=True)
class Frame:
    """One running function."""

    function: Function | None
    env: Env
    returns: Value | None = None
    left: str = ""
    ways_out: list[dict[Known, Value]] = field(default_factory=list[dict[Known, Value]])
    safe: set[str] = field(default_factory=set[str])
    unsafe: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    branches: int = 0
    loops: int = 0


class Watch:
    """What is told of a run; this one looks at nothing."""

    def seen(self, value: Value) -> Value:
        """A name or member without a definition in the file; may gain marks."""
        return value

    def made(self, expr: Record, value: Value) -> None:
        """An object was made."""

    def named(self, frame: Frame, expr: Set, value: Value) -> None:
        """A variable was set."""

    def written(self, expr: Set, owner: Value, name: str, value: Value) -> None:
        """A member was set."""

    def indexed(self, frame: Frame, expr: Set, owner: Value, key: Value) -> None:
        """An element was set."""

    def returned(self, expr: Leave, value: Value, function: Function | None) -> None:
        """A function returns."""


def joined_ways(ends: list[dict[Known, Value]]) -> dict[Known, Value]:
    """Variables after one of several ways."""
    result = dict(ends[0])
    for end in ends[1:]:
        for name, value in end.items():
            present = result.get(name)
            if present is None:
                result[name] = value
            elif present is not value:
                result[name] = merged(present, value)
    return result
