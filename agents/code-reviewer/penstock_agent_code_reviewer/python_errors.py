"""Exceptions that are lost, code that is never reached, and values that are not returned."""

import ast
import builtins
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    Function,
    PythonFile,
    blocks,
    called,
    decorator_names,
    dotted,
    ends,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_BROAD = ("Exception", "BaseException")
_QUIET = (ast.Pass, ast.Continue, ast.Break)


def except_order(file: PythonFile) -> Iterator[Found]:
    """A handler behind one that catches the same or more."""
    for node in file.nodes:
        if not isinstance(node, ast.Try):
            continue
        seen: list[tuple[str, type[BaseException]]] = []
        for handler in node.handlers:
            for name in _names(handler.type):
                known = _exception(file, name)
                if known is None:
                    continue
                before = next((one for one, kind in seen if issubclass(known, kind)), None)
                if before is not None:
                    message = f"`except {name}` is never reached: `except {before}` comes first."
                    yield Found(rule("except-order"), handler.lineno, message=message)
                    break
            for name in _names(handler.type):
                known = _exception(file, name)
                if known is not None:
                    seen.append((name, known))


def _names(node: ast.expr | None) -> list[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node] if node is not None else []
    return [dotted(part) for part in parts]


def _exception(file: PythonFile, name: str) -> type[BaseException] | None:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, BaseException) and name not in file.bound_at_all:
        return kind
    return None


def swallowed(file: PythonFile) -> Iterator[Found]:
    """Everything is caught and nothing is done with it."""
    for node in file.nodes:
        if not isinstance(node, ast.ExceptHandler):
            continue
        names = _names(node.type)
        broad = node.type is None or any(name in _BROAD for name in names)
        quiet = all(isinstance(one, _QUIET) or _is_ellipsis(one) for one in node.body)
        if broad and quiet:
            yield Found(rule("swallowed-exception"), node.lineno, end=node.end_lineno or 0)
        elif node.type is None or "BaseException" in names:
            if not any(isinstance(one, ast.Raise) for one in ast.walk(node)) and node.type is None:
                yield Found(rule("bare-except"), node.lineno)
        elif broad and len(node.body) == 1 and _returns_constant(node.body[0]) and not node.name:
            yield Found(rule("failure-as-value"), node.lineno, end=node.end_lineno or 0)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _returns_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Return):
        return False
    empty = isinstance(node.value, ast.List | ast.Dict) and not ast.unparse(node.value)[2:]
    return node.value is None or isinstance(node.value, ast.Constant) or empty


def cancelled(file: PythonFile) -> Iterator[Found]:
    """A cancellation that is caught and not passed on."""
    for node in file.nodes:
        if isinstance(node, ast.ExceptHandler) and _names(node.type) in (
            ["asyncio.CancelledError"],
            ["CancelledError"],
        ):
            quiet = all(isinstance(one, (ast.Pass, ast.Continue)) for one in node.body)
            inside = file.loop_of(file.parents[node])
            if quiet and inside is not None:
                yield Found(rule("swallowed-cancellation"), node.lineno, end=node.end_lineno or 0)


def unreachable(file: PythonFile) -> Iterator[Found]:
    """Statements behind a jump."""
    for node in file.nodes:
        for block in blocks(node):
            for number, statement in enumerate(block[:-1]):
                after = block[number + 1]
                if ends([statement]) and not _meant(block[number + 1 :], after):
                    kind = type(statement).__name__.lower()
                    message = f"This is never reached: the {kind} before it always leaves."
                    end = block[-1].end_lineno or after.lineno
                    yield Found(rule("unreachable"), after.lineno, end=end, message=message)
                    break


def _meant(rest: list[ast.stmt], after: ast.stmt) -> bool:
    """An empty generator is written `return; yield`, and some write `raise; return`."""
    yields = any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in within(rest))
    plain = len(rest) == 1 and (
        isinstance(after, (ast.Pass, *FUNCTIONS, ast.ClassDef, ast.Break))
        or (isinstance(after, ast.Return) and (after.value is None or _is_name(after.value)))
        or last_name(getattr(after, "value", after)) in ("assert_never", "fail")
    )
    raised = isinstance(after, ast.Raise) and len(rest) == 1
    return yields or plain or raised


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, (ast.Name, ast.Constant))


def lone_pass_through_loop(file: PythonFile) -> Iterator[Found]:
    """A loop that always leaves in its first turn."""
    for node in file.nodes:
        if not isinstance(node, (ast.For, ast.While)) or node.orelse:
            continue
        if not ends(node.body) or isinstance(node.body[-1], (ast.Continue, ast.Raise)):
            continue
        inside = list(within(node.body))
        if any(isinstance(one, (ast.Continue, ast.Yield, ast.Await)) for one in inside):
            continue
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
            continue
        last = node.body[-1]
        if (isinstance(last, ast.Return) and len(node.body) > 1) or isinstance(last, ast.If):
            yield Found(rule("single-turn"), node.body[-1].lineno)


