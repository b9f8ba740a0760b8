"""Rules for Python that bandit does not have.

bandit judges one call at a time. These need to know where a value came from (path traversal,
statements grown step by step), or look at calls it does not list. What bandit finds is not
repeated here.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.names import dotted, imported_names
from penstock_agent_security_scanner.taint import Flow, Function

# Calls that touch the file named by their first argument.
FILE_CALLS = frozenset(
    {
        "aiofiles.open", "codecs.open", "fastapi.responses.FileResponse", "flask.send_file",
        "io.open", "open", "os.chmod", "os.listdir", "os.makedirs", "os.mkdir", "os.open",
        "os.remove", "os.removedirs", "os.rename", "os.replace", "os.rmdir", "os.scandir",
        "os.unlink", "send_file", "shutil.copy", "shutil.copyfile", "shutil.copytree",
        "shutil.move", "shutil.rmtree", "starlette.responses.FileResponse", "FileResponse",
        "aiohttp.web.FileResponse", "django.http.FileResponse",
    }
)  # fmt: skip
FILE_METHODS = frozenset(
    {
        "iterdir", "open", "read_bytes", "read_text", "rmdir", "touch", "unlink", "write_bytes",
        "write_text",
    }
)  # fmt: skip
# A function that compares resolved paths has seen the problem; its path findings are dropped.
GUARDS = frozenset({"is_relative_to", "relative_to", "commonpath"})
RESOLVERS = frozenset({"resolve", "realpath", "abspath"})
EXECUTORS = frozenset({"execute", "executemany", "executescript", "raw"})
LOADERS = frozenset(
    {
        "cloudpickle.load", "cloudpickle.loads", "joblib.load", "yaml.unsafe_load",
        "yaml.unsafe_load_all",
    }
)  # fmt: skip
GUESSABLE = re.compile(
    r"^random\.(?:choice|choices|getrandbits|randbytes|randint|random|randrange|sample)$"
)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api_?key|csrf|nonce|otp|passcode|passwd|password|pwd|salt|secret|session_?id|token)s?(?:_|$)",
    re.IGNORECASE,
)


@dataclass
class Scan:
    """What one Python file gave.

    Attributes:
        found: Rule and line.
        constant_sql: First lines of built statements whose parts are all constants; a finding
            of bandit there is a false alarm.
    """

    found: list[tuple[Rule, int]] = field(default_factory=list)
    constant_sql: set[int] = field(default_factory=set)


def scan_python(tree: ast.Module) -> Scan:
    """Apply all rules to one parsed file.

    Raises:
        RecursionError: The file nests expressions beyond the interpreter's limit.
    """
    scan = Scan()
    names = imported_names(tree)
    module = Flow(names)
    _Body(scan, module, function=None).run(tree.body)
    return scan


class _Body:
    """Walks the statements of one body in order, nested bodies included."""

    def __init__(self, scan: Scan, flow: Flow, function: Function | None) -> None:
        self._scan = scan
        self._flow = flow
        self._function = function
        self._guarded = function is not None and _is_guarded(function)

    def run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._nested(node)
            case ast.ClassDef(body=body):
                self.run(body)
            case ast.Assign(targets=targets, value=value):
                self._assigned(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assigned([target], value)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                self._expressions(value)
                self._flow.extend(name, value)
            case _:
                self._bind(node)
                self._children(node)

    def _nested(self, node: Function) -> None:
        flow = Flow(self._flow.names, frozenset(self._flow.constant))
        flow.tainted = set(self._flow.tainted)
        flow.enter(node)
        for decorator in node.decorator_list:
            self._expressions(decorator)
        _Body(self._scan, flow, node).run(node.body)

    def _assigned(self, targets: list[ast.expr], value: ast.expr) -> None:
        self._expressions(value)
        for target in targets:
            self._flow.assign(target, value)
            self._weak_secret(_name_of(target), value)

    def _bind(self, node: ast.stmt) -> None:
        """Names that loops and contexts bind, and what a function returns under its name."""
        match node:
            case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
                self._flow.assign(target, source)
            case ast.With(items=items) | ast.AsyncWith(items=items):
                for item in items:
                    if item.optional_vars is not None:
                        self._flow.assign(item.optional_vars, item.context_expr)
            case ast.Return(value=ast.expr() as value) if self._function is not None:
                self._weak_secret(self._function.name, value)
            case _:
                pass

    def _children(self, node: ast.AST) -> None:
        """Expressions of a statement, then the statements nested in it."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child)
            elif isinstance(child, ast.expr):
                self._expressions(child)
            else:  # exception handlers, match cases, with items
                self._children(child)

    def _expressions(self, root: ast.expr) -> None:
        for node in ast.walk(root):
            if isinstance(node, ast.Call):
                for rule in self._call(node):
                    self._scan.found.append((rule, node.lineno))
            elif isinstance(node, ast.JoinedStr | ast.BinOp):
                self._note_constant(node)
            elif isinstance(node, ast.Attribute) and node.attr == "MODE_ECB":
                self._scan.found.append((catalogue.WEAK_CIPHER, node.lineno))
            elif isinstance(node, ast.NamedExpr):
                self._flow.assign(node.target, node.value)

    def _note_constant(self, node: ast.JoinedStr | ast.BinOp) -> None:
        if self._flow.is_constant(node):
            self._scan.constant_sql.update(range(node.lineno, (node.end_lineno or 0) + 1))

    def _call(self, node: ast.Call) -> Iterator[Rule]:
        name = dotted(node.func, self._flow.names)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        first = node.args[0] if node.args else None
        if method == "format" and self._flow.is_constant(node):
            self._scan.constant_sql.add(node.lineno)
        if not self._guarded and self._reaches_file(node, name, method):
            yield catalogue.PATH
        if method in EXECUTORS and isinstance(first, ast.Name) and first.id in self._flow.built_sql:
            yield catalogue.SQL
        if name == "asyncio.create_subprocess_shell" and not self._constant(first):
            yield catalogue.COMMAND
        if name in LOADERS or (name == "numpy.load" and _is_set(node, "allow_pickle", True)):
            yield catalogue.DESERIALISATION
        if _opens_entities(node, name, method):
            yield catalogue.XXE

    def _constant(self, node: ast.expr | None) -> bool:
        return node is None or self._flow.is_constant(node)

    def _reaches_file(self, node: ast.Call, name: str, method: str) -> bool:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if name in FILE_CALLS:
            return any(self._flow.is_tainted(argument) for argument in node.args[:2])
        if method in FILE_METHODS and isinstance(node.func, ast.Attribute):
            return self._flow.is_tainted(node.func.value)
        if method in ("save", "saveas") and isinstance(node.func, ast.Attribute):
            # An uploaded file stored under a name of the client's choice.
            return self._flow.is_tainted(node.func.value) and any(
                self._flow.is_tainted(argument) for argument in arguments
            )
        return False

    def _weak_secret(self, name: str, value: ast.expr) -> None:
        if not _SECRET_NAME.search(name):
            return
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and GUESSABLE.match(dotted(node.func, self._flow.names)):
                self._scan.found.append((catalogue.WEAK_RANDOM, node.lineno))
                return


def _is_guarded(function: Function) -> bool:
    called = {
        node.func.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return bool(called & GUARDS) or ("startswith" in called and bool(called & RESOLVERS))


def _opens_entities(node: ast.Call, name: str, method: str) -> bool:
    if name.startswith("lxml.") and name.endswith("XMLParser"):
        return (
            _is_set(node, "resolve_entities", True)
            or _is_set(node, "no_network", False)
            or _is_set(node, "load_dtd", True)
        )
    if method != "setFeature" or len(node.args) != 2:
        return False
    feature, value = node.args
    on = isinstance(value, ast.Constant) and bool(value.value)
    return on and any(part in ast.unparse(feature) for part in ("external_ges", "external-general"))


def _is_set(node: ast.Call, keyword: str, wanted: bool) -> bool:
    return any(
        item.arg == keyword and isinstance(item.value, ast.Constant) and item.value.value is wanted
        for item in node.keywords
    )


def _name_of(target: ast.expr) -> str:
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""
