"""Holding what a run does against the tables of its language."""

import re
from collections.abc import Iterable

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.flow.evidence import (
    accepts,
    does_nothing,
    holds,
    is_wrong,
    line_of,
    parts_of,
    start_of,
)
from penstock_agent_security_scanner.languages.flow.frames import Frame, Watch
from penstock_agent_security_scanner.languages.flow.program import (
    Call,
    Function,
    Index,
    Leave,
    Record,
    Set,
)
from penstock_agent_security_scanner.languages.flow.tables import (
    ALL_ARGUMENTS,
    Sink,
    Table,
    Wrong,
    harms,
)
from penstock_agent_security_scanner.languages.flow.values import (
    BIT,
    BUILT,
    LOCAL,
    ORIGINS,
    REMOTE,
    Value,
    mixed,
    total,
)
from penstock_agent_security_scanner.languages.rules import BY_NAME

MAX_FOUND = 2_000
# A random number near these words is meant to be secret.
_SECRET_WORDS = re.compile(
    r"(?i)token|secret|passw|session|csrf|nonce|salt|\botp|cookie|credential|api_?key|captcha"
    r"|verification|remember_?me|\biv\b|private_?key|access_?key|reset_?code|auth_?code"
)
_CONTEXT_LINES = 3
# These parts of a request are texts, so they cannot be objects with operators.
_TEXT_ONLY = re.compile(r"\.(?:params|headers|url|originalUrl|hostname|path|header|get)\b")

# A statement up to the hole for a value in it.
_STATEMENT = re.compile(
    r"(?is)\s*(?:select\s.*\sfrom\s|insert\s+into\s|update\s.*\sset\s|delete\s+from\s).*['\"=(,]\s*$"
)
_STATEMENTS = "statement"
MAX_STATEMENT_CHARS = 1_000
_REFUSES_KEYS = re.compile(r"__proto__|hasOwn|Object\.create\(null\)|new Map\(|isPrototypeOf")
# What a handler of Spring returns is an address or a page.
_ADDRESS = "redirect:"


