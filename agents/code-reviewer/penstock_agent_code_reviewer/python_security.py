"""What others could make the program do: data from outside in dangerous places."""

import ast
import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.models import Severity
from penstock_agent_code_reviewer.python_tree import (
    FUNCTIONS,
    Function,
    PythonFile,
    called,
    constant,
    dotted,
    keyword,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_STATEMENT = re.compile(
    r"^\s*(?:select\s.+?\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s"
    r"|replace\s+into\s|drop\s+table\s|with\s+\w+\s+as\s)",
    re.IGNORECASE | re.DOTALL,
)
_VALUE_BEFORE = re.compile(
    r"(?:=|<|>|\blike|\bin\s*\(|\bvalues\s*\(.*|'|\"|%)\s*['\"%(]*$", re.IGNORECASE | re.DOTALL
)
REQUEST = re.compile(
    r"^(?:flask\.)?(?:self\.)?request\.(?:args|form|values|json|data|cookies|headers|files|GET|POST"
    r"|query_params|get_json|get_data|body|params|query|match_info|rel_url|META|FILES)\b"
)
_SINKS = {
    "eval": "code-injection",
    "exec": "code-injection",
    "os.system": "command-injection",
    "os.popen": "command-injection",
    "subprocess.getoutput": "command-injection",
    "subprocess.getstatusoutput": "command-injection",
    "asyncio.create_subprocess_shell": "command-injection",
    "pickle.loads": "unsafe-deserialisation",
    "pickle.load": "unsafe-deserialisation",
    "marshal.loads": "unsafe-deserialisation",
    "yaml.load": "unsafe-deserialisation",
    "open": "path-traversal",
    "send_file": "path-traversal",
    "os.remove": "path-traversal",
    "os.unlink": "path-traversal",
    "shutil.rmtree": "path-traversal",
    "render_template_string": "template-injection",
    "Template": "template-injection",
    "jinja2.Template": "template-injection",
    "requests.get": "request-forgery",
    "requests.post": "request-forgery",
    "urllib.request.urlopen": "request-forgery",
    "httpx.get": "request-forgery",
    "redirect": "open-redirect",
}
_CLEANERS = frozenset({"int", "float", "bool", "shlex.quote", "quote", "secure_filename", "escape",
                       "html.escape", "safe_join", "os.path.basename", "basename", "len",
                       "literal_eval", "ast.literal_eval", "UUID", "uuid.UUID"})  # fmt: skip
_STATEMENTS = frozenset({"execute", "executemany", "executescript", "raw", "text", "read_sql",
                         "read_sql_query", "fetch", "fetchrow", "fetchval", "query"})  # fmt: skip
_SHELLS = ("subprocess.run", "subprocess.call", "subprocess.Popen", "subprocess.check_output",
           "subprocess.check_call")  # fmt: skip


def outside_data(file: PythonFile) -> Iterator[Found]:
    """Text of a request that reaches a place where it is executed, opened or fetched."""
    for function in file.functions:
        tainted = _tainted(function)
        for node in within(function.body):
            if not isinstance(node, ast.Call):
                continue
            name = called(node)
            kind = _SINKS.get(name, "")
            if name in _SHELLS and constant(keyword(node, "shell")) is True:
                kind = "command-injection"
            if kind == "unsafe-deserialisation" and "Safe" in ast.unparse(node):
                kind = ""
            if kind and node.args and _dirty(node.args[0], tainted):
                yield Found(rule(kind), node.lineno, end=node.end_lineno or 0)


def _tainted(function: Function) -> set[str]:
    """Names that hold text from outside; two passes, for what is made from them."""
    tainted: set[str] = set()
    if any("route" in ast.unparse(one) for one in function.decorator_list):
        tainted |= {
            one.arg
            for one in function.args.args
            if one.annotation is None or ast.unparse(one.annotation) == "str"
        } - {"self", "request", "db", "session"}
    checked = {
        one.id
        for node in within(function.body)
        if isinstance(node, ast.If)
        for one in ast.walk(node.test)
        if isinstance(one, ast.Name)
    }
    for _ in range(2):
        for node in within(function.body):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    if _dirty(value, tainted):
                        tainted.add(name)
                case _:
                    pass
    return tainted - checked


def _dirty(node: ast.expr, tainted: set[str]) -> bool:
    if isinstance(node, ast.Call) and called(node) in _CLEANERS:
        return False
    if isinstance(node, ast.Name):
        return node.id in tainted
    if isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        text = ast.unparse(node)
        if REQUEST.match(text) or text == "input()" or text.startswith("input("):
            return True
    if isinstance(node, (ast.Compare, ast.Lambda)):
        return False
    return any(
        _dirty(child, tainted)
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.expr)
    )


def built_statement(file: PythonFile) -> Iterator[Found]:
    """A database statement with values put into its text."""
    for node in file.nodes:
        if not (isinstance(node, ast.Call) and node.args and last_name(node) in _STATEMENTS):
            continue
        for place, severity in _built(file, node):
            end = place.end_lineno or 0
            yield Found(rule("sql-injection"), place.lineno, end=end, severity=severity)


