"""A small flow analysis inside one Python function.

It follows two properties of local names, in the order of the statements: *tainted* (comes from an
HTTP request) and *constant* (built of literals and UPPER_CASE names only). No calls are followed
and branches are merged by "last assignment wins": enough for the rules that need it, and it never
takes more than one pass.
"""

import ast
import re

from penstock_agent_security_scanner.names import dotted

REQUEST_NAMES = frozenset({"request", "req"})
REQUEST_PARTS = frozenset(
    {
        "COOKIES", "FILES", "GET", "POST", "args", "body", "cookies", "data", "files", "form",
        "get_json", "headers", "json", "match_info", "params", "path_params", "post", "query",
        "query_params", "query_string", "rel_url", "values",
    }
)  # fmt: skip
# What these return cannot name a place outside a folder.
CLEANERS = frozenset(
    {
        "basename", "bool", "float", "hexdigest", "int", "isalnum", "isdigit", "len", "safe_join",
        "secure_filename", "UUID", "uuid4",
    }
)  # fmt: skip
ROUTES = frozenset({"api_route", "delete", "get", "patch", "post", "put", "route", "websocket"})
_ROUTE_NAME = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>|\{(\w+)(?::(\w+))?\}")
_SAFE_CONVERTERS = frozenset({"int", "float", "uuid"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Flow:
    """State of one function body (or the module's top level)."""

    def __init__(self, names: dict[str, str], constants: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.tainted: set[str] = set()
        self.constant: set[str] = set(constants)
        self.built_sql: set[str] = set()

    def enter(self, function: Function) -> None:
        """Taint the parameters that a web framework fills from the URL or the query."""
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        for argument in arguments:
            self.constant.discard(argument.arg)
        routed = _route_parameters(function)
        if routed is None:
            return
        for argument in arguments:
            kind = argument.annotation
            is_text = isinstance(kind, ast.Name) and kind.id == "str"
            if is_text or (kind is None and argument.arg in routed):
                self.tainted.add(argument.arg)

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """`target = value`."""
        is_tainted, is_constant = self.is_tainted(value), self.is_constant(value)
        for name in _bound(target):
            self._set(self.tainted, name, is_tainted)
            self._set(self.constant, name, is_constant)
            self.built_sql.discard(name)

    def extend(self, name: str, value: ast.expr) -> None:
        """`name += value`; text that grows by something not constant was built."""
        if self.is_tainted(value):
            self.tainted.add(name)
        if not self.is_constant(value):
            if name in self.constant:
                self.built_sql.add(name)
            self.constant.discard(name)

    @staticmethod
    def _set(group: set[str], name: str, member: bool) -> None:
        if member:
            group.add(name)
        else:
            group.discard(name)

    def is_tainted(self, node: ast.AST) -> bool:
        """Whether the value may hold what an HTTP client sent."""
        match node:
            case ast.Name(id=name):
                return name in self.tainted
            case ast.Constant() | ast.Compare() | ast.Lambda():
                return False
            case ast.Attribute(value=value, attr=attr):
                if attr in REQUEST_PARTS and self._is_request(value):
                    return True
                return attr != "name" and self.is_tainted(value)
            case ast.Call(func=func):
                if _last(func) in CLEANERS:
                    return False
                operands = [*node.args, *(keyword.value for keyword in node.keywords)]
                return self.is_tainted(func) or any(self.is_tainted(item) for item in operands)
            case ast.Subscript(value=value):
                return self.is_tainted(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_tainted(body) or self.is_tainted(orelse)
            case _:
                return any(self.is_tainted(child) for child in ast.iter_child_nodes(node))

    def _is_request(self, node: ast.AST) -> bool:
        name = dotted(node, self.names)
        return name.rsplit(".", 1)[-1] in REQUEST_NAMES

    def is_constant(self, node: ast.AST) -> bool:
        """Whether the value is made of literals and UPPER_CASE names, so of nobody's input."""
        match node:
            case ast.Constant() | ast.Call(func=ast.Name(id="int" | "len" | "float")):
                return True
            case ast.Name(id=name):
                return name in self.constant or name.isupper()
            case ast.Attribute(attr=attr):
                return attr.isupper()
            case ast.BinOp(left=left, op=ast.Mult(), right=right):  # "?, " * n
                return self.is_constant(left) or self.is_constant(right)
            case _:
                parts = _parts(node)
                return parts is not None and all(self.is_constant(part) for part in parts)


def _parts(node: ast.AST) -> list[ast.expr] | None:
    """What a text is put together from; None for anything that may bring in other text."""
    match node:
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return parts
        case ast.FormattedValue(value=value) | ast.Starred(value=value):
            return [value]
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt):
            return [elt]
        case ast.Call(func=ast.Attribute(attr="join" | "format" | "strip", value=value)):
            return [value, *node.args, *(keyword.value for keyword in node.keywords)]
        case _:
            return None


def _route_parameters(function: Function) -> set[str] | None:
    """Text parameters in the URL patterns of a route handler; None when it is not one."""
    found: set[str] | None = None
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and _last(decorator.func) in ROUTES):
            continue
        if not isinstance(decorator.func, ast.Attribute):
            continue
        found = set() if found is None else found
        for argument in decorator.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                for converter, name, braced, kind in _ROUTE_NAME.findall(argument.value):
                    if (converter or kind) not in _SAFE_CONVERTERS:
                        found.add(name or braced)
    return found


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _bound(target: ast.expr) -> list[str]:
    """Plain names an assignment binds; attributes and items are not followed."""
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Starred):
        return _bound(target.value)
    if isinstance(target, ast.Tuple | ast.List):
        return [name for item in target.elts for name in _bound(item)]
    return []
