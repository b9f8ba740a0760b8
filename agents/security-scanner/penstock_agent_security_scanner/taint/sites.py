"""One call, with everything that is known where it stands."""

import ast
from dataclasses import dataclass, field

from penstock_agent_security_scanner.taint.machine import lines_of
from penstock_agent_security_scanner.taint.values import NOTHING, Taint, Value, merged


@dataclass
class Site:
    """A call.

    Attributes:
        node: The call.
        path: Dotted name of what is called; `()` behind what was itself called, `?` for unknown.
        receiver: The object of a method call.
        arguments: By position.
        keywords: By name.
        extra: Everything from `*` and `**`.
    """

    node: ast.Call
    path: str
    receiver: Value = NOTHING
    arguments: list[Value] = field(default_factory=list[Value])
    keywords: dict[str, Value] = field(default_factory=dict[str, Value])
    extra: Value = NOTHING
    function: str = ""
    starred: bool = False
    learned: list[tuple[ast.Name, Value]] = field(default_factory=list[tuple[ast.Name, Value]])

    @property
    def method(self) -> str:
        """The last part of the name."""
        return self.path.rpartition(".")[2]

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.node.lineno

    @property
    def lines(self) -> range:
        """All lines of it."""
        return lines_of(self.node)

    @property
    def hint(self) -> str:
        """The name its object goes by, in lower case."""
        owner = self.node.func.value if isinstance(self.node.func, ast.Attribute) else None
        if isinstance(owner, ast.Call):
            owner = owner.func
        if isinstance(owner, ast.Attribute):
            return owner.attr.lower()
        return owner.id.lower() if isinstance(owner, ast.Name) else ""

    def argument(self, index: int, *names: str) -> Value | None:
        """By position or name; None when it is not given."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        if 0 <= index < len(self.arguments):
            return self.arguments[index]
        return None

    def is_set(self, name: str, value: object) -> bool:
        """Whether a keyword is this constant."""
        given = self.keywords.get(name)
        return given is not None and given.known and given.const is value

    def all(self) -> list[Value]:
        """Every argument."""
        return [*self.arguments, *self.keywords.values(), self.extra]

    def taint(self) -> Taint:
        """That of every argument."""
        return merged(value.whole() for value in self.all())
