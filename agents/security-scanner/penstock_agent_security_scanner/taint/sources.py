"""Where values come in that somebody else decides."""

import ast
import builtins
import re
from typing import Final

from penstock_agent_security_scanner.taint.scopes import Function, Scope
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import (
    GUESSABLE,
    HOLE,
    LEAK,
    NUMBER,
    Reach,
    Value,
    constant,
    marked,
    tainted,
)

# What a request object is called, by its path.
_REQUEST: Final = re.compile(
    r"^(?:(?:flask|bottle|sanic|quart|cherrypy|pecan|web|falcon)\.request|request|req|"
    r"flask\.globals\.request|self\.request|\?\.request|.*\(\)\.request|flask\.Request(?:\(\))?)$"
)
_REQUEST_PARTS: Final = frozenset(
    {
        "COOKIES", "FILES", "GET", "META", "POST", "QUERY_STRING", "REQUEST",
        "access_route", "args", "arguments", "base_url", "body", "body_arguments",
        "content", "cookie_params", "cookies", "data", "environ", "files", "form", "forms",
        "full_path", "headers", "host", "host_url", "json", "json_body", "jsonrpc",
        "match_info", "matchdict", "media", "mimetype_params", "param", "params", "path",
        "path_info", "path_params", "path_url", "post", "query", "query_arguments",
        "query_params", "query_string", "raw_post_data", "referrer", "rel_url", "stream",
        "text", "uri", "url", "url_root", "url_rule_args", "user_agent", "values",
        "view_args",
    }
)  # fmt: skip
_REQUEST_CALLS: Final = frozenset(
    {
        "body", "build_absolute_uri", "form", "get", "get_argument", "get_arguments",
        "get_body_argument", "get_cookie", "get_data", "get_full_path", "get_host",
        "get_json", "get_media", "get_param", "get_query_argument", "get_raw_uri",
        "get_signed_cookie", "getall", "getvalue", "input", "json", "multipart", "post",
        "query", "read", "stream", "text",
    }
)  # fmt: skip
# Methods of request handlers that are classes.
_HANDLER_CALLS: Final = frozenset(
    {
        "get_argument", "get_arguments", "get_body_argument", "get_body_arguments",
        "get_query_argument", "get_query_arguments", "get_cookie", "get_secure_cookie",
    }
)  # fmt: skip
_REMOTE_CALLS: Final = re.compile(
    r"^(?:cgi\.FieldStorage|cgi\.parse|web\.input|flask\.request\.get_json)$|"
    r"^(?:flask|bottle|cherrypy|web)\.request\..*|"
    r"\.(?:recv|recvfrom|recv_json|recv_string|recv_multipart|receive_text|receive_json|"
    r"receive_bytes|getfirst|get_body_argument|get_query_argument)$"
)
_LOCAL_CALLS: Final = re.compile(
    r"^(?:input|raw_input|os\.getenv|os\.environ\.get|getpass\.getpass|sys\.stdin\.\w+|"
    r"click\.prompt|typer\.prompt)$|\.(?:parse_args|parse_known_args)$"
)
GUESSABLE_CALLS: Final = re.compile(
    r"^(?:numpy\.)?random\.(?:betavariate|choice|choices|gauss|getrandbits|normalvariate|randbytes|"
    r"randint|random|randrange|sample|triangular|uniform|rand|randn|bytes|integers|expovariate|"
    r"gammavariate|lognormvariate|paretovariate|vonmisesvariate|weibullvariate)$|"
    r"^random\.Random\(\)\.\w+$|^uuid\.uuid1$"
)
_LOCAL_PATHS: Final = frozenset({"sys.argv", "os.environ"})
_ROUTES: Final = frozenset(
    {
        "api_route", "delete", "get", "head", "options", "patch", "post", "put", "route",
        "view", "websocket", "websocket_route", "expose", "page", "callback", "view_config",
    }
)  # fmt: skip
_ROUTE_NAME: Final = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>|\{(\w+)(?::(\w+))?\}")
_SAFE_KINDS: Final = frozenset(
    {
        "int", "float", "bool", "uuid", "UUID", "date", "datetime", "Decimal", "Enum",
        "IPv4Address",
    }
)  # fmt: skip
_FASTAPI_MARKS: Final = frozenset({"Body", "Cookie", "File", "Form", "Header", "Path", "Query"})
_LAMBDA_NAMES: Final = frozenset({"lambda_handler", "handler", "main_handler", "function_handler"})
_ID_NAME: Final = re.compile(r"^(?:pk|id|\w+_(?:id|pk)|page|year|month|day|num|number|count)$")


