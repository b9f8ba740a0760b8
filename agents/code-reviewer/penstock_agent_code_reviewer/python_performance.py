"""What costs more with every element than it needs to."""

import ast
import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    LOOPS,
    Function,
    PythonFile,
    called,
    constant,
    dotted,
    last_name,
    len_of,
    names_in,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_QUERIES = frozenset({"execute", "fetchone", "fetchall", "fetchrow", "fetchval", "scalar",
                      "scalars", "first_or_404", "get_or_404", "find_one", "get_or_create",
                      "get_object_or_404", "refresh_from_db"})  # fmt: skip
_SELECT = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
_STORES = ("cursor", "cur", "conn", "connection", "session", "db", "engine", "database", "pool",
           "collection", "repo", "repository", "tx")  # fmt: skip
_REQUESTS = frozenset({"requests.get", "requests.post", "requests.put", "requests.delete",
                       "requests.head", "httpx.get", "httpx.post"})  # fmt: skip


def query_in_loop(file: PythonFile) -> Iterator[Found]:
    """One question to a database, or one request, for every element."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or file.is_test:
            continue
        kind = _query(node)
        if not kind or not _each_element(file, node):
            continue
        if kind == "statement-in-loop":
            yield Found(rule("query-in-loop"), node.lineno, severity="minor")
            continue
        yield Found(rule(kind), node.lineno)


def _query(call: ast.Call) -> str:
    name, last = called(call), last_name(call)
    if name in _REQUESTS:
        return "request-in-loop"
    text = ast.unparse(call.func)
    if ".objects." in text and last in (
        "get",
        "filter",
        "first",
        "count",
        "exists",
        "create",
        "all",
    ):
        return "query-in-loop"
    owner = text.rpartition(".")[0].rpartition(".")[2].lower()
    if last in ("query", "get") and owner in ("session", "db"):
        return "query-in-loop" if last == "query" or len(call.args) == 2 else ""
    if last in _QUERIES and (owner.endswith(_STORES) or last in ("find_one", "get_object_or_404")):
        first = constant(call.args[0]) if call.args else None
        if last == "execute" and not (isinstance(first, str) and _SELECT.match(first)):
            return "statement-in-loop"
        return "query-in-loop" if last not in ("fetchone", "fetchall") else ""
    return ""


def _each_element(file: PythonFile, node: ast.AST) -> bool:
    """In a for loop whose variable, or something made from it, plays a part."""
    loop = next((one for one in file.above(node) if isinstance(one, (ast.For, ast.AsyncFor))), None)
    if loop is None or file.scope(loop) is not file.scope(node):
        return _in_comprehension(file, node)
    if any(node is one for one in ast.walk(loop.iter)):
        return False
    if isinstance(loop.iter, (ast.Tuple, ast.List)) or (
        called(loop.iter) == "range"
        and not (
            len_of(loop.iter.args[-1])  # type: ignore[attr-defined]
        )
    ):
        return False
    derived = names_in(loop.target)
    for one in within(loop.body):
        if isinstance(one, ast.Assign) and names_in(one.value) & derived:
            derived |= {name for target in one.targets for name in names_in(target)}
    whole: ast.AST = node
    while isinstance(file.parents[whole], (ast.Attribute, ast.Call)):
        whole = file.parents[whole]  # .filter(...) behind the query is part of it
    return bool(names_in(whole) & derived)


def _in_comprehension(file: PythonFile, node: ast.AST) -> bool:
    for parent in file.above(node):
        if isinstance(parent, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            first = parent.generators[0]
            return not any(node is one for one in ast.walk(first.iter)) and bool(
                names_in(first.target) & names_in(node)
            )
        if isinstance(parent, ast.stmt):
            return False
    return False


def growing_text(file: PythonFile) -> Iterator[Found]:
    """Text, tuples and lists that are copied to grow by one."""
    for function in (*file.functions, file.tree):
        kinds = _first_values(function)
        for node in within(function.body):
            name = _grown(node)
            loop = _outer_loop(file, node) if name else None
            if loop is None or name not in kinds:
                continue
            kind, line = kinds[name]
            if line > loop.lineno:  # begun anew in each turn
                continue
            if isinstance(node, ast.stmt) and (kind == "text" or isinstance(node, ast.Assign)):
                yield Found(rule("grown-in-loop"), node.lineno, message=_GROWN.format(name, kind))


_GROWN = "`{}` is copied in every turn to grow: quadratic for a {}."


def _outer_loop(file: PythonFile, node: ast.AST) -> ast.For | ast.AsyncFor | ast.While | None:
    for parent in file.above(node):
        if isinstance(parent, LOOPS):
            return parent
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return None
    return None


def _grown(node: ast.AST) -> str:
    match node:
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Add()):
            return name
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.BinOp(left=ast.Name(id=left), op=ast.Add()),
        ) if left == name:
            return name
        case _:
            return ""


def _first_values(function: Function | ast.Module) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for node in within(function.body):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if isinstance(constant(value), str) or isinstance(value, ast.JoinedStr):
                    found.setdefault(name, ("text", node.lineno))
                elif isinstance(value, ast.List):
                    found.setdefault(name, ("list", node.lineno))
            case _:
                pass
    return found


def searched_list(file: PythonFile) -> Iterator[Found]:
    """`x in seen` in a loop, where seen is a list that grows; pop(0), insert(0, ..), index."""
    for function in (*file.functions, file.tree):
        kinds = _first_values(function)
        grown = {
            one.func.value.id
            for one in within(function.body)
            if isinstance(one, ast.Call)
            and isinstance(one.func, ast.Attribute)
            and one.func.attr in ("append", "extend")
            and isinstance(one.func.value, ast.Name)
        }
        lists = {name for name, (kind, _) in kinds.items() if kind == "list"}
        for node in within(function.body):
            if not isinstance(node, (ast.Compare, ast.Call)):
                continue
            loop = _outer_loop(file, node)
            name = _slow_list_use(node, loop) if loop is not None else ""
            if name:
                yield Found(rule(name), node.lineno)
            elif loop is not None and isinstance(node, ast.Compare):
                match node:
                    case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name(id=of)]):
                        if of in lists & grown and kinds[of][1] < loop.lineno:
                            yield Found(rule("searched-list"), node.lineno)
                    case _:
                        pass


def _slow_list_use(node: ast.AST, loop: ast.AST) -> str:
    """The rule that a call in a loop breaks: pop(0), insert(0, x), a search of what is walked."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr=attribute), args=[first, *rest]
        ):
            zero = constant(first) == 0 and constant(first) is not False
            if zero and (attribute, len(rest)) in (("pop", 0), ("insert", 1)):
                return "front-of-list"
            return "searched-list" if attribute in ("index", "count") and _walks(loop, name) else ""
        case _:
            return ""


