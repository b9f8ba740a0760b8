"""Coroutines that are made and never awaited, and what does not belong in a coroutine."""

import ast
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    Function,
    PythonFile,
    called,
    decorator_names,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_COROUTINES = frozenset(
    {"asyncio.sleep", "asyncio.wait_for", "asyncio.wait", "asyncio.open_connection",
     "asyncio.to_thread", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell",
     "asyncio.start_server", "anyio.sleep", "trio.sleep"}
)  # fmt: skip
_ASYNC_MANAGERS = frozenset(
    {"aiohttp.ClientSession", "httpx.AsyncClient", "asyncio.TaskGroup", "asyncio.timeout",
     "asyncio.Lock", "asyncio.Semaphore", "anyio.create_task_group", "trio.open_nursery",
     "aiofiles.open", "asyncpg.create_pool", "aiosqlite.connect"}
)  # fmt: skip
_BLOCKING = frozenset(
    {"time.sleep", "subprocess.run", "subprocess.call", "subprocess.check_call",
     "subprocess.check_output", "os.system", "requests.get", "requests.post", "requests.put",
     "requests.patch", "requests.delete", "requests.head", "requests.request",
     "urllib.request.urlopen", "input", "socket.create_connection", "psycopg2.connect",
     "shutil.copytree", "shutil.rmtree"}
)  # fmt: skip


def missing_await(file: PythonFile) -> Iterator[Found]:
    """A coroutine that nobody can await: its call is a statement, a condition or an operand."""
    top = {name for name, node in file.top_functions.items() if _is_coroutine(node)}
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        known = name in _COROUTINES and not _rebound(file, name)
        if not (known or (name in top and not _local(file, node, name)) or _own(file, node, name)):
            continue
        if _misused(file, node):
            message = f"`{name}()` makes a coroutine that is never awaited, so it never runs."
            yield Found(rule("missing-await"), node.lineno, message=message)


def unawaited_value(file: PythonFile) -> Iterator[Found]:
    """`value = fetch()` whose value is then used as if it had been awaited."""
    top = {name for name, node in file.top_functions.items() if _is_coroutine(node)}
    for function in file.functions:
        inside = list(within(function.body))
        for node in inside:
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call() as call):
                    pass
                case _:
                    continue
            name = called(call)
            if not (name in top or _own(file, call, name)) or _local(file, call, name):
                continue
            uses = [one for one in inside if isinstance(one, ast.Name) and one.id == target]
            stores = [one for one in uses if isinstance(one.ctx, ast.Store)]
            loads = [one for one in uses if isinstance(one.ctx, ast.Load)]
            if len(stores) == 1 and loads and all(_as_value(file, one) for one in loads):
                message = f"`{name}()` is not awaited: `{target}` is a coroutine, not its result."
                yield Found(rule("missing-await"), call.lineno, message=message)


def plain_with(file: PythonFile) -> Iterator[Found]:
    """`with` where only `async with` works, and `for` over an asynchronous generator."""
    generators = {
        name
        for name, node in file.top_functions.items()
        if isinstance(node, ast.AsyncFunctionDef) and _yields(node) and not node.decorator_list
    }
    for node in file.nodes:
        if isinstance(node, ast.With):
            for item in node.items:
                name = called(item.context_expr)
                if name in _ASYNC_MANAGERS:
                    message = f"`{name}()` can only be entered by `async with`."
                    yield Found(rule("missing-async"), item.context_expr.lineno, message=message)
        elif isinstance(node, ast.For) and called(node.iter) in generators:
            message = f"`{called(node.iter)}()` can only be iterated by `async for`."
            yield Found(rule("missing-async"), node.lineno, message=message)


def blocking(file: PythonFile) -> Iterator[Found]:
    """A call that holds up the event loop."""
    for node in file.nodes:
        name = called(node)
        if name in _BLOCKING and isinstance(file.scope(node), ast.AsyncFunctionDef):
            message = f"`{name}()` blocks the event loop: every other task waits meanwhile."
            yield Found(rule("blocking-in-async"), node.lineno, message=message)  # type: ignore[attr-defined]


