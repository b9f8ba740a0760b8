"""Text taken for something else: numbers, bytes, lists, patterns, programs."""

import ast
import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.python_calls import expects_failure
from penstock_agent_code_reviewer.python_tree import (
    PythonFile,
    called,
    constant,
    len_of,
)
from penstock_agent_code_reviewer.rules import Found, rule

MAX_PATTERN_CHARS = 500


_DIGESTS = frozenset(f"hashlib.{name}" for name in ("md5", "sha1", "sha224", "sha256", "sha384",
                                                    "sha512", "blake2b", "blake2s"))  # fmt: skip


_RE_FUNCTIONS = frozenset({"re.compile", "re.match", "re.search", "re.fullmatch", "re.findall",
                           "re.finditer", "re.sub", "re.split", "re.subn"})  # fmt: skip


# A repeated group of one repeated atom, and others that may be absent: (a+)+, (\w+\s?)*.
_ATOM = r"(?:\\[wWdDsS]|\[[^\]]*\]|\w|\.)"


_NESTED_REPEAT = re.compile(
    rf"\((?:\?:)?{_ATOM}[+*](?:{_ATOM}[*?])?\)[+*]|\((?:\?:)?(\w)\|\1\)[+*]"
)


def mixed_addition(file: PythonFile) -> Iterator[Found]:
    """`"text" + 1` and `"text" + len(x)` fail."""
    for node in file.nodes:
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                if (_textual(left) and _numeric(right)) or (_numeric(left) and _textual(right)):
                    yield Found(rule("text-plus-number"), node.lineno)
            case _:
                pass


def _textual(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _textual(node.left) or _textual(node.right)
    return isinstance(node, ast.JoinedStr) or isinstance(constant(node), str)


def _numeric(node: ast.expr) -> bool:
    value = constant(node)
    number = isinstance(value, int | float)
    return number or len_of(node) is not None or called(node) in ("int", "float")


def broken_pattern(file: PythonFile) -> Iterator[Found]:
    """A regular expression that does not compile, or that takes exponential time."""
    for node in file.nodes:
        if not isinstance(node, ast.Call) or called(node) not in _RE_FUNCTIONS or not node.args:
            continue
        pattern = constant(node.args[0])
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS:
            continue
        if "VERBOSE" in ast.unparse(node) or "re.X" in ast.unparse(node):
            continue
        if _NESTED_REPEAT.search(pattern):
            yield Found(rule("exponential-pattern"), node.lineno)
        fault = _pattern_fault(pattern)
        if fault and not expects_failure(file, node):
            message = f"The pattern does not compile: {fault}."
            yield Found(rule("broken-pattern"), node.lineno, message=message)


def _pattern_fault(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    except (RecursionError, OverflowError):
        return ""
    return ""


def text_program(file: PythonFile) -> Iterator[Found]:
    """`subprocess.run("ls -l")` without a shell looks for a program of that whole name."""
    names = ("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.Popen",
             "subprocess.check_output")  # fmt: skip
    for node in file.nodes:
        if isinstance(node, ast.Call) and called(node) in names and len(node.args) == 1:
            command = constant(node.args[0])
            plain = not any(one.arg in ("shell", "executable", None) for one in node.keywords)
            if plain and isinstance(command, str) and " -" in command and "\\" not in command:
                yield Found(rule("text-program"), node.lineno)


def text_hash(file: PythonFile) -> Iterator[Found]:
    """`hashlib.sha256("text")` wants bytes."""
    for node in file.nodes:
        if isinstance(node, ast.Call) and called(node).startswith("hashlib.") and node.args:
            first = node.args[0]
            if called(node) in _DIGESTS and _textual(first):
                yield Found(rule("text-not-bytes"), node.lineno)


def missing_comma(file: PythonFile) -> Iterator[Found]:
    """Two words of a list that run together, because no comma stands between their lines."""
    for node in file.nodes:
        if not isinstance(node, (ast.List, ast.Tuple, ast.Set)) or len(node.elts) < 2:
            continue
        if not all(isinstance(constant(one), str) for one in node.elts):
            continue
        for one in node.elts:
            if one.lineno != one.end_lineno and _run_together(file, one):
                yield Found(rule("missing-comma"), one.lineno, end=one.end_lineno or 0)


def _run_together(file: PythonFile, node: ast.expr) -> bool:
    """Whether every part of a text looks like a word of its own."""
    parts = [line.strip() for line in file.lines[node.lineno - 1 : node.end_lineno]]
    words = [
        re.fullmatch(r"[\[({]?([\"'])([\w./:@-]+)\1[\])},]*(?:\s*#.*)?", part) for part in parts
    ]
    return all(words) and not any(part.startswith("(") for part in parts[:1])


def text_membership(file: PythonFile) -> Iterator[Found]:
    """`x in ("abc")`: the parentheses make no tuple, so letters are looked for."""
    for node in file.nodes:
        match node:
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Constant() as right]):
                line = file.lines[right.lineno - 1] if right.lineno <= len(file.lines) else ""
                before = line.encode()[: right.col_offset].rstrip()
                after = line.encode()[right.end_col_offset :].lstrip()
                alone = before.endswith(b"(") and before[:-1].rstrip().endswith(b"in")
                if isinstance(right.value, str) and alone and after[:1] == b")":
                    yield Found(rule("text-membership"), node.lineno)
            case _:
                pass


def environment_flag(file: PythonFile) -> Iterator[Found]:
    """`if os.environ.get("DEBUG", False)`: the text "false" is true; `bool("0")` too."""
    for node in file.nodes:
        if not (isinstance(node, ast.Call) and called(node) == "bool" and len(node.args) == 1):
            continue
        if called(node.args[0]) in ("os.environ.get", "os.getenv"):
            yield Found(rule("text-as-bool"), node.lineno)


CHECKS = (
    missing_comma,
    mixed_addition,
    broken_pattern,
    text_program,
    text_hash,
    text_membership,
    environment_flag,
)
