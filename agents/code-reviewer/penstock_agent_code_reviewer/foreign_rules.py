"""Rules for JavaScript, TypeScript, Go, Java and their like: patterns, and blocks in braces."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

from penstock_agent_code_reviewer import foreign_flow
from penstock_agent_code_reviewer.foreign_text import ForeignText
from penstock_agent_code_reviewer.languages import WEB
from penstock_agent_code_reviewer.models import Severity
from penstock_agent_code_reviewer.rules import Found, Rule, rule, table

MAX_FOUND = 500
_LOOP = re.compile(r"\b(?:for|while)\b[^{};]*(?:;[^{};]*){0,2}\{")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of `patterns.toml`."""

    rule: Rule
    languages: frozenset[str]
    reading: str
    pattern: re.Pattern[str]
    but: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    unless_raw: re.Pattern[str] | None
    tests: bool
    only_tests: bool
    severity: Severity | None
    at_end: bool


@cache
def patterns() -> tuple[Pattern, ...]:
    """The entries of `patterns.toml`."""
    entries = cast("Sequence[Mapping[str, object]]", table("patterns.toml")["pattern"])
    return tuple(
        Pattern(
            rule=rule(str(one["rule"])),
            languages=frozenset(cast("Sequence[str]", one["languages"])),
            reading=str(one["on"]),
            pattern=re.compile(str(one["pattern"]), re.MULTILINE),
            but=_compiled(one.get("not")),
            unless=_compiled(one.get("unless")),
            unless_raw=_compiled(one.get("unless_raw")),
            tests=bool(one.get("tests", True)),
            only_tests=bool(one.get("only_tests", False)),
            severity=cast("Severity | None", one.get("severity")),
            at_end=one.get("at") == "end",
        )
        for one in entries
    )


def _compiled(text: object) -> re.Pattern[str] | None:
    return re.compile(str(text)) if text is not None else None


def foreign(source: ForeignText, is_test: bool) -> Iterator[Found]:
    """All rules over one file."""
    for one in patterns():
        if source.language in one.languages and (one.tests if is_test else not one.only_tests):
            yield from _by_pattern(one, source)
    for check in _BLOCKS:
        yield from check(source, is_test)


def _by_pattern(one: Pattern, source: ForeignText) -> Iterator[Found]:
    reading = {"code": source.code, "text": source.text, "raw": source.raw}[one.reading]
    if one.unless is not None and one.unless.search(reading):
        return
    for number, match in enumerate(one.pattern.finditer(reading)):
        if number >= MAX_FOUND:
            return
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        if one.but is not None:
            begin = reading.rfind("\n", 0, start) + 1
            line = reading[begin : (reading.find("\n", match.end()) + 1 or len(reading))]
            if one.but.search(line) or one.but.search(reading[begin:start]):
                continue
        if one.unless_raw is not None and one.unless_raw.search(
            source.raw[match.start() : match.end()]
        ):
            continue
        first, last = source.line(start), source.line(match.end() - 1)
        yield Found(one.rule, last if one.at_end else first, last, severity=one.severity)


def _loops(source: ForeignText) -> Iterator[tuple[int, int, int]]:
    """Begin of each loop, and begin and end of its body."""
    for number, match in enumerate(_LOOP.finditer(source.code)):
        if number >= MAX_FOUND:
            return
        opening = match.end() - 1
        yield match.start(), opening, source.closing(opening)


def in_loops(source: ForeignText, is_test: bool) -> Iterator[Found]:
    """What costs too much, or waits too long, inside a loop."""
    wanted = [(name, re.compile(text)) for name, text in _IN_LOOP.get(source.language, ())]
    seen: set[tuple[str, int]] = set()
    for _, opening, end in _loops(source) if wanted and not is_test else ():
        body = source.code[opening:end]
        for name, pattern in wanted:
            for match in pattern.finditer(body):
                line = source.line(opening + match.start() + _blank(match[0]))
                if (name, line) not in seen and not _deferred(body, match.start(), source.language):
                    seen.add((name, line))
                    yield Found(rule(name), line)


