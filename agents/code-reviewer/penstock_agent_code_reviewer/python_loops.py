"""Loops that miss an element, take one too many, change what they walk over, or cost too much."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    COMPREHENSIONS,
    PythonFile,
    bound_names,
    called,
    constant,
    ends,
    has_call,
    len_of,
    same,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_LIST_CHANGES = frozenset({"remove", "pop", "insert", "clear", "discard", "add", "popitem"})
_SIZE_CHANGES = frozenset({"pop", "popitem", "clear", "add", "remove", "discard"})


def changed_while_iterated(file: PythonFile) -> Iterator[Found]:
    """The collection of a for loop changes its size in the loop."""
    for loop in file.nodes:
        if not isinstance(loop, ast.For):
            continue
        source, keyed = _iterated(loop.iter)
        if source is None or any(_binds(one, source) for one in ast.walk(loop)):
            continue
        for node in within(loop.body):
            line = _changes(node, source, keyed)
            if line and not _leaves_after(file, node, loop):
                message = f"`{ast.unparse(source)[:60]}` changes while the loop walks over it."
                yield Found(rule("changed-while-iterated"), line, message=message)
                break


def _iterated(node: ast.expr) -> tuple[ast.expr | None, bool]:
    """What a loop walks over, and whether it is surely a dictionary."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        return node, False
    match node:
        case ast.Call(
            func=ast.Attribute(value=owner, attr="items" | "keys" | "values"), args=[]
        ) if isinstance(owner, (ast.Name, ast.Attribute)):
            return owner, True
        case ast.Call(func=ast.Name(id="enumerate"), args=[owner, *_]) if isinstance(
            owner, (ast.Name, ast.Attribute)
        ):
            return owner, False
        case _:
            return None, False


def _binds(node: ast.AST, source: ast.expr) -> bool:
    written = isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store)
    return written and ast.unparse(node) == ast.unparse(source)


def _changes(node: ast.AST, source: ast.expr, keyed: bool) -> int:
    match node:
        case ast.Delete(targets=[ast.Subscript(value=owner)]) if same_place(owner, source):
            return node.lineno
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if same_place(owner, source):
            # A list may grow behind the loop: that is how a work list is written.
            wanted = _SIZE_CHANGES if keyed else _LIST_CHANGES
            return node.lineno if name in wanted else 0
        case _:
            return 0


def same_place(one: ast.AST, other: ast.AST) -> bool:
    """Whether two chains of names are spelled alike."""
    return isinstance(one, (ast.Name, ast.Attribute)) and ast.unparse(one) == ast.unparse(other)


def _leaves_after(file: PythonFile, node: ast.AST, loop: ast.For) -> bool:
    """Whether the loop is left behind the change, so that it does no harm."""
    at: ast.AST = file.statement(node)
    while at is not loop:
        block = file.block_of(at)
        rest = block[next(n for n, one in enumerate(block) if one is at) :]
        if ends(rest) and not isinstance(rest[-1], ast.Continue):
            return True
        at = file.parents[at]
        while not isinstance(at, ast.stmt):
            at = file.parents[at]
    return False


def beyond_the_end(file: PythonFile) -> Iterator[Found]:
    """`x[len(x)]`, `range(len(x) + 1)` with `x[i]`, `range(len(x))` with `x[i + 1]`."""
    for node in file.nodes:
        match node:
            case ast.Subscript(value=owner, slice=index, ctx=ast.Load()):
                inner = len_of(index)
                beyond = inner is not None and same(inner, owner) and not has_call(owner)
                if beyond or _random_index(index, owner):
                    yield Found(rule("index-beyond-end"), node.lineno)
            case ast.For(target=ast.Name(id=name), iter=ast.Call() as call):
                if called(call) == "range":
                    yield from _range_loop(file, node, name, call)
            case ast.While(test=ast.Compare(left=ast.Name(id=name), ops=[ast.LtE()]) as test):
                owner = len_of(test.comparators[0])
                first = _first_index(node.body, name, owner, 0) if owner is not None else None
                if first is not None and not _guarded(file, first, node):
                    yield Found(rule("index-beyond-end"), first.lineno, end=node.end_lineno or 0)
            case _:
                pass


def _random_index(index: ast.expr, owner: ast.expr) -> bool:
    match index:
        case ast.Call(args=[low, high]) if called(index) in ("random.randint", "randint"):
            inner = len_of(high)
            return constant(low) == 0 and inner is not None and same(inner, owner)
        case _:
            return False


