"""What an expression gives."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from penstock_agent_security_scanner.catalogue import SQL
from penstock_agent_security_scanner.taint import containers, folding, sources
from penstock_agent_security_scanner.taint.calls import Calls
from penstock_agent_security_scanner.taint.guards import narrowed
from penstock_agent_security_scanner.taint.machine import lines_of
from penstock_agent_security_scanner.taint.scopes import Bound, Class, Function, Scope
from penstock_agent_security_scanner.taint.values import (
    CLEAN,
    HOLE,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    NOTHING,
    NUMBER,
    UNKNOWN,
    Reach,
    Value,
    constant,
    joined,
    merged,
    reach_of,
    tainted,
)

MAX_KIND_CHARS: Final = 160
_Visitor = Callable[[Any, Any, Scope], Value]


class Expressions(Calls):
    """Evaluates expressions; calls are in `Calls`."""

    def value(self, node: ast.expr | None, scope: Scope) -> Value:
        """The value of an expression in a scope; bindings in it take place."""
        if node is None:
            return NOTHING
        self.machine.step()
        visitor = _VISITORS.get(type(node))
        if visitor is None:
            return self._others(node, scope)
        return visitor(self, node, scope)

    def _others(self, node: ast.expr, scope: Scope) -> Value:
        return self._mixture(list(_children(node)), scope)

    def _mixture(self, nodes: list[ast.expr], scope: Scope) -> Value:
        return Value(taint=merged(self.value(node, scope).whole() for node in nodes))

    def _constant(self, node: ast.Constant, scope: Scope) -> Value:
        return constant(node.value)

    def _name(self, node: ast.Name, scope: Scope) -> Value:
        found = scope.get(node.id)
        if found is not None:
            return found
        return sources.unbound(node.id, self.machine.star)

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        found = self.attribute(self.value(node.value, scope), node.attr)
        if node.attr == "path" and found.kind.endswith("request.path"):
            route = sources.only_route(scope)
            return found if route is None else constant(route)
        return found

    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name`."""
        if isinstance(owner.target, Scope):
            found = owner.target.names.get(name)
            if found is not None:
                return found
        if isinstance(owner.target, Class):
            found = self._member(owner, owner.target, name)
            if found is not None:
                return found
            if owner.fixed:  # a member of an enumeration
                return Value(fixed=True, text=HOLE, kind="str")
        known = next((value for key, value in owner.pairs or () if key == name), None)
        if known is not None and owner.kind != "dict":
            return known
        kind = f"{owner.kind or '?'}.{name}"[:MAX_KIND_CHARS]
        given = sources.attribute(kind)
        if given is not None:
            return given
        if name.isupper() and owner.whole() == NOTHING.taint:
            return Value(fixed=True, kind=kind, text=HOLE)
        text = HOLE if owner.text else ""
        return Value(taint=owner.whole(), kind=kind, text=text)

    @staticmethod
    def _member(owner: Value, known: Class, name: str) -> Value | None:
        """An attribute of a class or of its instance."""
        is_instance = owner.kind.endswith("()")
        if is_instance:
            for key, value in owner.pairs or ():
                if key == name:
                    return value
        member = known.lookup(name)
        if member is not None and isinstance(member.target, Function) and is_instance:
            return replace(member, target=Bound(member.target, owner))
        inherited = sources.member(known.all_bases(), name) if is_instance else None
        if inherited is not None:
            return inherited
        if is_instance:
            noted = known.field_of(name)
            if noted is not None:
                others = [member] if member is not None else []
                if name in known.set_often:
                    others.append(tainted(Reach.CALLER))
                return joined([noted, *others])
        return member

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        owner = self.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            bounds = [
                constant(None) if part is None else self.value(part, scope)
                for part in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            return containers.sliced(owner, *bounds)
        key = self.value(node.slice, scope)
        given = sources.attribute(f"{owner.kind}[]") if owner.kind else None
        return given or containers.item(owner, key)

    def _joined_text(self, node: ast.JoinedStr, scope: Scope) -> Value:
        return self.text_of([self.value(part, scope) for part in node.values], node)

    def _formatted(self, node: ast.FormattedValue, scope: Scope) -> Value:
        value = self.value(node.value, scope)
        if isinstance(value.const, str | int) and node.format_spec is None and node.conversion < 0:
            return constant(str(value.const))
        spec = self.value(node.format_spec, scope)
        if str(spec.const).endswith(("d", "f", "x", "X", "e", "%")):
            return NUMBER
        return replace(value, const=UNKNOWN, items=None, pairs=None, rest=None, target=None,
                       taint=merged([value.whole(), spec.whole()]))  # fmt: skip

    def text_of(self, parts: list[Value], node: ast.AST) -> Value:
        """One text made of several."""
        if all(isinstance(part.const, str | int) for part in parts):
            folded = folding.bounded("".join(str(part.const) for part in parts))
            if folded is not UNKNOWN:
                self.machine.clear(SQL, lines_of(node))
                return constant(folded)
        fixed = all(part.fixed for part in parts)
        has_text = any(part.text.strip(HOLE) for part in parts)
        earlier = next((part.built for part in parts if part.built), 0)
        taint = merged(part.whole() for part in parts)
        if fixed or (taint != CLEAN and reach_of(taint, "sql") is None):
            self.machine.clear(SQL, lines_of(node))
        else:
            self.machine.doubt(SQL, lines_of(node))
        return Value(
            taint=taint,
            text="".join(part.text or HOLE for part in parts)[:MAX_TEXT_CHARS],
            fixed=fixed,
            kind="str",
            built=earlier or (0 if fixed or not has_text else lines_of(node).start),
        )

    def _binary(self, node: ast.BinOp, scope: Scope) -> Value:
        chain: list[ast.BinOp] = []
        current: ast.expr = node
        while isinstance(current, ast.BinOp):  # a + b + c ... nests to the left
            chain.append(current)
            current = current.left
        result = self.value(current, scope)
        for step in reversed(chain):
            self.machine.step()
            result = self.operation(step.op, result, self.value(step.right, scope), node)
        return result

    def operation(self, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
        """`left op right`."""
        if left.known and right.known:
            folded = folding.binary(op, left.const, right.const)
            if folded is not UNKNOWN:
                if isinstance(folded, str):
                    self.machine.clear(SQL, lines_of(node))
                return constant(folded)
        if isinstance(op, ast.Add):
            if left.items is not None and right.items is not None:
                return containers.listed([*left.items, *right.items][:MAX_ITEMS])
            if left.items is not None or right.items is not None:
                return Value(rest=joined([*(left.items or (left,)), *(right.items or (right,))]))
            return self.text_of([left, right], node)
        if isinstance(op, ast.Mod) and left.text and left.kind in ("str", "bytes"):
            return self.text_of(_percent_parts(left, right), node)
        if isinstance(op, ast.Div) and (left.text or right.text):  # pathlib
            return replace(self.text_of([left, constant("/"), right], node), kind=left.kind)
        if isinstance(op, ast.Mult) and {left.kind, right.kind} & {"str", "bytes"}:
            return self.text_of([left] if left.kind in ("str", "bytes") else [right], node)
        return Value(taint=merged([left.whole(), right.whole()]), fixed=left.fixed and right.fixed)

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> Value:
        operand = self.value(node.operand, scope)
        if operand.known:
            folded = folding.unary(node.op, operand.const)
            if folded is not UNKNOWN:
                return constant(folded)
        return NUMBER if isinstance(node.op, ast.Not) else operand.plain()

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> Value:
        """`and`, `or`: the operands that can be the result."""
        is_or = isinstance(node.op, ast.Or)
        results: list[Value] = []
        kept = scope.names
        scope.names = dict(kept)
        value = NUMBER
        for operand in node.values:
            value = self.value(operand, scope)
            narrowed(self, operand, scope, holds=not is_or)
            if value.known and bool(value.const) == is_or:
                results.append(value)
                break
            if not value.known:
                results.append(value)
        else:
            results = results or [value]
        bound = {n: v for n, v in scope.names.items() if n not in kept}
        scope.names = {**kept, **bound}
        return joined(results)

    def _compare(self, node: ast.Compare, scope: Scope) -> Value:
        values = [self.value(part, scope) for part in (node.left, *node.comparators)]
        answers: list[object] = []
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            if left.known and right.known:
                answers.append(folding.compare(op, left.const, right.const))
            elif isinstance(op, ast.In | ast.NotIn) and left.known:
                answers.append(containers.membership(left, right, isinstance(op, ast.In)))
            else:
                answers.append(UNKNOWN)
        if any(answer is False for answer in answers):
            return constant(False)
        return constant(True) if all(answer is True for answer in answers) else NUMBER

    def _choice(self, node: ast.IfExp, scope: Scope) -> Value:
        test = self.value(node.test, scope)
        if test.known:
            return self.value(node.body if test.const else node.orelse, scope)
        kept = scope.names
        results: list[Value] = []
        for branch, holds in ((node.body, True), (node.orelse, False)):
            scope.names = dict(kept)
            narrowed(self, node.test, scope, holds=holds)
            results.append(self.value(branch, scope))
        scope.names = kept
        return joined(results)

    def _sequence(self, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Value:
        values: list[Value] = []
        loose: list[Value] = []
        for element in node.elts:
            value = self.value(element, scope)
            if isinstance(element, ast.Starred):
                (values if value.items is not None else loose).extend(value.items or (value,))
            else:
                values.append(value)
        if loose or len(values) > MAX_ITEMS:
            return Value(rest=joined([*values, *loose]), kind="list")
        return containers.listed(values)

    def _starred(self, node: ast.Starred, scope: Scope) -> Value:
        return self.value(node.value, scope)

    def _mapping(self, node: ast.Dict, scope: Scope) -> Value:
        result = Value(kind="dict", pairs=())
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.value(value_node, scope)
            key = self.value(key_node, scope)
            if key_node is None:
                result = containers.updated(result, value)
            elif key.known:
                result = result.having(key.const, value)
            else:
                result = replace(result, rest=joined([value, result.rest or value]),
                                 taint=merged([result.taint, key.whole()]))  # fmt: skip
        return result

    def _walrus(self, node: ast.NamedExpr, scope: Scope) -> Value:
        value = self.value(node.value, scope)
        scope.set(node.target.id, value)
        return value

    def _lambda(self, node: ast.Lambda, scope: Scope) -> Value:
        return Value(target=Function(node, scope, module=self.machine.module), kind="<lambda>")

    def _await(self, node: ast.Await | ast.YieldFrom, scope: Scope) -> Value:
        return self.value(node.value, scope)

    def _yield(self, node: ast.Yield, scope: Scope) -> Value:
        self.returned(self.value(node.value, scope), node, scope)
        return NOTHING

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope
    ) -> Value:
        inner = Scope(parent=scope, function=scope.function)
        for part in node.generators:
            self.assign(part.target, containers.element(self.value(part.iter, inner)), inner)
            for test in part.ifs:
                self.value(test, inner)
                narrowed(self, test, inner, holds=True)
        if isinstance(node, ast.DictComp):
            key = self.value(node.key, inner)
            return Value(kind="dict", rest=self.value(node.value, inner), taint=key.whole())
        return Value(kind="list", rest=self.value(node.elt, inner), fixed=False)


def _percent_parts(left: Value, right: Value) -> list[Value]:
    """`text % values` as the pieces it is put together from."""
    if right.pairs is not None:
        values = [value for _, value in right.pairs]
    else:
        values = list(right.items) if right.items is not None else [right]
    pieces = left.text.replace("%%", "%").split("%s")
    if len(pieces) == len(values) + 1 and not any("%" in piece for piece in pieces):
        parts = [replace(left.plain(), text=pieces[0], fixed=left.fixed)]
        for value, piece in zip(values, pieces[1:], strict=True):
            parts += [value, constant(piece)]
        return parts
    return [left, Value(taint=right.whole(), text=HOLE, fixed=all(v.fixed for v in values))]


def _children(node: ast.expr) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child


_VISITORS: Final[dict[type[ast.expr], _Visitor]] = {
    ast.Constant: Expressions._constant,  # noqa: SLF001
    ast.Name: Expressions._name,  # noqa: SLF001
    ast.Attribute: Expressions._attribute,  # noqa: SLF001
    ast.Subscript: Expressions._subscript,  # noqa: SLF001
    ast.JoinedStr: Expressions._joined_text,  # noqa: SLF001
    ast.FormattedValue: Expressions._formatted,  # noqa: SLF001
    ast.BinOp: Expressions._binary,  # noqa: SLF001
    ast.UnaryOp: Expressions._unary,  # noqa: SLF001
    ast.BoolOp: Expressions._boolean,  # noqa: SLF001
    ast.Compare: Expressions._compare,  # noqa: SLF001
    ast.IfExp: Expressions._choice,  # noqa: SLF001
    ast.List: Expressions._sequence,  # noqa: SLF001
    ast.Tuple: Expressions._sequence,  # noqa: SLF001
    ast.Set: Expressions._sequence,  # noqa: SLF001
    ast.Starred: Expressions._starred,  # noqa: SLF001
    ast.Dict: Expressions._mapping,  # noqa: SLF001
    ast.NamedExpr: Expressions._walrus,  # noqa: SLF001
    ast.Lambda: Expressions._lambda,  # noqa: SLF001
    ast.Await: Expressions._await,  # noqa: SLF001
    ast.YieldFrom: Expressions._await,  # noqa: SLF001
    ast.Yield: Expressions._yield,  # noqa: SLF001
    ast.ListComp: Expressions._comprehension,  # noqa: SLF001
    ast.SetComp: Expressions._comprehension,  # noqa: SLF001
    ast.GeneratorExp: Expressions._comprehension,  # noqa: SLF001
    ast.DictComp: Expressions._comprehension,  # noqa: SLF001
    ast.Call: Calls.call,
}
