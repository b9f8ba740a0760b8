"""A Python file as its rules see it: the tree, who contains whom, and what names mean."""

import ast
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class PythonFile:
    """One parsed file.

    Attributes:
        name: Relative to the repository.
        lines: Of the file.
        tree: The module.
        is_test: Whether the file is one of tests.
    """

    def __init__(self, name: str, lines: Sequence[str], tree: ast.Module) -> None:
        self.name = name
        self.lines = lines
        self.tree = tree
        self.is_test = is_test_name(name)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.nodes: list[ast.AST] = []
        for node in ast.walk(tree):
            self.nodes.append(node)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    @cached_property
    def functions(self) -> list[Function]:
        """All functions and methods, nested ones too."""
        return [node for node in self.nodes if isinstance(node, FUNCTIONS)]

    @cached_property
    def top_functions(self) -> dict[str, Function]:
        """Functions of the module that have one definition and whose name is never rebound."""
        found: dict[str, Function] = {}
        twice: set[str] = set()
        for node in self.nodes:
            for name in bound_names(node):
                if name in found or not self._is_top(node):
                    twice.add(name)
                elif isinstance(node, FUNCTIONS):
                    found[name] = node
                else:
                    twice.add(name)
        return {name: node for name, node in found.items() if name not in twice}

    def _is_top(self, node: ast.AST) -> bool:
        return self.parents.get(node) is self.tree

    @cached_property
    def bound_at_all(self) -> frozenset[str]:
        """Every name that is bound anywhere in the file."""
        return frozenset(name for node in self.nodes for name in bound_names(node))

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What contains a node, the nearest first."""
        at = self.parents.get(node)
        while at is not None:
            yield at
            at = self.parents.get(at)

    def scope(self, node: ast.AST) -> Function | ast.Lambda | None:
        """The function that a node is in."""
        for parent in self.above(node):
            if isinstance(parent, (*FUNCTIONS, ast.Lambda)):
                return parent
        return None

    def class_of(self, function: ast.AST) -> ast.ClassDef | None:
        """The class whose method a function is."""
        parent = self.parents.get(function)
        return parent if isinstance(parent, ast.ClassDef) else None

    def loop_of(self, node: ast.AST) -> ast.For | ast.AsyncFor | ast.While | None:
        """The loop whose body a node is in, within its function."""
        child = node
        for parent in self.above(node):
            if isinstance(parent, SCOPES):
                return None
            if isinstance(parent, LOOPS) and any(child is one for one in parent.body):
                return parent
            child = parent
        return None

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that a node is part of."""
        at: ast.AST = node
        while not isinstance(at, ast.stmt):
            at = self.parents[at]
        return at

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """The list of statements that a statement is in."""
        for block in blocks(self.parents[statement]):
            if any(one is statement for one in block):
                return block
        return [statement]


def parsed(name: str, text: str, lines: Sequence[str]) -> PythonFile | None:
    """Parse a file; None if this interpreter cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reviewed code's, not ours
            return PythonFile(name, lines, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_test_name(name: str) -> bool:
    """Whether a path is one of tests, by the conventions of its language."""
    folders, _, base = name.lower().rpartition("/")
    stem = base.split(".")[0]
    parts = folders.split("/")
    return (
        stem.startswith(("test_", "tests_"))
        or stem.endswith(("_test", "_tests", "-test", "_spec", "-spec"))
        or stem in ("test", "tests", "conftest")
        or ".test." in base
        or ".spec." in base
        or base.endswith(("test.java", "tests.java", "test.kt", "it.java"))
        or not {"test", "tests", "__tests__", "testing", "spec", "t"}.isdisjoint(parts)
    )


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements directly inside a node."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block
    for clause in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield clause.body


def within(node: ast.AST | Sequence[ast.AST]) -> Sequence[ast.AST]:
    """Everything below, without going into nested functions and classes.

    Nested ones are given themselves: their name is bound where they stand. Some fifty rules ask
    about the same functions, so the answer is kept on the node, or on the first of a block.
    """
    if isinstance(node, ast.AST):
        kept = node.__dict__.get("_below")
        if kept is None:
            kept = node.__dict__["_below"] = _gathered(list(ast.iter_child_nodes(node)))
        return kept
    if not node:
        return ()
    key = (len(node), id(node[-1]))
    kept = node[0].__dict__.get("_block")
    if kept is None or kept[0] != key:
        kept = node[0].__dict__["_block"] = (key, _gathered(list(node)))
    return kept[1]


def _gathered(pending: list[ast.AST]) -> list[ast.AST]:
    found: list[ast.AST] = []
    pending.reverse()
    while pending:
        at = pending.pop()
        found.append(at)
        if not isinstance(at, SCOPES):
            pending.extend(reversed(list(ast.iter_child_nodes(at))))
    return found


def bound_names(node: ast.AST) -> Iterator[str]:
    """Names that this very node binds."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.alias():
            yield (node.asname or node.name).split(".")[0]
        case ast.ExceptHandler(name=str() as name):
            yield name
        case ast.Global() | ast.Nonlocal():
            yield from node.names
        case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
            yield name
        case _:
            return


def dotted(node: ast.AST) -> str:
    """A chain of names as text (`a.b.c`); empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def called(node: ast.AST) -> str:
    """The dotted name that a call calls; empty for anything else."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def last_name(node: ast.AST) -> str:
    """The last part of what a call calls, whatever stands before it."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two expressions read the same."""
    return ast.dump(one) == ast.dump(other)


def len_of(node: ast.AST) -> ast.expr | None:
    """`x` of `len(x)`."""
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[one], keywords=[]):
            return one
        case _:
            return None


def names_in(node: ast.AST) -> set[str]:
    """Names that are read or written below a node."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def has_call(node: ast.AST) -> bool:
    """Whether anything is called below a node."""
    return any(isinstance(one, (ast.Call, ast.Await, ast.Yield)) for one in ast.walk(node))


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of a keyword argument."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def constant(node: ast.AST | None) -> object:
    """The value of a literal; None for anything else."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case _:
            return None


def ends(block: Sequence[ast.stmt]) -> bool:
    """Whether control never leaves a block at its end."""
    if not block:
        return False
    last = block[-1]
    match last:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return True
        case ast.If():
            return bool(last.orelse) and ends(last.body) and ends(last.orelse)
        case ast.With() | ast.AsyncWith():
            return False  # a context manager may swallow what ends it
        case ast.Try():
            if ends(last.finalbody):
                return True
            tried = ends(last.orelse) if last.orelse else ends(last.body)
            return tried and all(ends(handler.body) for handler in last.handlers)
        case _:
            return False


def decorator_names(function: Function | ast.ClassDef) -> set[str]:
    """Last parts of the names of decorators."""
    return {last_name(one) for one in function.decorator_list}