def _built(file: PythonFile, call: ast.Call) -> Iterator[tuple[ast.expr, Severity]]:
    """Where a statement is built, in the call or before it in the same function.

    `critical` where a value is put in, `major` where it may be a name.
    """
    first = call.args[0]
    if not isinstance(first, ast.Name):
        severity = _put_in(first)
        if severity is not None:
            yield call, severity
        return
    scope = file.scope(call)
    body = scope.body if isinstance(scope, FUNCTIONS) else file.tree.body
    for one in within(body):
        if not isinstance(one, (ast.Assign, ast.AugAssign)):
            continue
        targets = one.targets if isinstance(one, ast.Assign) else [one.target]
        if any(isinstance(target, ast.Name) and target.id == first.id for target in targets):
            severity = _put_in(one.value)
            if severity is not None:
                yield one.value, severity


def _put_in(node: ast.expr) -> Severity | None:
    parts = list(_parts(node))
    text = "".join(part for part in parts if isinstance(part, str))
    if not _STATEMENT.search(text + " ") or all(isinstance(part, str) for part in parts):
        return None
    judged: Severity | None = None
    before = ""
    for part in parts:
        if isinstance(part, str):
            before += part
            continue
        if _harmless(part):
            before += "x"
            continue
        if _VALUE_BEFORE.search(before[-200:]):
            return "critical"
        judged = "major"
        before += "x"
    return judged


def _harmless(node: ast.expr) -> bool:
    name = dotted(node).rpartition(".")[2]
    if name.isupper() or isinstance(node, ast.Constant):
        return True
    if called(node) in ("int", "float", "len", "sql.Identifier", "str.join"):
        return True
    text = ast.unparse(node)
    return "join" in text and ("?" in text or "%s" in text or "placeholder" in text.lower())


def _parts(node: ast.expr) -> Iterator[str | ast.expr]:
    """Constant text and what is put between, in order."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=values):
            for one in values:
                yield from _parts(one.value if isinstance(one, ast.FormattedValue) else one)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _parts(left)
            yield from _parts(right)
        case ast.BinOp(left=ast.Constant(value=str() as text), op=ast.Mod(), right=right):
            given = iter(right.elts if isinstance(right, ast.Tuple) else [right])
            yield from _filled(re.split(r"%(?:\(\w+\))?[sdr]", text), given, right)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format")):
            given = iter([*node.args, *(one.value for one in node.keywords)])
            yield from _filled(re.split(r"\{[^{}]*\}", text), given, ast.Name("value"))
        case _:
            yield node


def _filled(
    texts: list[str], given: Iterator[ast.expr], otherwise: ast.expr
) -> Iterator[str | ast.expr]:
    yield texts[0]
    for text in texts[1:]:
        yield next(given, otherwise)
        yield text


def weak_token(file: PythonFile) -> Iterator[Found]:
    """A secret made with a generator that can be predicted, a password with a fast digest."""
    for node in file.nodes:
        if isinstance(node, ast.Assign):
            targets = " ".join(ast.unparse(one) for one in node.targets).lower()
            secret = re.search(
                r"token|secret|password|session_?id|otp|nonce|salt|api_?key", targets
            )
            guess = [
                called(one)
                for one in ast.walk(node.value)
                if called(one).startswith("random.") and called(one) != "random.SystemRandom"
            ]
            system = "SystemRandom" in ast.unparse(node.value)
            if secret and guess and not system and not file.is_test:
                yield Found(rule("guessable-secret"), node.lineno, end=node.end_lineno or 0)
        elif (
            isinstance(node, ast.Call) and called(node) in _FAST and node.args and not file.is_test
        ):
            text = ast.unparse(node.args[0]).lower()
            if re.search(r"passw|pwd\b|\bpw\b", text):
                yield Found(rule("weak-password-hash"), node.lineno)


_FAST = frozenset(
    {"hashlib.md5", "hashlib.sha1", "hashlib.sha256", "hashlib.sha512", "md5", "sha1"}
)


def unverified(file: PythonFile) -> Iterator[Found]:
    """Signatures, certificates and names that are not checked."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or file.is_test:
            continue
        name = called(node)
        if name in ("jwt.decode", "jose.jwt.decode"):
            options = keyword(node, "options")
            off = options is not None and "'verify_signature': False" in ast.unparse(options)
            if off or constant(keyword(node, "verify")) is False:
                yield Found(rule("unverified-signature"), node.lineno)
            algorithms = keyword(node, "algorithms")
            if algorithms is not None and "'none'" in ast.unparse(algorithms).lower():
                yield Found(rule("unverified-signature"), node.lineno)
        elif name == "hmac.compare_digest":
            continue
        elif name.endswith(".set_ciphers") and "NULL" in ast.unparse(node):
            yield Found(rule("weak-tls"), node.lineno)
        elif name == "tempfile.mktemp":
            yield Found(rule("predictable-temporary-file"), node.lineno)


CHECKS = (outside_data, built_statement, weak_token, unverified)