def unbound(name: str, star: str = "") -> Value:
    """A name the file does not bind: a builtin, or from a module all of whose names it imports."""
    if star and not hasattr(builtins, name) and not name.startswith("__"):
        return Value(kind=f"{star}.{name}")
    if name == "__name__":
        return Value(fixed=True, kind="str", text=HOLE)
    if name in ("__file__", "__doc__", "__package__"):
        return Value(fixed=True, kind="str", text=HOLE)
    if name.isupper():
        return Value(fixed=True, kind=name, text=HOLE)
    return Value(kind=name)


def attribute(kind: str) -> Value | None:
    """A source by its dotted name; None for anything else."""
    if kind in _LOCAL_PATHS:
        return tainted(Reach.LOCAL, kind)
    owner, _, name = kind.rpartition(".")
    if _REQUEST.match(owner) and name in _REQUEST_PARTS:
        return tainted(Reach.REMOTE, kind)
    return None


def member(bases: list[str], name: str) -> Value | None:
    """What an instance of a framework's class has under a name."""
    if not bases:
        return None
    joined = " ".join(bases)
    if name == "request" and ("Handler" in joined or "View" in joined or "Resource" in joined):
        return Value(kind="request")
    if name in ("path", "headers", "rfile", "requestline") and "HTTPRequestHandler" in joined:
        return tainted(Reach.REMOTE, f"request.{name}")
    if name == "request" and "RequestHandler" in joined:
        return Value(kind="request")
    if name in ("path_args", "path_kwargs") and "Handler" in joined:
        return tainted(Reach.REMOTE, f"request.{name}")
    if name in ("kwargs", "args") and "View" in joined:
        return tainted(Reach.REMOTE, f"request.{name}")
    return None


def call(site: Site) -> Value | None:
    """What a call brings in from outside; None when it does not."""
    owner = site.path.rpartition(".")[0]
    if site.method == "get" and "session" in owner.lower():
        return None
    if _REQUEST.match(owner) and site.method in _REQUEST_CALLS:
        return tainted(Reach.REMOTE, f"{site.path}()")
    if owner in ("self", "handler", "?") and site.method in _HANDLER_CALLS:
        return tainted(Reach.REMOTE, f"{site.path}()")
    if owner.endswith("()") and site.method in _HANDLER_CALLS:
        return tainted(Reach.REMOTE, f"{site.path}()")
    if _REMOTE_CALLS.search(site.path):
        return tainted(Reach.REMOTE, f"{site.path}()")
    if site.path in ("traceback.format_exc", "traceback.format_exception", "sys.exc_info"):
        return marked(LEAK, site.line)
    if GUESSABLE_CALLS.match(site.path):
        return marked(GUESSABLE, site.line)
    if _LOCAL_CALLS.search(site.path):
        if site.path == "input" or site.method != "parse_args":
            return tainted(Reach.LOCAL, f"{site.path}()")
        return tainted(Reach.LOCAL, "argparse()")
    return None


def parameters(function: Function, handlers: dict[str, str], imports: set[str]) -> dict[str, Value]:
    """What a function is given when nobody in sight calls it.

    Args:
        function: The function.
        handlers: Names the file registers as handlers with a router, and the route's text.
        imports: Top-level packages the file imports.
    """
    given: dict[str, Value] = {}
    listed = function.parameters()
    routed = _routed(function, handlers)
    first = next((p.arg for p in listed if p.arg not in ("self", "cls")), "")
    is_view = first in ("request", "req", "_request") and not function.name.startswith("_")
    is_cloud = (first in ("event", "_event") and len(listed) >= 2) or function.name in _LAMBDA_NAMES
    for parameter in listed:
        name, kind = parameter.arg, _annotation(parameter)
        if name in ("self", "cls"):
            continue
        if name in ("request", "req", "http_request", "_request") or kind.endswith("Request"):
            given[name] = Value(kind="request")
        elif is_cloud and name == first and ("event" in name or name in ("data", "req")):
            given[name] = tainted(Reach.REMOTE, "event")
        elif kind in _SAFE_KINDS:
            given[name] = NUMBER
        elif routed is not None:
            given[name] = _route_value(function, name, kind, routed)
        elif (is_view and {"django", "rest_framework"} & imports and not _ID_NAME.match(name)) or (
            _is_handler(function) and not _ID_NAME.match(name)
        ):
            given[name] = tainted(Reach.REMOTE, name)
        else:
            given[name] = tainted(Reach.CALLER)
    for spread in (function.node.args.vararg, function.node.args.kwarg):
        if spread is not None:
            given[spread.arg] = tainted(Reach.CALLER)
    return given


