"""Runs statements."""

import ast
from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock_agent_security_scanner.taint import containers, misuse, sinks
from penstock_agent_security_scanner.taint.definitions import Definitions
from penstock_agent_security_scanner.taint.guards import narrowed, refused
from penstock_agent_security_scanner.taint.machine import lines_of
from penstock_agent_security_scanner.taint.scopes import Class, Scope
from penstock_agent_security_scanner.taint.values import LEAK, NOTHING, Value, marked

_Visitor = Callable[[Any, Any, Scope], bool]
_ENDING: Final = frozenset({"abort", "exit", "_exit", "quit", "fail", "redirect_and_exit"})


class Statements(Definitions):
    """Runs bodies; every visitor says whether the statement's end is reached."""

    def body(self, statements: list[ast.stmt], scope: Scope) -> bool:
        """Run statements in order; False when one of them never comes to its end."""
        for index, statement in enumerate(statements):
            self.machine.step()
            if not self.machine.outside:
                self.machine.run_lines.update(range(statement.lineno, _head_end(statement) + 1))
            visitor = _VISITORS.get(type(statement))
            if visitor is None:
                self._others(statement, scope)
            elif not visitor(self, statement, scope):
                self._skip(statements[index + 1 :])
                return False
        return True

    def _skip(self, statements: list[ast.stmt]) -> None:
        if self.machine.outside:
            return
        self.machine.skipped.extend(lines_of(statement) for statement in statements)

    def _others(self, statement: ast.stmt, scope: Scope) -> Value:  # type: ignore[override]
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.expr):
                self.value(child, scope)
        return NOTHING

    def _expression(self, node: ast.Expr, scope: Scope) -> bool:
        self.value(node.value, scope)
        if isinstance(node.value, ast.Call):
            refused(self, node.value, scope)
            func = node.value.func
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            return name not in _ENDING
        return True

    def _assignment(self, node: ast.Assign | ast.AnnAssign, scope: Scope) -> bool:
        if node.value is None:
            return True
        value = self.value(node.value, scope)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            self.assign(target, value, scope)
            misuse.assigned(self.machine, target, value, node.value)
            if isinstance(target, ast.Name):
                scope.origins[target.id] = node.value
        return True

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> bool:
        known, value = self.value(node.target, scope), self.value(node.value, scope)
        self.assign(node.target, self.operation(node.op, known, value, node), scope)
        return True

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """`target = value`."""
        match target:
            case ast.Name(id=name):
                scope.set(name, value)
                scope.origins.pop(name, None)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                self._unpack(targets, value, scope)
            case ast.Starred(value=inner):
                self.assign(inner, value, scope)
            case ast.Attribute(value=owner, attr=name):
                known = self._quietly(owner, scope)
                if isinstance(known.target, Class):
                    known.target.note(name, value)
                sinks.stored_attribute(self.machine, known, name, value, target)
                if isinstance(owner, ast.Name | ast.Attribute | ast.Subscript):
                    self._put(owner, known.having(name, value), scope)
            case ast.Subscript(value=owner, slice=index):
                known, key = self._quietly(owner, scope), self._quietly(index, scope)
                sinks.stored_item(self.machine, known, key, value, target)
                if isinstance(owner, ast.Name | ast.Attribute | ast.Subscript):
                    self._put(owner, containers.stored(known, key, value), scope)
            case _:
                return

    def _put(self, owner: ast.expr, value: Value, scope: Scope) -> None:
        """Bind the changed object again; depth is bounded by the source's own nesting."""
        if value.kind.startswith(("request", "flask.request")):
            return
        if isinstance(owner, ast.Name):
            scope.set(owner.id, value)
        else:
            self.assign(owner, value, scope)

    def _quietly(self, node: ast.expr, scope: Scope) -> Value:
        self.machine.silent += 1
        try:
            return self.value(node, scope)
        finally:
            self.machine.silent -= 1

    def _unpack(self, targets: list[ast.expr], value: Value, scope: Scope) -> None:
        has_star = any(isinstance(target, ast.Starred) for target in targets)
        if value.items is not None and len(value.items) == len(targets) and not has_star:
            for target, part in zip(targets, value.items, strict=True):
                self.assign(target, part, scope)
            return
        part = containers.element(value)
        for target in targets:
            self.assign(target, part, scope)

    def _branch(self, node: ast.If, scope: Scope) -> bool:
        test = self.value(node.test, scope)
        if test.known:
            taken, other = (node.body, node.orelse) if test.const else (node.orelse, node.body)
            self._skip(other)
            return self.body(taken, scope)
        before, ends = scope.fork(), list[dict[str, Value]]()
        for branch, holds in ((node.body, True), (node.orelse, False)):
            scope.names = dict(before)
            narrowed(self, node.test, scope, holds=holds)
            if self.body(branch, scope):
                ends.append(scope.names)
        scope.names = before
        scope.merge(ends)
        return bool(ends)

    def _loop(self, node: ast.For | ast.AsyncFor, scope: Scope) -> bool:
        source = self.value(node.iter, scope)
        outer, scope.exits = scope.exits, []
        self.machine.loops += 1
        for _ in range(self._rounds()):
            start = scope.fork()
            self.assign(node.target, containers.element(source), scope)
            ends = [scope.names] if self.body(node.body, scope) else []
            scope.merge([start, *ends, *scope.exits])
        self.machine.loops -= 1
        self.body(node.orelse, scope)
        scope.exits = outer
        return True

    def _rounds(self) -> int:
        """What the first round leaves, the second one sees; inner loops get theirs that way."""
        return 2 if self.machine.loops <= 1 else 1

    def _while(self, node: ast.While, scope: Scope) -> bool:
        outer, scope.exits = scope.exits, []
        self.machine.loops += 1
        for _ in range(self._rounds()):
            test = self.value(node.test, scope)
            if test.known and not test.const:
                break
            start = scope.fork()
            narrowed(self, node.test, scope, holds=True)
            ends = [scope.names] if self.body(node.body, scope) else []
            scope.merge([start, *ends, *scope.exits])
        self.machine.loops -= 1
        scope.exits = outer
        self.body(node.orelse, scope)
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        return not endless or any(isinstance(part, ast.Break) for part in ast.walk(node))

    def _stop(self, node: ast.stmt, scope: Scope) -> bool:
        if isinstance(node, ast.Break | ast.Continue):
            scope.exits.append(scope.fork())
        else:
            self._others(node, scope)
        return False

    def _try(self, node: ast.Try, scope: Scope) -> bool:
        before = scope.fork()
        reached = self.body(node.body, scope)
        after = scope.fork()
        ends = list[dict[str, Value]]()
        if reached and self.body(node.orelse, scope):
            ends.append(scope.names)
        for handler in node.handlers:
            scope.names = dict(before)
            scope.merge([dict(before), dict(after)])
            if handler.name:
                scope.set(handler.name, marked(LEAK, handler.lineno, "Exception()"))
            self.value(handler.type, scope)
            if self.body(handler.body, scope):
                ends.append(scope.names)
        scope.names = dict(after)
        scope.merge(ends)
        return self.body(node.finalbody, scope) and bool(ends)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> bool:
        for item in node.items:
            value = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, scope)
        return self.body(node.body, scope)

    def _match(self, node: ast.Match, scope: Scope) -> bool:
        subject = self.value(node.subject, scope)
        before, ends = scope.fork(), list[dict[str, Value]]()
        decided = False
        for case in node.cases:
            verdict = _matches(case.pattern, subject)
            if decided or verdict is False:
                self._skip(case.body)
                continue
            scope.names = dict(before)
            self._capture(case.pattern, subject, scope)
            if isinstance(node.subject, ast.Name) and _is_literal(case.pattern):
                self.assign(node.subject, subject.cleaned("*"), scope)
            if case.guard is not None:
                self.value(case.guard, scope)
                narrowed(self, case.guard, scope, holds=True)
            if self.body(case.body, scope):
                ends.append(scope.names)
            decided = verdict is True and case.guard is None
        if not decided:
            ends.append(dict(before))
        scope.names = before
        scope.merge(ends)
        return bool(ends)

    def _capture(self, pattern: ast.pattern, subject: Value, scope: Scope) -> None:
        for part in ast.walk(pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(name, str):
                scope.set(name, subject if part is pattern else subject.plain())

    def _return(self, node: ast.Return, scope: Scope) -> bool:
        value = self.value(node.value, scope)
        self.returned(value, node, scope)
        scope.finals.append(scope.names)
        if scope.function is not None and node.value is not None:
            misuse.named(self.machine, scope.function.name, value)
        return False

    def returned(self, value: Value, node: ast.AST, scope: Scope) -> None:
        """A function gives this; for a request handler it is the page."""
        scope.results.append(value)
        if scope.function is not None:
            sinks.page(self.machine, scope.function, value, node)

    def _delete(self, node: ast.stmt, scope: Scope) -> bool:
        return True

    def _assert(self, node: ast.Assert, scope: Scope) -> bool:
        test = self.value(node.test, scope)
        if not test.known:
            narrowed(self, node.test, scope, holds=True)
        return True


def _head_end(statement: ast.stmt) -> int:
    """Last line of a statement without the bodies in it."""
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if isinstance(body, list) and body:
        first = body[0]
        line = first.lineno if isinstance(first, ast.stmt) else statement.lineno + 1
        return max(statement.lineno, line - 1)
    return statement.end_lineno or statement.lineno


def _literals(pattern: ast.pattern) -> Iterator[object] | None:
    parts = pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern]
    values: list[object] = []
    for part in parts:
        if isinstance(part, ast.MatchValue) and isinstance(part.value, ast.Constant):
            values.append(part.value.value)
        elif isinstance(part, ast.MatchSingleton):
            values.append(part.value)
        else:
            return None
    return iter(values)