def _walks(loop: ast.AST, name: str) -> bool:
    return isinstance(loop, ast.For) and isinstance(loop.iter, ast.Name) and loop.iter.id == name


def repeated_work(file: PythonFile) -> Iterator[Found]:
    """Work in a loop that gives the same in every turn."""
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        loop = _outer_loop(file, node)
        if loop is None or file.scope(loop) is not file.scope(node):
            continue
        if isinstance(loop, ast.For) and any(node is one for one in ast.walk(loop.iter)):
            continue
        bound = {name for one in within(loop) for name in _bound(one)}
        fixed = not names_in(node) & bound and bool(node.args)
        again = name == "re.compile" or (name == "sorted" and _stays(node, loop))
        if fixed and again:
            yield Found(rule("repeated-work"), node.lineno)


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _stays(call: ast.Call, loop: ast.AST) -> bool:
    """Whether nothing in the loop is called on what is sorted."""
    names = names_in(call.args[0])
    return not any(
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and dotted(one.func.value) in names
        for one in ast.walk(loop)
    )


def mean_of_nothing(file: PythonFile) -> Iterator[Found]:
    """`sum(x) / len(x)` without a look whether there is anything."""
    for node in file.nodes:
        match node:
            case ast.BinOp(op=ast.Div() | ast.FloorDiv() | ast.Mod(), right=right):
                owner = len_of(right)
            case _:
                continue
        if owner is None or isinstance(owner, (ast.List, ast.Tuple)) or file.is_test:
            continue
        if isinstance(constant(node.left), str | bytes):
            continue  # a format, no division
        name = ast.unparse(owner)
        scope = file.scope(node)
        around = scope.body if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)) else None
        # Any test, loop, fallback or handler that names it may be the guard.
        guarded = around is None or any(_may_guard(one, name, node) for one in within(around))
        if not guarded:
            yield Found(rule("divides-by-length"), node.lineno, end=node.end_lineno or 0)


def _may_guard(one: ast.AST, name: str, division: ast.AST) -> bool:
    if isinstance(one, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        return name in ast.unparse(one.test)
    if isinstance(one, ast.Try):
        return any(division is each for each in ast.walk(one))
    if isinstance(one, (ast.For, ast.AsyncFor)):
        inside = any(division is each for each in ast.walk(one))
        return inside and name in ast.unparse(one.iter)
    if isinstance(one, (ast.BoolOp, ast.comprehension)):
        return name in ast.unparse(one)
    return False


def nested_walk(file: PythonFile) -> Iterator[Found]:
    """A loop over what a loop around it walks over."""
    for node in file.nodes:
        if not isinstance(node, ast.For):
            continue
        outer = next((one for one in file.above(node) if isinstance(one, LOOPS)), None)
        plain = isinstance(node.iter, ast.Name) or called(node.iter) == "range"
        if isinstance(outer, ast.For) and plain and file.scope(outer) is file.scope(node):
            sized = isinstance(node.iter, ast.Name) or "len(" in ast.unparse(node.iter)
            if sized and ast.unparse(outer.iter) == ast.unparse(node.iter):
                yield Found(rule("nested-walk"), node.lineno)


CHECKS = (
    nested_walk,
    query_in_loop,
    growing_text,
    searched_list,
    repeated_work,
    mean_of_nothing,
)
