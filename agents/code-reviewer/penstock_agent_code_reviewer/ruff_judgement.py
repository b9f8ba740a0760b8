"""ruff's answers in the light of their lines: what is sure, what is not, and what is noise."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from penstock_agent_code_reviewer.models import Severity
from penstock_agent_code_reviewer.python_tree import PythonFile, called, constant
from penstock_agent_code_reviewer.ruff_program import SYNTAX, Said, rules
from penstock_agent_code_reviewer.rules import Found, rule
from penstock_agent_code_reviewer.spelling import misspelt

# Names that some program puts into builtins, or that older Pythons had.
_ELSEWHERE = frozenset(
    {"_", "N_", "ngettext", "unicode", "basestring", "long", "xrange", "raw_input", "reload",
     "unichr", "cmp", "file", "execfile", "WindowsError", "buffer", "reduce", "get_ipython",
     "display", "reveal_type", "reveal_locals", "__builtins__", "profile", "intern", "apply",
     "dbutils", "spark", "sc", "Import", "Export", "Return", "Environment", "tags", "c",
     "snakemake", "__class__", "PytestPluginManager"}
)  # fmt: skip
_NAME = re.compile(r"`([^`]+)`")
# What is common and right in tests.
_NOT_IN_TESTS = frozenset(
    {"S104", "S105", "S106", "S107", "S108", "S113", "S311", "S324", "S301", "S501", "S103", "B018",
     "B015", "PLR0124", "PLR0133", "PLW0177", "F841", "E712", "E711", "B017", "S608", "S602",
     "S605", "S306", "S314", "S110", "S112", "PLW1510", "RUF069", "SIM115", "PERF401", "E731",
     "N801", "N802", "RUF059", "B008", "T201", "A001", "A002", "S506", "S202", "S307", "S102"}
)  # fmt: skip
_STILL_IN_TESTS = frozenset({"B015", "B017", "RUF069", "F841", "S506", "S307", "S102", "S501"})
_MINOR_IN_TESTS = frozenset({"S506", "S307", "S102", "S501", "F841"})
# A file of fewer lines may be an excerpt.
COMPLETE_LINES = 30
_OLD_PYTHON = re.compile(
    r"^\s*(?:print\s+[\"'\w]|exec\s+\"|raise \w+, |except [\w.]+, \w+:)", re.MULTILINE
)
_TEMPLATE = re.compile(r"\{%|\{\{")


def judged(
    said: Sequence[Said], file: PythonFile | None, text: str, is_test: bool
) -> Iterator[Found]:
    """Translate ruff's answers about one file."""
    broken = [one for one in said if one.code == SYNTAX]
    if broken:
        # What else is said of a file that does not parse is guesswork.
        yield from _syntax(broken[0], text)
        return
    undefined = {
        match[1] for one in said if one.code == "F821" and (match := _NAME.search(one.message))
    }
    for one in said:
        known = rules().get(one.code)
        if known is None or (is_test and _in_tests(one.code)):
            continue
        found = Found(known, one.line, one.end, message=one.message, detail=one.message[:80])
        better = _judge(one, found, file, undefined)
        if better is not None and is_test and one.code in _MINOR_IN_TESTS:
            better = _with(better, "minor")
        if better is not None:
            yield better


def _in_tests(code: str) -> bool:
    return code in _NOT_IN_TESTS and code not in _STILL_IN_TESTS


def _syntax(one: Said, text: str) -> Iterator[Found]:
    message = f"The file cannot be parsed: {one.message[:150]}."
    foreign = _OLD_PYTHON.search(text) or _TEMPLATE.search(text)
    yield Found(
        rule("syntax-error"), one.line, one.end, message, severity="minor" if foreign else None
    )


def _with(found: Found, severity: Severity) -> Found:
    return replace(found, severity=severity)


# Said better elsewhere: secrets_found.py judges values, python_exposure.py what is not constant.
_LEFT_TO_OTHERS = frozenset({"S105", "S106", "S107", "S602", "S605", "S201"})
_ABOUT_CALLS = frozenset({"S307", "S102", "S608", "S301", "S302", "S506", "S324"})


def _judge(one: Said, found: Found, file: PythonFile | None, undefined: set[str]) -> Found | None:
    if one.code in _LEFT_TO_OTHERS:
        return None
    if one.code == "F821":
        return _undefined(one, found, file, undefined)
    if one.code in _ABOUT_CALLS:
        return _security(one, found, file)
    if file is not None and one.code in ("B018", "F811", "F401"):
        return _in_context(one, found, file)
    return _by_message(one, found)