def _range_loop(file: PythonFile, loop: ast.For, name: str, call: ast.Call) -> Iterator[Found]:
    bounds = call.args if len(call.args) > 1 else [ast.Constant(0), *call.args]
    if len(bounds) == 2:
        start, stop = bounds
        owner, more = _length_plus(stop)
        if owner is None:
            return
        # The largest index is len + more - 1.
        reach = -more
        first = next(
            (
                one
                for offset in (0, 1, 2)
                if offset > reach and (one := _first_index(loop.body, name, owner, offset))
            ),
            None,
        )
        if first is not None and not _guarded(file, first, loop):
            yield Found(rule("index-beyond-end"), first.lineno, end=loop.end_lineno or 0)
        elif more == -1 and constant(start) == 0 and _skips_last(loop, name, owner):
            yield Found(rule("last-left-out"), loop.lineno, end=loop.end_lineno or 0)
    elif len(bounds) == 3 and constant(bounds[2]) == -1:
        owner = len_of(bounds[0])
        first = _first_index(loop.body, name, owner, 0) if owner is not None else None
        if first is not None and not _guarded(file, first, loop):
            yield Found(rule("index-beyond-end"), first.lineno, end=loop.end_lineno or 0)


def _length_plus(node: ast.expr) -> tuple[ast.expr | None, int]:
    """`x` and `n` of `len(x) + n`."""
    owner = len_of(node)
    if owner is not None:
        return owner, 0
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            value = constant(right)
            owner = len_of(left)
            if owner is not None and isinstance(value, int):
                return owner, value if isinstance(op, ast.Add) else -value
        case _:
            pass
    return None, 0


def _first_index(
    body: list[ast.stmt], name: str, owner: ast.expr, offset: int
) -> ast.Subscript | None:
    """The first `owner[name + offset]` that is read, unless the loop changes either."""
    inside = list(within(body))
    if any(name in bound_names(one) or _binds(one, owner) for one in inside):
        increments = [one for one in inside if isinstance(one, ast.AugAssign)]
        if not increments or offset:
            return None
    for one in inside:
        match one:
            case ast.Subscript(value=value, slice=index, ctx=ast.Load()):
                if same(value, owner) and _is_offset(index, name, offset):
                    return one
            case _:
                pass
    return None


def _is_offset(index: ast.expr, name: str, offset: int) -> bool:
    match index:
        case ast.Name(id=found):
            return found == name and offset == 0
        case ast.BinOp(left=ast.Name(id=found), op=ast.Add(), right=ast.Constant(value=value)):
            return found == name and value == offset and offset > 0
        case _:
            return False


def _guarded(file: PythonFile, node: ast.AST, loop: ast.AST) -> bool:
    """Whether anything between the loop and the use may keep it in bounds."""
    for parent in file.above(node):
        if parent is loop:
            break
        if isinstance(parent, (ast.If, ast.IfExp, ast.Try, ast.BoolOp, ast.While, *COMPREHENSIONS)):
            return True
    jumps = (ast.Break, ast.Return, ast.Continue, ast.Raise)
    before = [one for one in ast.walk(loop) if isinstance(one, jumps)]
    line = getattr(node, "lineno", 0)
    return any(one.lineno < line for one in before)


def _skips_last(loop: ast.For, name: str, owner: ast.expr) -> bool:
    """Whether a loop to len - 1 only ever looks at the element itself."""
    uses = [one for one in within(loop.body) if isinstance(one, ast.Name) and one.id == name]
    plain = [
        one
        for one in within(loop.body)
        if isinstance(one, ast.Subscript)
        and isinstance(one.slice, ast.Name)
        and one.slice.id == name
        and same(one.value, owner)
    ]
    return bool(uses) and len(uses) == len(plain)


def half_index(file: PythonFile) -> Iterator[Found]:
    """`range(len(x) / 2)` and `x[len(x) / 2]`: a float is no index."""
    for node in file.nodes:
        inside: list[ast.expr] = []
        if isinstance(node, ast.Call) and called(node) == "range":
            inside = list(node.args)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            inside = [node.slice]
        for one in inside:
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div) and len_of(one.left):
                yield Found(rule("float-index"), one.lineno)


def pairs_of_plain(file: PythonFile) -> Iterator[Found]:
    """`for key, value in d.items:` walks over the method itself."""
    for node in file.nodes:
        match node:
            case ast.For(target=ast.Tuple(), iter=ast.Attribute(value=owner, attr="items")) if (
                isinstance(owner, ast.Name)
            ):
                yield Found(rule("method-not-called"), node.lineno)
            case ast.For(iter=ast.Call() as call) if called(call) == "len":
                yield Found(rule("iterates-number"), node.lineno)
            case _:
                pass


CHECKS = (changed_while_iterated, beyond_the_end, half_index, pairs_of_plain)