def finally_jump(file: PythonFile) -> Iterator[Found]:
    """`return`, `break` or `continue` in finally discards the exception in flight."""
    for node in file.nodes:
        if isinstance(node, ast.Try):
            for one in within(node.finalbody):
                if isinstance(one, ast.Return):
                    yield Found(rule("jump-in-finally"), one.lineno)


def missing_return(file: PythonFile) -> Iterator[Found]:
    """Some paths return a value and others fall off the end."""
    for function in file.functions:
        inside = list(within(function.body))
        if any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in inside):
            continue
        valued = [one for one in inside if isinstance(one, ast.Return) and one.value is not None]
        told = function.returns is not None and _wants_value(function.returns)
        if not valued:
            if told and not _stub(function) and not _leaves(function.body):
                yield Found(rule("missing-return"), function.lineno, end=_end(function))
            continue
        some = any(constant_of(one.value) is not None for one in valued)
        if some and not _leaves(function.body):
            severity = "major" if told else None
            yield Found(
                rule("missing-return"),
                function.body[-1].lineno,
                end=_end(function),
                severity=severity,
            )


def constant_of(node: ast.expr | None) -> object:
    """Something that tells a returned value from a written-out None."""
    return None if isinstance(node, ast.Constant) and node.value is None else node


def _end(function: Function) -> int:
    return function.end_lineno or function.lineno


def _wants_value(node: ast.expr) -> bool:
    text = ast.unparse(node).strip("'\"")
    loose = ("None", "Optional", "Any", "object", "NoReturn", "Never", "Generator", "Iterator")
    return not any(word in text for word in (*loose, "TypeGuard", "Iterable"))


def _stub(function: Function) -> bool:
    names = decorator_names(function)
    if names & {"abstractmethod", "overload", "abstractproperty", "abstractclassmethod"}:
        return True
    real = [one for one in function.body if not _is_ellipsis(one)]
    return not real or all(isinstance(one, (ast.Pass, ast.Raise)) for one in real)


def _leaves(block: list[ast.stmt]) -> bool:
    """Whether a block never falls off its end, as far as can be told."""
    if not block:
        return False
    last = block[-1]
    if ends(block):
        return True
    match last:
        case ast.With() | ast.AsyncWith():
            return _leaves(last.body)
        case ast.While(test=ast.Constant(value=true)) if true:
            return not any(isinstance(one, ast.Break) for one in within(last.body))
        case ast.Match():
            return True
        case ast.If():
            return bool(last.orelse) and _leaves(last.body) and _leaves(last.orelse)
        case ast.Try():
            if last.finalbody and _leaves(last.finalbody):
                return True
            tried = _leaves(last.orelse) if last.orelse else _leaves(last.body)
            return tried and all(_leaves(each.body) for each in last.handlers)
        case ast.Assert(test=ast.Constant(value=false)) if not false:
            return True
        case ast.Expr(value=ast.Call() as call):
            # What a call of one's own does at the end may be to raise.
            plain = last_name(call) in _RETURNING or isinstance(call.func, ast.Attribute)
            return (
                last_name(call) in _LEAVING
                or called(call).startswith("pytest.")
                or (not plain or called(call).startswith("self."))
            )
        case ast.For() | ast.AsyncFor():
            return bool(last.orelse) and _leaves(last.orelse)
        case _:
            return False


_RETURNING = frozenset({"print", "setattr", "delattr"})
_LEAVING = frozenset(
    {"exit", "_exit", "abort", "fail", "assert_never", "skip", "error", "execv", "execvp", "quit",
     "die", "raise_for_status", "reraise", "skipTest", "unreachable", "execve", "fatal"}
)  # fmt: skip


def property_without_value(file: PythonFile) -> Iterator[Found]:
    """A property that computes and returns nothing."""
    for function in file.functions:
        if "property" not in {dotted(one) for one in function.decorator_list} or _stub(function):
            continue
        inside = list(within(function.body))
        if any(isinstance(one, (ast.Return, ast.Yield, ast.Raise)) for one in inside):
            continue
        if not any(isinstance(one, ast.Call) for one in inside):
            yield Found(rule("property-without-return"), function.lineno, end=_end(function))


CHECKS = (
    except_order,
    swallowed,
    cancelled,
    unreachable,
    lone_pass_through_loop,
    finally_jump,
    missing_return,
    property_without_value,
)