class Judge(Watch):
    """Collects rule and line of everything that is wrong.

    Attributes:
        found: Pairs of rule name and line.
    """

    def __init__(self, table: Table, lines: list[str]) -> None:
        self.table = table
        self.found: dict[tuple[str, int], Rule] = {}
        self._lines = lines
        self._known_sources: dict[str, int] = {}

    def report(self, rule: Rule, line: int) -> None:
        """Note one weakness."""
        if len(self.found) < MAX_FOUND and 0 < line <= len(self._lines):
            self.found.setdefault((rule.name, line), rule)

    # ---- sources

    def seen(self, value: Value) -> Value:
        """Mark what the table calls a source."""
        marks = self._known_sources.get(value.ref)
        if marks is None:
            marks = REMOTE if self.table.remote.fullmatch(value.ref) else 0
            marks |= LOCAL if self.table.local.fullmatch(value.ref) else 0
            self._known_sources[value.ref] = marks
        if marks:
            value.marks |= marks
            value.clean = BIT["nosql"] if _TEXT_ONLY.search(value.ref) else 0
        return value

    # ---- calls

    def sinks(self, frame: Frame, ref: str, name: str, args: list[Value], expr: Call) -> None:
        """A call with these arguments."""
        line = expr.line
        for sink in self.table.sinks.find(ref, name):
            if sink.when is not None and not (args and sink.when.search(start_of(args[0]))):
                continue
            if sink.kind == "sql":
                frame.safe.add(_STATEMENTS)
            if len(args) < sink.least:
                continue
            if sink.first is not None and not (args and sink.first.search(args[0].ref)):
                continue
            if sink.owners is not None and ref and not sink.owners.search(ref):
                continue
            if not any(harms(sink, value) for value in self._at(sink, args)):
                continue
            if sink.family:
                frame.unsafe[sink.rule.name, line] = sink.family
            else:
                self.report(sink.rule, line)
        for wrong in self.table.wrongs.find(ref, name):
            self._wrong(wrong, args, line_of(wrong, expr))

    def _at(self, sink: Sink, args: list[Value]) -> Iterable[Value]:
        chosen = (
            args if ALL_ARGUMENTS in sink.args else [args[i] for i in sink.args if i < len(args)]
        )
        for value in chosen:
            if value.items is None:
                if not sink.records or value.marks & REMOTE:
                    yield value
            elif sink.texts or sink.unless_keys & set(map(str, value.items)):
                continue
            elif sink.keys:
                yield from (total(value.items[key]) for key in sink.keys if key in value.items)
            elif sink.kind == "nosql":
                yield from (part for part in parts_of(value) if not part.marks & BUILT)
            else:
                yield total(value)

    def _wrong(self, wrong: Wrong, args: list[Value], line: int) -> None:
        if wrong.when is not None and not (args and wrong.when.search(start_of(args[0]))):
            return
        if wrong.arg is not None and not is_wrong(wrong, args):
            return
        if not wrong.context:
            self.report(wrong.rule, line)
        elif self._is_secret_near(line):
            self.report(BY_NAME["guessable-secret"], line)
        elif wrong.context == "near":
            self.report(wrong.rule, line)

    def _is_secret_near(self, line: int) -> bool:
        near = self._lines[max(line - 1 - _CONTEXT_LINES, 0) : line + _CONTEXT_LINES]
        return any(_SECRET_WORDS.search(text[:400]) for text in near)

    def states(self, frame: Frame, ref: str, name: str, args: list[Value], line: int) -> None:
        """Things made dangerous, and calls that make them safe."""
        for guarded in self.table.guarded.find(ref, name):
            frame.unsafe[guarded.rule.name, line] = guarded.family
        for until in self.table.until.find(ref, name):
            if holds(until, args):
                frame.safe.add(until.family)

    def settle(self, frame: Frame) -> None:
        """Report what stayed dangerous to the end of its function."""
        for (rule, line), family in frame.unsafe.items():
            if family not in frame.safe:
                self.report(BY_NAME[rule], line)

    def result(
        self, ref: str, name: str, owner: Value, args: list[Value], full: str
    ) -> Value | None:
        """What the table knows of the result; None when nothing."""
        for fresh in self.table.fresh.find(ref, name):
            if fresh.marks and owner.marks & REMOTE:
                continue  # a part of what a client sent, whatever its name
            if fresh.when is None or (args and fresh.when.search(args[0].text or "")):
                return Value(fresh.marks)
        bits = 0
        for cleaner in self.table.cleaners.find(ref, name):
            bits |= cleaner.bits
        if bits:
            whole = mixed([total(part) for part in (owner, *args)])
            result = self.seen(Value(whole.marks, 0, ref=f"{full}()"))
            result.clean = whole.clean | bits
            return result
        return None

    # ---- what is made and written

    def made(self, expr: Record, value: Value) -> None:
        """Named parts of an object that are wrong."""
        items = value.items or {}
        for name, part in expr.pairs:
            if name is None or name not in items:
                continue
            for option in self.table.options:
                if option.within is not None and not option.within.fullmatch(expr.type):
                    continue
                if not option.key.fullmatch(name):
                    continue
                if option.lacks:
                    if not option.lacks & items.keys():
                        self.report(option.rule, expr.line)
                elif option.test.fits(items[name]):
                    self.report(option.rule, part.line)

    def written(self, expr: Set, owner: Value, name: str, value: Value) -> None:
        """A member was set: sinks that are assigned to, and wrong options."""
        ref = f"{owner.ref}.{name}"
        for pattern, sink in self.table.writes:
            if pattern.fullmatch(ref) and harms(sink, total(value)):
                self.report(sink.rule, expr.line)
        for option in self.table.options:
            if option.lacks or not option.key.fullmatch(name) or not option.test.fits(value):
                continue
            if option.within is None or option.within.fullmatch(owner.ref):
                self.report(option.rule, expr.line)

    def indexed(self, frame: Frame, expr: Set, owner: Value, key: Value) -> None:
        """An element was set: where keys are inherited, a stranger's key may be that of all."""
        if not self.table.inherits or frame.function is None or not isinstance(expr.target, Index):
            return
        text = "\n".join(self._lines[frame.function.line - 1 : frame.function.end])
        if _REFUSES_KEYS.search(text):
            return
        copied = (
            isinstance(expr.value, Index)
            and key.ref.endswith("[]")
            and bool(owner.marks & ORIGINS)
            and text.count(f"{frame.function.name}(") > 1
        )
        nested = isinstance(expr.target.of, Index) and bool(key.marks & REMOTE)
        if copied or nested:
            self.report(BY_NAME["prototype-pollution"], expr.line)

    def named(self, frame: Frame, expr: Set, value: Value) -> None:
        """A variable was set; a statement that is run elsewhere is told by its text alone."""
        if not value.marks & BUILT or not value.marks & ORIGINS or value.clean & BIT["sql"]:
            return
        if _STATEMENT.match(value.prefix[:MAX_STATEMENT_CHARS]):
            frame.unsafe["sql-injection", expr.line] = _STATEMENTS

    def returned(self, expr: Leave, value: Value, function: Function | None) -> None:
        """A function returns; what a handler does is an answer."""
        notes = function.notes if function is not None else ()
        if not value.marks & REMOTE or not any(map(self.table.entry_notes.search, notes)):
            return
        if value.prefix == _ADDRESS and not value.clean & BIT["redirect"]:
            self.report(BY_NAME["open-redirect"], expr.line)
        elif "<" in value.prefix and not value.clean & BIT["html"]:
            self.report(BY_NAME["cross-site-scripting"], expr.line)

    def entered(self, function: Function) -> None:
        """A function that is wrong for how little it does."""
        if function.name == "checkServerTrusted" and does_nothing(function.body):
            self.report(BY_NAME["tls-not-verified"], function.line)
        if function.name == "verify" and len(function.parameters) == 2 and accepts(function.body):
            self.report(BY_NAME["tls-not-verified"], function.line)