def _blank(text: str) -> int:
    return len(text) - len(text.lstrip())


def _deferred(body: str, at: int, language: str) -> bool:
    """Whether a function begins between the loop and the place: it runs another time."""
    opener = r"func\s*\(" if language == "go" else r"=>\s*\{|\bfunction\b"
    return bool(re.search(opener, body[:at]))


_QUERY = (
    r"\b(?:db|conn|client|pool|tx|repo(?:sitory)?|prisma\.\w+|\w*[Rr]epository|\w*Dao|knex|pg)"
    r"\.{}\("
)
_IN_LOOP: dict[str, tuple[tuple[str, str], ...]] = {
    "javascript": (
        ("query-in-loop", _QUERY.format(r"(?:query|findOne|findUnique|findById|execute)")),
        ("await-in-loop", r"(?<!for )\bawait\s+fetch\("),
    ),
    "typescript": (
        ("query-in-loop", _QUERY.format(r"(?:query|findOne|findUnique|findById|execute)")),
        ("await-in-loop", r"(?<!for )\bawait\s+fetch\("),
    ),
    "go": (
        ("defer-in-loop", r"\bdefer\s"),
        ("query-in-loop", _QUERY.format(r"(?:Query|QueryRow|Exec)(?:Context)?")),
    ),
    "java": (
        (
            "query-in-loop",
            _QUERY.format(r"(?:findById|findOne|executeQuery|getById|queryForObject)"),
        ),
    ),
    "kotlin": (("query-in-loop", _QUERY.format(r"(?:findById|findOne|executeQuery)")),),
}