def _is_handler(function: Function) -> bool:
    """`get(self, name)` of a class that a framework routes requests to."""
    bases = " ".join(function.owner.all_bases()) if function.owner is not None else ""
    is_web = "RequestHandler" in bases or bases.endswith(("Resource", "MethodView"))
    if is_web and function.name in ("get", "post", "put", "delete", "patch"):
        return True
    names = [parameter.arg for parameter in function.parameters()[1:3]]
    return function.name.startswith("on_") and names == ["req", "resp"]  # falcon


def _annotation(parameter: ast.arg) -> str:
    node = parameter.annotation
    if isinstance(node, ast.BinOp):  # int | None
        is_none = isinstance(node.right, ast.Constant) and node.right.value is None
        node = node.left if is_none else node.right
    if isinstance(node, ast.Subscript):  # Optional[str], Annotated[str, Query()]
        inner = node.slice
        node = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    return last(node) if node is not None else ""


def _routed(function: Function, handlers: dict[str, str]) -> dict[str, str] | None:
    """Names in the route's pattern with their converter; None for what is no handler."""
    found: dict[str, str] | None = None
    for decorator in function.decorators():
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if last(target) not in _ROUTES or not isinstance(target, ast.Attribute | ast.Name):
            continue
        if isinstance(target, ast.Name) and last(target) not in ("route", "view_config", "expose"):
            arguments = decorator.args if isinstance(decorator, ast.Call) else []
            texts = [a.value for a in arguments if isinstance(a, ast.Constant)]
            if not any(isinstance(text, str) and text.startswith("/") for text in texts):
                continue
        found = {} if found is None else found
        for argument in decorator.args if isinstance(decorator, ast.Call) else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found |= _names_in(argument.value)
    if found is None and function.name in handlers:
        return _names_in(handlers[function.name])
    return found


def _names_in(route: str) -> dict[str, str]:
    return {
        name or braced: converter or kind
        for converter, name, braced, kind in _ROUTE_NAME.findall(route)
    }


def _route_value(function: Function, name: str, kind: str, routed: dict[str, str]) -> Value:
    default = _default_of(function, name)
    if isinstance(default, ast.Call) and last(default.func) in ("Depends", "Security"):
        return Value(kind=kind)
    if name in routed:
        return NUMBER if routed[name] in _SAFE_KINDS else tainted(Reach.REMOTE, name)
    marked = isinstance(default, ast.Call) and last(default.func) in _FASTAPI_MARKS
    # A class of the file's own is a body model; one of a library is injected.
    if kind in ("str", "bytes", "dict", "list", "UploadFile", "Any") or marked or not kind:
        return tainted(Reach.REMOTE, name)
    known = function.scope.get(kind)
    is_own = known is not None and known.target is not None
    return tainted(Reach.REMOTE, name) if is_own else Value(kind=kind)


def _default_of(function: Function, name: str) -> ast.expr | None:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    pairs += [
        (parameter, default)
        for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    ]
    return next((default for parameter, default in pairs if parameter.arg == name), None)


def only_route(scope: Scope) -> str | None:
    """The path of the handler being run, where it has one and nothing in it varies."""
    while scope.function is None and scope.parent is not None:
        scope = scope.parent
    if scope.function is None:
        return None
    texts = {
        argument.value
        for decorator in scope.function.decorators()
        if isinstance(decorator, ast.Call) and last(decorator.func) in _ROUTES
        for argument in decorator.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    text = texts.pop() if len(texts) == 1 else ""
    return text if text.startswith("/") and not set("<{*(") & set(text) else None


def last(node: ast.AST) -> str:
    """The last part of a dotted name."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


__all__ = ["attribute", "call", "constant", "last", "member", "parameters", "unbound"]