def _in_context(one: Said, found: Found, file: PythonFile) -> Found | None:
    if one.code == "F811":
        return _redefined(one, found, file)
    if one.code == "B018":
        return found if _is_forgotten_call(one, file) else None
    return None if file.name.endswith("__init__.py") else found  # there imports are exports


def _by_message(one: Said, found: Found) -> Found | None:
    match one.code:
        case "PLR0124":
            return _with(found, "minor") if "!=" in one.message else found
        case "B008":
            moment = re.search(r"now|today|time|uuid|random", one.message)
            return _with(found, "major") if moment else found
        case "T100":
            plain = "breakpoint" in one.message or "`pdb.set_trace" in one.message
            return found if plain and "Import" not in one.message else _with(found, "minor")
        case "S103":
            mask = re.search(r"0o(\d+)", one.message)
            return found if mask and int(mask[1][-1], 8) & 2 else None
        case "A001" | "A002":
            name = _NAME.search(one.message)
            return found if name and name[1] in ("list", "dict", "set", "str", "type") else None
        case _:
            return found


def _undefined(
    one: Said, found: Found, file: PythonFile | None, undefined: set[str]
) -> Found | None:
    match = _NAME.search(one.message)
    name = match[1] if match else ""
    if name in _ELSEWHERE or file is None:
        return _with(found, "minor")
    if any(called(node) in ("exec", "globals", "locals", "vars") for node in file.nodes):
        return _with(found, "major")
    # In an annotation, and in text that is one, it fails only where somebody evaluates it.
    for node in file.nodes:
        if isinstance(node, ast.Name) and node.lineno == one.line and node.id == name:
            sure = not _annotates(file, node) and _surely_missing(name, file, undefined)
            return found if sure else _with(found, "major")
    return _with(found, "major")


def _surely_missing(name: str, file: PythonFile, undefined: set[str]) -> bool:
    """A misspelling, a forgotten import, or the only such name of a file that is complete.

    An excerpt, a script for some host program or a file of examples uses several names that
    come from elsewhere.
    """
    if misspelt(name, file.bound_at_all) is not None:
        return True
    imports = any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in file.nodes)
    if len(undefined) > 1 or not imports:
        return False
    return name in sys.stdlib_module_names or len(file.lines) >= COMPLETE_LINES


def _annotates(file: PythonFile, node: ast.AST) -> bool:
    child = node
    for parent in file.above(node):
        if isinstance(parent, ast.arg):
            return True
        if isinstance(parent, ast.AnnAssign):
            return child is parent.annotation
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return child is parent.returns
        if isinstance(parent, ast.stmt):
            return False
        child = parent
    return False


def _redefined(one: Said, found: Found, file: PythonFile) -> Found | None:
    """Redefining on purpose is by decorator, condition or version."""
    for node in file.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.lineno <= one.line <= node.body[0].lineno and node.decorator_list:
                return None
            if node.lineno == one.line:
                return found
    return _with(found, "minor")  # an import that comes twice


def _security(one: Said, found: Found, file: PythonFile | None) -> Found | None:
    call = _call_at(one, file)
    if one.code == "S608":
        return _with(found, "minor")  # built_statement judges where it is executed
    if one.code in ("S301", "S302") and "marshal" in one.message:
        return _with(found, "minor")
    if call is None:
        return found
    first = call.args[0] if call.args else None
    if one.code in ("S307", "S102"):
        if isinstance(constant(first), str):
            return _with(found, "minor")
        plain = isinstance(first, (ast.Name, ast.JoinedStr, ast.BinOp))
        sure = plain and _from_parameter(file, first, call)
        return _with(found, "critical") if sure else found
    if one.code == "S324":
        return None if "usedforsecurity=False" in ast.unparse(call) else found
    return found


def _call_at(one: Said, file: PythonFile | None) -> ast.Call | None:
    if file is None:
        return None
    for node in file.nodes:
        if not isinstance(node, ast.Call):
            continue
        begins = {(part.lineno, part.col_offset + 1) for part in (node, node.func)}
        if (one.line, one.column) in begins:
            return node
    return None


def _from_parameter(file: PythonFile | None, node: ast.AST | None, place: ast.AST) -> bool:
    """Whether a value is a parameter of the function around, or was made from one."""
    if file is None or node is None:
        return False
    scope = file.scope(place)
    if scope is None:
        return False
    given = {one.arg for one in (*scope.args.args, *scope.args.kwonlyargs)} - {"self", "cls"}
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return bool(names & given)


def _is_forgotten_call(one: Said, file: PythonFile) -> bool:
    return any(
        isinstance(node, ast.Expr)
        and node.lineno == one.line
        and not isinstance(node.value, (ast.Constant, ast.Subscript, ast.Name))
        for node in file.nodes
    )
