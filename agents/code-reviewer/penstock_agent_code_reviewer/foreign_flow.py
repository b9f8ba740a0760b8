"""What a variable of another language was, and what becomes of it in the same function."""

import re
from collections.abc import Iterator

from penstock_agent_code_reviewer.foreign_text import ForeignText
from penstock_agent_code_reviewer.languages import WEB
from penstock_agent_code_reviewer.rules import Found, rule

MAX_LOOKED_AHEAD = 2_000
_LATER = r"(?:then|catch|finally)\b"


def promise_as_value(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """`const user = load(id); user.name`, where load is async: the promise has no name."""
    if source.language not in WEB:
        return
    code = source.code
    named = re.findall(r"\basync\s+function\s+(\w+)", code)
    named += re.findall(r"\b(?:const|let)\s+(\w+)\s*=\s*async\b", code)
    makers = {"fetch", *(name for name in named if named.count(name) == 1)}
    for match in re.finditer(r"\b(?:const|let|var)\s+(\w+)\s*=\s*(\w+)\(", code):
        if match[2] not in makers:
            continue
        end = source.closing(match.end() - 1)
        if not re.match(r"\s*(?:;|\n)", code[end : end + 50]):
            continue
        rest = code[end : min(block_end(code, end), end + MAX_LOOKED_AHEAD)]
        uses = re.findall(rf"\b{match[1]}\b(\??\.\w+)?", rest)
        late = re.search(rf"\b{match[1]}\.{_LATER}|(?:await|all\(\[?|return)\s*{match[1]}\b", rest)
        if uses and all(uses) and not late:
            message = f"`{match[2]}()` is not awaited: `{match[1]}` is a promise, not its result."
            yield Found(rule("missing-await"), source.line(match.start()), message=message)


def text_identity(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """`a == b` of two variables that are surely text, or surely boxed numbers."""
    if source.language != "java":
        return
    code = source.code
    declared: dict[str, set[str]] = {}
    for match in re.finditer(
        r"\b([A-Za-z][\w.]*(?:<[^<>;(){}]*>)?(?:\[\])*)\s+(\w+)\s*(?=[,;)=:])", code
    ):
        if match[1] not in ("return", "case", "throw", "else", "new", "assert"):
            declared.setdefault(match[2], set()).add(match[1])
    boxed = [{"String"}, {"Integer"}, {"Long"}, {"Double"}]
    for match in re.finditer(r"(?<![\w.])(\w+)\s*[!=]=\s*(\w+)(?![\w.(\[])", code):
        one, other = declared.get(match[1]), declared.get(match[2])
        if one == other and one in boxed and match[1] != match[2]:
            yield Found(rule("text-compared-by-identity"), source.line(match.start()))


def text_grown(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """A String that grows in a loop."""
    if source.language not in ("java", "csharp"):
        return
    code = source.code
    for match in re.finditer(r"\b[Ss]tring\s+(\w+)\s*=\s*\"\s*\"\s*;", code):
        rest = code[match.end() : block_end(code, match.end())]
        loop = re.search(r"\b(?:for|while|foreach)\s*\(", rest)
        if loop:
            grown = re.search(rf"\b{match[1]}\s*(?:\+=|=\s*{match[1]}\s*\+)", rest[loop.start() :])
            if grown:
                line = source.line(match.end() + loop.start() + grown.start())
                yield Found(rule("grown-in-loop"), line)


def nil_map(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """`var m map[string]int` and then `m["a"] = 1`."""
    if source.language != "go":
        return
    code = source.code
    for match in re.finditer(r"^[ \t]+var\s+(\w+)\s+map\[[^\n=]*$", code, re.MULTILINE):
        rest = code[match.end() : block_end(code, match.end())]
        written = re.search(rf"^\s*{match[1]}\[[^\n]*\]\s*(?:=|\+=)[^=]", rest, re.MULTILINE)
        made = re.search(
            rf"\b{match[1]}\s*(?:,[^\n=]*)?=[^=]|&{match[1]}\b|\b,\s*{match[1]}\s*=", rest
        )
        if written and (made is None or made.start() > written.start()):
            line = source.line(match.end() + written.end() - 2)
            yield Found(rule("nil-map"), line)


def go_files(source: ForeignText, is_test: bool) -> Iterator[Found]:
    """`f, err := os.Open(..)` that nobody closes; loop variables in goroutines."""
    if source.language != "go":
        return
    code = source.code
    opened = r"^[ \t]*(\w+)\s*,\s*\w+\s*:?=\s*os\.(?:Open|Create|OpenFile)\("
    for match in () if is_test else re.finditer(opened, code, re.MULTILINE):
        rest = code[match.end() : block_end(code, match.end())]
        name = re.escape(match[1])
        handed = (
            rf"{name}\.Close\b|return[^\n]*\b{name}\b|[:=]\s*&?{name}\b|\{{\s*{name}\b|append\("
        )
        if match[1] != "_" and not re.search(handed, rest):
            yield Found(
                rule("leak"), source.line(match.start() + len(match[0]) - len(match[0].lstrip()))
            )
    loops = re.finditer(r"\bfor\s+\w+\s*,\s*(\w+)\s*:=\s*range\b[^\n{]*\{", code)
    for match in loops:
        body = code[match.end() - 1 : source.closing(match.end() - 1)]
        started = re.search(r"\bgo\s+func\(\s*\)\s*\{", body)
        if started and match[1] != "_":
            inner = body[started.end() :]
            kept = re.search(rf"\b{match[1]}\s*:=\s*{match[1]}\b", body[: started.start()])
            if re.search(rf"\b{match[1]}\b", inner) and not kept:
                line = source.line(match.end() - 1 + started.start())
                yield Found(rule("loop-variable-captured"), line, severity="minor")


def block_end(code: str, at: int) -> int:
    """Offset of the bracket that closes what surrounds `at`."""
    depth = 0
    for match in re.finditer(r"[{}]", code[at:]):
        depth += 1 if match[0] == "{" else -1
        if depth < 0:
            return at + match.start()
    return len(code)


CHECKS = (promise_as_value, text_identity, text_grown, nil_map, go_files)
