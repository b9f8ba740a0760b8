"""Calls that fail, and calls whose only effect is a result that nobody takes."""

import ast
import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    Function,
    PythonFile,
    called,
    constant,
    decorator_names,
    has_call,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_PURE = frozenset({"sorted", "reversed", "len", "str", "int", "float", "abs", "sum", "min", "max",
                   "zip", "map", "filter", "isinstance", "repr", "copy.deepcopy", "copy.copy",
                   "json.dumps", "os.path.join", "os.path.exists", "hasattr", "enumerate",
                   "dataclasses.replace"})  # fmt: skip
_TEXT_METHODS = frozenset({"strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize",
                           "casefold", "swapcase", "startswith", "endswith", "zfill", "isdigit",
                           "removeprefix", "removesuffix", "splitlines", "encode"})  # fmt: skip
_IN_PLACE = frozenset({"sort", "reverse", "append", "extend", "insert", "clear"})
_FUNCTIONS_IN_PLACE = frozenset({"random.shuffle", "print", "setattr", "delattr"})


def wrong_arguments(file: PythonFile) -> Iterator[Found]:
    """A call of a function of this very file with arguments that it does not take."""
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        target, bound = _target(file, node)
        if target is None:
            continue
        fault = _fault(target, node, bound)
        if fault:
            name = called(node)
            message = f"`{name}()` {fault}: the call fails."
            yield Found(
                rule("wrong-arguments"), node.lineno, end=node.end_lineno or 0, message=message
            )


def _target(file: PythonFile, call: ast.Call) -> tuple[Function | None, bool]:
    """The definition that a call surely reaches, and whether it is bound to an object."""
    name = called(call)
    if name in file.top_functions:
        target = file.top_functions[name]
        inner = any(name == each.arg for each in _parameters(file, call))
        return (None, False) if target.decorator_list or inner else (target, False)
    owner, _, method = name.rpartition(".")
    scope = file.scope(call)
    holder = file.class_of(scope) if scope is not None else None
    if owner != "self" or holder is None or holder.keywords:
        return None, False
    if holder.decorator_list or decorator_names(scope) & {"staticmethod", "classmethod"}:  # type: ignore[arg-type]
        return None, False
    found = [one for one in holder.body if isinstance(one, FUNCTIONS) and one.name == method]
    stored = any(isinstance(one, ast.Attribute) and one.attr == method
                 and isinstance(one.ctx, ast.Store) for one in file.nodes)  # fmt: skip
    # What a class defines itself comes before what it inherits; a stub is there to be replaced.
    if len(found) != 1 or found[0].decorator_list or stored or _is_stub(found[0]):
        return None, False
    return found[0], True


def _is_stub(function: Function) -> bool:
    real = [one for one in function.body if not isinstance(one, (ast.Expr, ast.Pass, ast.Raise))]
    return not real


def _parameters(file: PythonFile, node: ast.AST) -> Iterator[ast.arg]:
    scope = file.scope(node)
    while scope is not None:
        yield from (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)
        scope = file.scope(scope)


def _fault(target: Function, call: ast.Call, bound: bool) -> str:
    if any(isinstance(one, ast.Starred) for one in call.args):
        return ""
    if any(one.arg is None for one in call.keywords):
        return ""
    taken = target.args
    places = [*taken.posonlyargs, *taken.args]
    if bound:
        places = places[1:]
    given = {one.arg for one in call.keywords}
    by_name = {one.arg for one in (*places[len(taken.posonlyargs) :], *taken.kwonlyargs)}
    if bound or not taken.posonlyargs:
        by_name = {one.arg for one in (*places, *taken.kwonlyargs)}
    if taken.vararg is None and len(call.args) > len(places):
        return f"takes {len(places)} positional arguments and is given {len(call.args)}"
    if taken.kwarg is None and (unknown := sorted(str(one) for one in given - by_name)):
        return f"has no parameter `{unknown[0]}`"
    required = places[: len(places) - len(taken.defaults)] if taken.defaults else places
    missing = [one.arg for one in required[len(call.args) :] if one.arg not in given]
    missing += [
        one.arg
        for one, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
        if default is None and one.arg not in given
    ]
    return f"is not given `{missing[0]}`" if missing else ""