def removed_while_iterated(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """`for (X x : list) { list.remove(x); }` throws in its next turn."""
    if source.language not in ("java", "kotlin", "csharp"):
        return
    header = re.compile(
        r"\b(?:for|foreach)\s*\([^():;]*(?::|\bin\b)\s*(\w+)(?:\.\w+\(\))?\s*\)\s*\{"
    )
    for match in header.finditer(source.code):
        opening = match.end() - 1
        body = source.code[opening : source.closing(opening)]
        change = re.search(rf"\b{re.escape(match[1])}\.(?:remove|add|Remove|Add)\(", body)
        if change and not re.match(r"[^;]*;\s*(?:break|return)\b", body[change.start() :]):
            yield Found(
                rule("changed-while-iterated"),
                source.line(opening + change.start()),
                message=f"`{match[1]}` changes while the loop walks over it.",
            )


def go_blocks(source: ForeignText, is_test: bool) -> Iterator[Found]:
    """Results used before their error, bodies never closed, loop variables captured."""
    if source.language != "go":
        return
    code = source.code
    call = re.compile(r"^[ \t]*(\w+)\s*,\s*(err\w*)\s*:?=\s*([\w.]+)\(", re.MULTILINE)
    for match in call.finditer(code):
        after = code[match.end() : match.end() + 4_000]
        follows = after[after.find("\n") + 1 :]
        use = re.match(rf"\s*defer\s+{match[1]}\.", follows)
        if use and match[1] != "_":
            line = source.line(match.end() + after.find("\n") + 1 + use.end() - 1)
            yield Found(rule("error-after-use"), line)
        fetches = match[3] in ("http.Get", "http.Post", "http.DefaultClient.Do", "client.Do")
        if fetches and match[1] != "_" and not is_test:
            end = re.search(r"^\}", code[match.end() :], re.MULTILINE)
            rest = code[match.end() : match.end() + end.start()] if end else after
            handed = re.search(rf"return\s+{match[1]}\b|\({match[1]}[,)]", rest)
            if f"{match[1]}.Body.Close" not in rest and not handed:
                yield Found(rule("body-not-closed"), source.line(match.start() + _blank(match[0])))
    lock = re.compile(r"^[ \t]*([\w.]+)\.(R?Lock)\(\)[ \t]*$", re.MULTILINE)
    for match in lock.finditer(code):
        end = re.search(r"^\}", code[match.end() :], re.MULTILINE)
        rest = code[match.end() : match.end() + end.start()] if end else ""
        unlock = match[2].replace("Lock", "Unlock")
        wrapper = re.search(r"func\s+\([^)]*\)\s+R?Lock\(", code[: match.start()][-200:])
        if rest and f"{match[1]}.{unlock}(" not in rest and not wrapper:
            yield Found(rule("lock-kept"), source.line(match.start() + _blank(match[0])))


def tests_without_assert(source: ForeignText, is_test: bool) -> Iterator[Found]:
    """A test of another language that checks nothing."""
    if not is_test:
        return
    if source.language in WEB:
        header = re.compile(
            r"\b(?:it|test)\(\s*['\"`]\s*['\"`]\s*,\s*(?:async\s*)?(?:\(\w*\)|\w+|function\s*\(\w*\))\s*(?:=>)?\s*(\{)"
        )
        checks = r"expect|assert|should|\bt\.|verify|done|sinon|snapshot|throw|cy\."
    elif source.language == "go":
        header = re.compile(r"\bfunc\s+Test\w*\(\s*\w+\s+\*testing\.T\s*\)\s*(\{)")
        checks = r"\b(?:t|tt|tb)\.|assert|require|check|verify|expect|[(, ]t[,)]"
    elif source.language == "java":
        header = re.compile(r"@Test\b[^{;]*?\bvoid\s+\w+\s*\([^)]*\)[^{;]*(\{)")
        checks = r"(?i)assert|verify|expect|fail\(|should|\.andexpect|check|throw"
    else:
        return
    for match in header.finditer(source.code):
        body = source.code[match.start(1) : source.closing(match.start(1))]
        expected = "expected" in match[0] or _calls_own(source.code, body)
        if not re.search(checks, body) and not expected:
            yield Found(
                rule("test-without-assert"), source.line(match.start()), source.line(match.end())
            )


def _calls_own(code: str, body: str) -> bool:
    """Whether a test calls a function of its own file: that may check."""
    names = set(re.findall(r"\b(\w+)\(", body))
    own = r"(?:\bfunc(?:tion)?\s+|\bvoid\s+|\b(?:static|private)\s[^;{}()]*?)(\w+)\s*\("
    return bool(names & set(re.findall(own, code)))


def java_blocks(source: ForeignText, _is_test: bool) -> Iterator[Found]:
    """Equals without hashCode; streams opened and never closed."""
    if source.language != "java":
        return
    code = source.code
    equals = re.search(r"\bpublic\s+boolean\s+equals\(\s*(?:final\s+)?Object\b", code)
    if equals and not re.search(r"\bint\s+hashCode\(", code):
        yield Found(rule("equals-without-hash"), source.line(equals.start()))
    opened = re.compile(
        r"^[ \t]*(?:final\s+)?[\w<>]+\s+(\w+)\s*=\s*new\s+(?:File(?:Input|Output)Stream|FileReader"
        r"|FileWriter|BufferedReader|BufferedWriter|PrintWriter|Socket|Scanner|RandomAccessFile"
        r"|ZipInputStream)\(",
        re.MULTILINE,
    )
    for match in opened.finditer(code):
        rest = code[match.end() : foreign_flow.block_end(code, match.end())]
        handed = re.search(rf"return\s+{match[1]}\b|[(,]\s*{match[1]}\s*[,)]", rest)
        if f"{match[1]}.close(" not in rest and not handed and "System.in" not in match[0]:
            yield Found(rule("leak"), source.line(match.start() + _blank(match[0])))


_BLOCKS: tuple[Callable[[ForeignText, bool], Iterator[Found]], ...] = (
    in_loops,
    removed_while_iterated,
    go_blocks,
    tests_without_assert,
    java_blocks,
    *foreign_flow.CHECKS,
)
