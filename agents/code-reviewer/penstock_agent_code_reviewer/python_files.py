"""What is opened and never closed, taken and never given back, and shared by accident."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    PythonFile,
    called,
    constant,
    keyword,
    last_name,
    names_in,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_OPENERS = frozenset({"open", "io.open", "os.fdopen", "socket.socket", "socket.create_connection",
                      "sqlite3.connect", "zipfile.ZipFile", "tarfile.open", "gzip.open",
                      "urllib.request.urlopen", "smtplib.SMTP", "ftplib.FTP", "psycopg2.connect",
                      "tempfile.NamedTemporaryFile", "tempfile.TemporaryFile", "codecs.open",
                      "bz2.open", "pymysql.connect", "mmap.mmap"})  # fmt: skip
_NOT_PATHS = frozenset({"os", "webbrowser", "Image"})
_CLOSERS = frozenset({"close", "shutdown", "quit", "detach", "release", "terminate"})
_READS = frozenset({"read", "readline", "readlines"})
_WRITES = frozenset({"write", "writelines", "truncate"})


def leak(file: PythonFile) -> Iterator[Found]:
    """Something opened in a function, kept to itself and never closed."""
    for function in file.functions:
        inside = list(within(function.body))
        for node in inside:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                    pass
                case _:
                    continue
            opener = called(call)
            if not _opens(opener, call):
                continue
            if opener == "open" and "open" in file.bound_at_all:
                continue
            fate = _fate(file, inside, name, node)
            if fate == "kept":
                message = f"What `{opener}()` opened is never closed."
                yield Found(
                    rule("leak"), node.lineno, end=function.end_lineno or 0, message=message
                )
            elif fate == "risky":
                yield Found(rule("close-not-sure"), node.lineno, end=function.end_lineno or 0)


def _opens(opener: str, call: ast.Call) -> bool:
    path_open = (
        isinstance(call.func, ast.Attribute) and call.func.attr == "open" and not call.args[1:]
    )
    as_path = path_open and bool(opener) and opener.split(".", maxsplit=1)[0] not in _NOT_PATHS
    moded = as_path and bool(call.args) and constant(call.args[0]) in ("r", "w", "a", "rb", "wb")
    return opener in _OPENERS or moded


def _fate(file: PythonFile, inside: list[ast.AST], name: str, made: ast.Assign) -> str:
    """`kept`: never closed. `risky`: closed, but not if something fails. `` otherwise."""
    closed: ast.AST | None = None
    used = False
    for one in inside:
        if isinstance(one, (*FUNCTIONS, ast.Lambda)) and name in names_in(one):
            return ""
        if not (isinstance(one, ast.Name) and one.id == name) or one is made.targets[0]:
            continue
        parent = file.parents[one]
        if isinstance(parent, ast.Attribute) and isinstance(one.ctx, ast.Load):
            closed = closed or (one if parent.attr in _CLOSERS else None)
            used = used or isinstance(file.parents[parent], ast.Call)
        elif not _only_looks(parent, one):
            return ""  # handed on, returned, entered or bound again: somebody else's to close
    if closed is None:
        return "kept"
    return "" if not used or _surely_closed(file, closed) else "risky"


def _only_looks(parent: ast.AST, one: ast.Name) -> bool:
    if isinstance(parent, ast.For):
        return parent.iter is one
    return isinstance(parent, ast.Call) and _only_reads(parent)


def _surely_closed(file: PythonFile, closed: ast.AST) -> bool:
    """In a finally, or under a condition that cannot be judged here."""
    for parent in file.above(closed):
        if isinstance(parent, (ast.If, ast.ExceptHandler)):
            return True
        if isinstance(parent, ast.Try) and any(closed is each for each in _finally(parent)):
            return True
    return False


def _finally(node: ast.Try) -> Iterator[ast.AST]:
    for statement in node.finalbody:
        yield from ast.walk(statement)


def _only_reads(call: ast.Call) -> bool:
    return called(call) in ("json.load", "csv.reader", "csv.DictReader", "pickle.load", "len",
                            "list", "print", "json.dump", "csv.writer", "yaml.safe_load",
                            "enumerate", "sorted", "sum", "tomllib.load")  # fmt: skip


def read_and_dropped(file: PythonFile) -> Iterator[Found]:
    """`open(path).read()`: closed only when the collector comes by."""
    for node in file.nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call() as inner, attr=name)):
                if called(inner) in ("open", "io.open") and name in _READS | _WRITES:
                    yield Found(rule("open-without-with"), node.lineno)
            case ast.Call(args=[ast.Call() as inner, *_]) if called(inner) == "open":
                if called(node) in ("json.load", "yaml.safe_load", "csv.reader", "pickle.load"):
                    yield Found(rule("open-without-with"), node.lineno)
            case _:
                pass


def wrong_mode(file: PythonFile) -> Iterator[Found]:
    """Writing to what was opened for reading, or the other way round."""
    for node in file.nodes:
        if not isinstance(node, ast.With):
            continue
        for item in node.items:
            call, target = item.context_expr, item.optional_vars
            if not (isinstance(call, ast.Call) and called(call) == "open"):
                continue
            if not isinstance(target, ast.Name) or "open" in file.bound_at_all:
                continue
            given = call.args[1] if len(call.args) > 1 else keyword(call, "mode")
            mode = "r" if given is None else constant(given)
            if not isinstance(mode, str) or "+" in mode:
                continue
            yield from _wrong_uses(node, target.id, mode)


def _wrong_uses(block: ast.With, name: str, mode: str) -> Iterator[Found]:
    wrong = _WRITES if "r" in mode else _READS
    for one in within(block.body):
        if not isinstance(one, ast.Call):
            continue
        match one:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=used), attr=attribute)):
                if used == name and attribute in wrong:
                    message = f"`{name}` was opened with mode {mode!r}: this fails."
                    yield Found(rule("wrong-mode"), one.lineno, message=message)
            case ast.Call(args=[ast.Name(id=used), *_]) if used == name:
                if called(one) == "json.loads":
                    message = "json.loads takes text; for a file it is json.load."
                    yield Found(rule("wrong-mode"), one.lineno, message=message)
            case _:
                pass


def lock_kept(file: PythonFile) -> Iterator[Found]:
    """A lock that a function takes and never gives back."""
    for function in file.functions:
        if function.name in ("__enter__", "__aenter__", "acquire", "lock", "_acquire"):
            continue
        inside = list(within(function.body))
        for node in inside:
            match node:
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr="acquire"))) if (
                    isinstance(owner, (ast.Name, ast.Attribute))
                ):
                    pass
                case _:
                    continue
            shown = ast.unparse(owner)
            if "sem" in shown.lower() or "limiter" in shown.lower():
                continue
            released = [
                one
                for one in ast.walk(function)
                if isinstance(one, ast.Attribute)
                and one.attr == "release"
                and ast.unparse(one.value) == shown
            ]
            end = function.end_lineno or 0
            if not released and _released_elsewhere(file, owner):
                continue
            if not released:
                yield Found(rule("lock-kept"), node.lineno, end=end)
            elif not _safely(file, released[0]) and _may_fail(file, node, released[0]):
                yield Found(rule("release-not-sure"), node.lineno, end=end)


def _released_elsewhere(file: PythonFile, owner: ast.expr) -> bool:
    """Another function may give back what this one took, and so may who is handed it."""
    if isinstance(owner, ast.Name):
        loads = [one for one in file.nodes if isinstance(one, ast.Name) and one.id == owner.id]
        return any(not isinstance(file.parents[one], ast.Attribute) for one in loads[1:])
    return any(
        isinstance(one, ast.Attribute)
        and one.attr == "release"
        and last_name(one.value) == owner.attr  # type: ignore[attr-defined]
        for one in file.nodes
    )


def _safely(file: PythonFile, released: ast.AST) -> bool:
    return any(isinstance(parent, (ast.Try, ast.With)) for parent in file.above(released))


def _may_fail(file: PythonFile, taken: ast.AST, released: ast.AST) -> bool:
    start, end = taken.lineno, released.lineno  # type: ignore[attr-defined]
    calls = (one for one in file.nodes if isinstance(one, ast.Call | ast.Return))
    return any(start < one.lineno < end for one in calls)


CHECKS = (
    leak,
    read_and_dropped,
    wrong_mode,
    lock_kept,
)
