"""What is laid open: debuggers, shells, secrets in logs, text in pages, entities in XML."""

import ast
import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_security import REQUEST
from penstock_agent_code_reviewer.python_tree import (
    PythonFile,
    called,
    constant,
    keyword,
    last_name,
    within,
)
from penstock_agent_code_reviewer.rules import Found, rule

_SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "commands.getoutput"})
_STARTERS = frozenset({"subprocess.run", "subprocess.call", "subprocess.Popen",
                       "subprocess.check_output", "subprocess.check_call"})  # fmt: skip
_LOGS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})
_SECRET = re.compile(r"(?i)(?:^|_)(?:password|passwd|pwd|secret|api_?key|private_?key)$")
_SECRET_MAKER = re.compile(r"(?i)token|secret|password|otp|session_?id|api_?key|nonce")


def shell(file: PythonFile) -> Iterator[Found]:
    """A shell command built from text that is not constant."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = called(node)
        by_shell = name in _STARTERS and constant(keyword(node, "shell")) is True
        if not (name in _SHELLS or by_shell) or not _built(node.args[0]):
            continue
        names = {one.id for one in ast.walk(node.args[0]) if isinstance(one, ast.Name)}
        scope = file.scope(node)
        given = {one.arg for one in scope.args.args} if scope is not None else set[str]()
        quoted = "quote(" in ast.unparse(node.args[0])
        if not quoted and any(not one.isupper() for one in names):
            sure = bool(names & (given - {"self", "cls"}))
            yield Found(
                rule("shell-injection"),
                node.lineno,
                end=node.end_lineno or 0,
                severity="critical" if sure else None,
            )


def _built(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(one, ast.FormattedValue) for one in node.values)
    if isinstance(node, ast.BinOp):
        return any(isinstance(one, (ast.Constant, ast.JoinedStr)) for one in ast.walk(node))
    return last_name(node) == "format" and isinstance(node, ast.Call)


def debugger(file: PythonFile) -> Iterator[Found]:
    """`app.run(debug=True)`."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or called(node) not in ("app.run", "application.run"):
            continue
        if constant(keyword(node, "debug")) is True and not file.is_test:
            yield Found(rule("debug-in-production"), node.lineno, end=node.end_lineno or 0)


def logged(file: PythonFile) -> Iterator[Found]:
    """A password among the arguments of a log call."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or last_name(node) not in _LOGS or file.is_test:
            continue
        owner = called(node).rpartition(".")[0].lower()
        if not owner.endswith(("logging", "logger", "log", "_log")):
            continue
        parts = [*node.args, *(one.value for one in node.keywords)]
        shown = [one for part in parts for one in _shown(part)]
        if any(_SECRET.search(one) for one in shown):
            yield Found(rule("secret-logged"), node.lineno, end=node.end_lineno or 0)


def _shown(node: ast.expr) -> Iterator[str]:
    """Names whose values become part of a message."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        yield last_name(node)
    elif isinstance(node, ast.JoinedStr):
        for one in node.values:
            if isinstance(one, ast.FormattedValue):
                yield from _shown(one.value)
    elif isinstance(node, ast.BinOp):
        yield from _shown(node.left)
        yield from _shown(node.right)
    elif isinstance(node, ast.Tuple):
        for one in node.elts:
            yield from _shown(one)


def page(file: PythonFile) -> Iterator[Found]:
    """Text of a request in a page that is put together by hand."""
    for function in file.functions:
        for node in within(function.body):
            if isinstance(node, ast.Return) and isinstance(node.value, (ast.JoinedStr, ast.BinOp)):
                parts = list(ast.walk(node.value))
                texts = [constant(one) for one in parts if isinstance(one, ast.Constant)]
                markup = any(isinstance(one, str) and re.search(r"<\w+", one) for one in texts)
                asked = any(
                    isinstance(one, (ast.Call, ast.Subscript, ast.Attribute))
                    and REQUEST.match(ast.unparse(one))
                    for one in parts
                )
                if markup and asked and "escape(" not in ast.unparse(node):
                    yield Found(rule("unescaped-html"), node.lineno, severity="critical")


def entities(file: PythonFile) -> Iterator[Found]:
    """An XML parser that is told to resolve entities."""
    for node in file.nodes:
        if isinstance(node, ast.Call) and last_name(node) == "XMLParser" and not file.is_test:
            loose = constant(keyword(node, "resolve_entities")) is True
            loose = loose or constant(keyword(node, "no_network")) is False
            if loose or constant(keyword(node, "load_dtd")) is True:
                yield Found(rule("unsafe-xml"), node.lineno, severity="critical")


def guessable(file: PythonFile) -> Iterator[Found]:
    """A function named after a secret that returns what random gives."""
    for function in file.functions:
        if not _SECRET_MAKER.search(function.name) or file.is_test:
            continue
        text = ast.unparse(function)
        if "SystemRandom" in text or "secrets." in text:
            continue
        for node in within(function.body):
            if isinstance(node, ast.Return) and node.value is not None:
                guess = any(called(one).startswith("random.") for one in ast.walk(node.value))
                if guess:
                    yield Found(rule("guessable-secret"), node.lineno)


CHECKS = (shell, debugger, logged, page, entities, guessable)
