"""What the readers of all languages share."""

from collections.abc import Iterable, Iterator

from ast_grep_py import SgNode, SgRoot

from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Class,
    Const,
    Expr,
    Function,
    If,
    Join,
    Literal,
    Loop,
    Member,
    Name,
    Op,
    Opaque,
    Parameter,
    Program,
    Set,
    named,
)

# Deeper or longer programs are read in part: what is beyond is as if it were not there.
MAX_DEPTH = 160
MAX_NODES = 150_000
COMMENTS = frozenset({"comment", "line_comment", "block_comment", "html_comment"})
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


def unescaped(text: str) -> str:
    """A literal's text without its backslashes."""
    if "\\" not in text:
        return text
    out: list[str] = []
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            escaped = next(letters, "")
            out.append(ESCAPES.get(escaped, escaped))
        else:
            out.append(letter)
    return "".join(out)


def number(text: str) -> Literal:
    """A number literal of any of the languages; its text where it is no simple one."""
    is_based = text[:1] == "0" and text[1:2] in set("xXbBoO")
    plain = text.replace("_", "").rstrip("lLn" if is_based else "lLfFdDn")
    try:
        return int(plain, 0 if is_based else 10)
    except ValueError:
        pass
    try:
        return float(plain)
    except ValueError:
        return text


class Reader:
    """Turns one syntax tree into a `Program`; subclasses have a `_on_<kind>` for every kind."""

    language = ""

    def __init__(self, text: str) -> None:
        self.program = Program()
        self._root = SgRoot(text, self.language)
        self._depth = 0
        self._nodes = 0
        self._changes: list[set[str]] = []
        self.owner = ""

    def run(self) -> Program:
        """Read the whole file."""
        for child in self.named(self._root.root()):
            self.program.body.append(self.read(child))
        return self.program

    def read(self, node: SgNode | None) -> Expr:
        """One node of any kind."""
        if node is None:
            return Opaque(0, [])
        self._nodes += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            return Opaque(self.line(node), [])
        handler = getattr(self, f"_on_{node.kind()}", None)
        self._depth += 1
        try:
            if handler is None:
                return self._on_other(node)
            result: Expr = handler(node)
            return result
        finally:
            self._depth -= 1

    def _on_other(self, node: SgNode) -> Expr:
        """A kind that means nothing to the analysis: its parts are looked at."""
        parts = [self.read(child) for child in self.named(node)]
        return parts[0] if len(parts) == 1 else Opaque(self.line(node), parts)

    @staticmethod
    def line(node: SgNode) -> int:
        """Where a node begins, from 1."""
        return node.range().start.line + 1

    @staticmethod
    def end(node: SgNode) -> int:
        """Where a node ends, from 1."""
        return node.range().end.line + 1

    @staticmethod
    def named(node: SgNode) -> Iterator[SgNode]:
        """Parts with a meaning, without comments."""
        for child in node.children():
            if child.is_named() and child.kind() not in COMMENTS:
                yield child

    def all(self, nodes: Iterable[SgNode]) -> list[Expr]:
        """Several nodes."""
        return [self.read(node) for node in nodes]

    def block(self, node: SgNode | None) -> Block:
        """A body, whether it has braces or not."""
        if node is None:
            return Block(0, [])
        read = self.read(node)
        return read if isinstance(read, Block) else Block(read.line, [read])

    def statements(self, node: SgNode) -> Block:
        """The parts of a node as statements."""
        return Block(self.line(node), self.all(self.named(node)))

    def set(
        self, line: int, target: Expr, value: Expr, kind: str = "", declares: bool = False
    ) -> Set:
        """An assignment; what it changes is remembered for the loops around."""
        names = set(named(target))
        if isinstance(target, Member):
            names.add(target.name)
        for around in self._changes:
            around.update(names)
        if not declares:
            self.program.assigned |= names
        return Set(line, target, value, kind, declares)

    def loop(
        self, node: SgNode, before: list[Expr], test: SgNode | None, body: list[SgNode | None]
    ) -> Loop:
        """A loop whose `body` parts run in their order."""
        self._changes.append(set())
        tested = self.read(test) if test is not None else None
        read = [self.read(part) for part in body if part is not None]
        return Loop(
            self.line(node),
            before,
            tested,
            Block(self.line(node), read),
            frozenset(self._changes.pop()),
        )

    def each(self, node: SgNode, target: Expr, over: SgNode | None, body: SgNode | None) -> Loop:
        """A loop over a collection."""
        line = self.line(node)
        before: list[Expr] = [self.set(line, target, Op(line, "each", [self.read(over)]), "", True)]
        return self.loop(node, before, None, [body])

    def joined(self, node: SgNode) -> Expr:
        """`a + b + c`, which nests to the left as deep as it is long."""
        parts: list[SgNode] = []
        current: SgNode | None = node
        while current is not None and self._is_plus(current):
            right = current.field("right")
            if right is not None:
                parts.append(right)
            current = current.field("left")
        if current is not None:
            parts.append(current)
        return Join(self.line(node), self.all(reversed(parts)))

    @staticmethod
    def _is_plus(node: SgNode) -> bool:
        operator = node.field("operator")
        return (
            node.kind() == "binary_expression" and operator is not None and operator.text() == "+"
        )

    @staticmethod
    def combined(line: int, operator: str, target: Expr, value: Expr) -> Expr:
        """What `target operator= value` assigns."""
        return (
            Join(line, [target, value]) if operator == "+" else Op(line, operator, [target, value])
        )

    def _on_binary_expression(self, node: SgNode) -> Expr:
        if self._is_plus(node):
            return self.joined(node)
        operator = node.field("operator")
        left, right = self.read(node.field("left")), self.read(node.field("right"))
        return Op(self.line(node), operator.text() if operator else "?", [left, right])

    def _on_unary_expression(self, node: SgNode) -> Expr:
        operator = node.field("operator")
        part = node.field("argument") or node.field("operand")
        return Op(self.line(node), operator.text() if operator else "?", [self.read(part)])

    def _on_if_statement(self, node: SgNode) -> Expr:
        line = self.line(node)
        test = self.read(node.field("condition"))
        yes = self.block(node.field("consequence"))
        other = node.field("alternative")
        result = If(line, test, yes, self.block(other) if other is not None else None)
        first = node.field("initializer")
        return result if first is None else Block(line, [self.read(first), result])

    def _on_block(self, node: SgNode) -> Expr:
        return self.statements(node)

    def _on_true(self, node: SgNode) -> Expr:
        return Const(self.line(node), True)

    def _on_false(self, node: SgNode) -> Expr:
        return Const(self.line(node), False)

    def _on_null(self, node: SgNode) -> Expr:
        return Const(self.line(node), None)

    def _on_identifier(self, node: SgNode) -> Expr:
        return Name(self.line(node), node.text())

    def called(self, callee: Expr) -> None:
        """Remember the name of what is called."""
        if isinstance(callee, Name):
            self.program.calls.add(callee.id)
        elif isinstance(callee, Member):
            self.program.calls.add(callee.name)

    def function(
        self,
        node: SgNode,
        name: str,
        parameters: list[Parameter],
        body: SgNode | None,
        hidden: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Function:
        """A function of the class that is being read, if any."""
        outer, self._changes = self._changes, []
        read = self.read(body) if body is not None else Block(self.line(node), [])
        self._changes = outer
        return Function(
            name, self.line(node), parameters, read, self.owner, hidden, notes, self.end(node)
        )

    def add_class(self, read: Class) -> None:
        """Make a class known by its name; the first of a name stays."""
        self.program.classes.setdefault(read.name, read)