def awaited_plain(file: PythonFile) -> Iterator[Found]:
    """`await` of a function of this module that is not a coroutine and returns nothing."""
    for node in file.nodes:
        if isinstance(node, ast.Await):
            name = called(node.value)
            target = file.top_functions.get(name)
            if (
                isinstance(target, ast.FunctionDef)
                and not target.decorator_list
                and not _yields(target)
                and not _local(file, node, name)
                and not any(isinstance(one, ast.Return) and one.value for one in within(target))
            ):
                message = f"`{name}()` returns None, which cannot be awaited."
                yield Found(rule("awaits-nothing"), node.lineno, message=message)


def _is_coroutine(node: Function) -> bool:
    return isinstance(node, ast.AsyncFunctionDef) and not _yields(node) and not node.decorator_list


def _yields(node: Function) -> bool:
    return any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in within(node.body))


def _rebound(file: PythonFile, name: str) -> bool:
    """Whether the module's name means something else here than the library."""
    first = name.split(".", 1)[0]
    imported = any(
        isinstance(node, ast.Import) and any(each.name == first for each in node.names)
        for node in file.nodes
    )
    return not imported


def _local(file: PythonFile, node: ast.AST, name: str) -> bool:
    """Whether a function around binds the name again."""
    scope = file.scope(node)
    while scope is not None:
        arguments = scope.args
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if any(each.arg == name for each in every):
            return True
        scope = file.scope(scope)
    return False


def _own(file: PythonFile, node: ast.AST, name: str) -> bool:
    """Whether `self.name` is a coroutine method of this very class."""
    owner, _, method = name.rpartition(".")
    scope = file.scope(node)
    if owner != "self" or scope is None:
        return False
    holder = file.class_of(scope)
    if holder is None:
        return False
    found = [one for one in holder.body if isinstance(one, FUNCTIONS) and one.name == method]
    return len(found) == 1 and _is_coroutine(found[0])


def _misused(file: PythonFile, call: ast.Call) -> bool:
    parent = file.parents[call]
    match parent:
        case ast.Expr() | ast.Compare() | ast.BinOp() | ast.Subscript():
            return True
        case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test):
            return test is call
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Attribute(attr=attribute):
            return attribute not in ("send", "throw", "close", "cr_frame", "cr_code", "__await__")
        case ast.For(iter=iterated):
            return iterated is call
        case _:
            return False


def _as_value(file: PythonFile, name: ast.Name) -> bool:
    parent = file.parents[name]
    match parent:
        case ast.Subscript(value=value) | ast.Attribute(value=value):
            return value is name and last_name(parent) not in ("send", "throw", "close")
        case ast.Compare() | ast.BinOp() | ast.UnaryOp(op=ast.Not()) | ast.FormattedValue():
            return True
        case ast.For(iter=iterated) | ast.comprehension(iter=iterated):
            return iterated is name
        case ast.Call(func=ast.Name(id="len" | "str" | "int" | "sorted" | "list" | "sum")):
            return True
        case _:
            return False


def blocking_lock(file: PythonFile) -> Iterator[Found]:
    """A thread's lock held over an await stops the loop when another task wants it."""
    for node in file.nodes:
        if isinstance(node, ast.With) and isinstance(file.scope(node), ast.AsyncFunctionDef):
            made = [called(item.context_expr) for item in node.items]
            if "threading.Lock" in made and any(isinstance(one, ast.Await) for one in within(node)):
                yield Found(rule("blocking-in-async"), node.lineno)


def abandoned_generator(file: PythonFile) -> Iterator[Found]:
    """`contextmanager` on a function that never yields cannot be entered."""
    for function in file.functions:
        names = decorator_names(function)
        if names & {"contextmanager", "asynccontextmanager"} and not _yields(function):
            raises = function.body and isinstance(function.body[-1], ast.Raise)
            returns = any(isinstance(one, ast.Return) and one.value for one in within(function))
            if not raises and not returns:
                yield Found(rule("context-without-yield"), function.lineno)


CHECKS = (
    missing_await,
    unawaited_value,
    plain_with,
    blocking,
    awaited_plain,
    blocking_lock,
    abandoned_generator,
)