def _is_literal(pattern: ast.pattern) -> bool:
    return _literals(pattern) is not None


def _matches(pattern: ast.pattern, subject: Value) -> bool | None:
    """True, False, or None for what cannot be told."""
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is None:
        return True
    literals = _literals(pattern)
    if literals is None or not subject.known:
        return None
    return any(value == subject.const for value in literals)


_VISITORS: Final[dict[type[ast.stmt], _Visitor]] = {
    ast.Expr: Statements._expression,  # noqa: SLF001
    ast.Assign: Statements._assignment,  # noqa: SLF001
    ast.AnnAssign: Statements._assignment,  # noqa: SLF001
    ast.AugAssign: Statements._augmented,  # noqa: SLF001
    ast.If: Statements._branch,  # noqa: SLF001
    ast.For: Statements._loop,  # noqa: SLF001
    ast.AsyncFor: Statements._loop,  # noqa: SLF001
    ast.While: Statements._while,  # noqa: SLF001
    ast.Break: Statements._stop,  # noqa: SLF001
    ast.Continue: Statements._stop,  # noqa: SLF001
    ast.Raise: Statements._stop,  # noqa: SLF001
    ast.Try: Statements._try,  # noqa: SLF001
    ast.With: Statements._with,  # noqa: SLF001
    ast.AsyncWith: Statements._with,  # noqa: SLF001
    ast.Match: Statements._match,  # noqa: SLF001
    ast.Return: Statements._return,  # noqa: SLF001
    ast.FunctionDef: Statements.define_function,
    ast.AsyncFunctionDef: Statements.define_function,
    ast.ClassDef: Statements.define_class,
    ast.Import: Statements.define_import,
    ast.ImportFrom: Statements.define_import_from,
    ast.Global: Statements.define_global,
    ast.Nonlocal: Statements.define_global,
    ast.Delete: Statements._delete,  # noqa: SLF001
    ast.Assert: Statements._assert,  # noqa: SLF001
}