def unused_result(file: PythonFile) -> Iterator[Found]:
    """`name.strip()` as a statement: text never changes in place."""
    for node in file.nodes:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        name = called(call)
        if expects_failure(file, node):
            continue
        pure = name in _PURE and name not in file.bound_at_all and len(call.args) > 0
        if name in ("len", "int", "float", "str", "isinstance", "repr"):
            pure = pure and not any(isinstance(one, ast.Try) for one in file.above(node))
        if pure or _text_call(call):
            shown = name or ast.unparse(call.func)[-40:]
            message = f"The result of `{shown}()` is not used, and it has no other effect."
            yield Found(rule("unused-result"), node.lineno, message=message)


def _text_call(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.keywords:
        return False
    attribute, values = call.func.attr, [constant(one) for one in call.args]
    if attribute == "replace":
        return len(values) == 2 and isinstance(values[0], str) and isinstance(values[1], str)
    if attribute in ("startswith", "endswith"):
        return len(values) == 1 and isinstance(values[0], str)
    return attribute in _TEXT_METHODS and len(values) <= 1 and not has_call(call.func.value)


def expects_failure(file: PythonFile, node: ast.AST) -> bool:
    """Inside `with raises(...)` or a try, the call may be made for its exception."""
    for parent in file.above(node):
        if isinstance(parent, (ast.With, ast.AsyncWith)):
            if any(_expecting(one) for one in parent.items):
                return True
        elif isinstance(parent, ast.Try) and any(node is one for one in ast.walk(parent)):
            return True
    return False


def _expecting(item: ast.withitem) -> bool:
    text = ast.unparse(item)
    return any(word in text for word in ("raises", "Raises", "suppress", "warns"))


def result_of_nothing(file: PythonFile) -> Iterator[Found]:
    """`names = names.sort()`: what changes in place returns None."""
    for function in (*file.functions, file.tree):
        lists = _lists(function)
        for node in within(function.body):
            value = node.value if isinstance(node, (ast.Assign, ast.Return)) else None
            match value:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)):
                    if owner in lists and name in _IN_PLACE:
                        message = f"`{owner}.{name}()` returns None."
                        yield Found(rule("result-is-none"), value.lineno, message=message)
                case ast.Call() if called(value) in _FUNCTIONS_IN_PLACE and isinstance(
                    node, ast.Assign
                ):
                    message = f"`{called(value)}()` returns None."
                    yield Found(rule("result-is-none"), value.lineno, message=message)
                case _:
                    pass


def _lists(function: Function | ast.Module) -> set[str]:
    """Names that are bound to lists only."""
    lists: set[str] = set()
    others: set[str] = set()
    arguments = function.args if isinstance(function, FUNCTIONS) else None
    for one in (*arguments.args, *arguments.kwonlyargs) if arguments else ():
        noted = ast.unparse(one.annotation) if one.annotation else ""
        (lists if re.match(r"(typing\.)?[lL]ist\b", noted) else others).add(one.arg)
    for node in within(function.body):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                made = isinstance(value, ast.List | ast.ListComp) or called(value) in (
                    "list",
                    "sorted",
                )
                own = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
                own = own and ast.unparse(value.func.value) == name  # type: ignore[union-attr]
                if not own:
                    (lists if made else others).add(name)
            case _:
                pass
    return lists - others


def called_too_early(file: PythonFile) -> Iterator[Found]:
    """`Thread(target=work())` runs work here and gives the thread nothing to do."""
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        handed = [one.value for one in node.keywords if one.arg in ("target", "callback", "key")]
        for value in handed:
            target = file.top_functions.get(called(value))
            if target is None or target.decorator_list or isinstance(target, ast.AsyncFunctionDef):
                continue
            if not any(isinstance(one, (ast.Return, ast.Yield)) for one in within(target.body)):
                yield Found(rule("called-too-early"), value.lineno)


def wrong_unpacking(file: PythonFile) -> Iterator[Found]:
    """`a, b = 1, 2, 3`."""
    for node in file.nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=left)], value=ast.Tuple(elts=right)):
                starred = any(isinstance(one, ast.Starred) for one in (*left, *right))
                if not starred and len(left) != len(right) and not expects_failure(file, node):
                    yield Found(rule("wrong-unpacking"), node.lineno)
            case _:
                pass


CHECKS = (
    wrong_arguments,
    unused_result,
    result_of_nothing,
    called_too_early,
    wrong_unpacking,
)
