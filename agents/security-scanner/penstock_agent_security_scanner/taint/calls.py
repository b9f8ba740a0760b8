"""What a call gives: through the scanned code where it is in sight, by a model, or by default."""

import ast
from abc import abstractmethod
from dataclasses import replace
from typing import Final

from penstock_agent_security_scanner.taint import cleaners, containers, sinks, sources
from penstock_agent_security_scanner.taint.machine import MAX_CALL_DEPTH, MAX_MEMO, Machine
from penstock_agent_security_scanner.taint.outside import MAX_PATH_CHARS, Outside
from penstock_agent_security_scanner.taint.scopes import SIZE_COUNTED, Bound, Class, Function, Scope
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import (
    CLEAN,
    HOLE,
    NOTHING,
    Reach,
    Taint,
    Value,
    constant,
    joined,
    merged,
)

SMALL_FUNCTION: Final = 6


class Calls(Outside):
    """Evaluates calls."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @abstractmethod
    def value(self, node: ast.expr | None, scope: Scope) -> Value:
        """Evaluate an expression."""

    @abstractmethod
    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name`."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """`target = value`."""

    @abstractmethod
    def body(self, statements: list[ast.stmt], scope: Scope) -> bool:
        """Run statements; whether the end is reached."""

    @abstractmethod
    def returned(self, value: Value, node: ast.AST, scope: Scope) -> None:
        """A function gives this."""

    def call(self, node: ast.Call, scope: Scope) -> Value:
        """Evaluate a call: arguments, what may go wrong there, and its result."""
        site, callee = self._site(node, scope)
        sinks.judge(self.machine, site)
        if site.method == "super" and scope.function is not None:
            return self._parent(scope)
        if callee.target is not None:
            result = self._followed(callee, site, scope)
            for node_, value in site.learned:
                scope.set(node_.id, value)
            if result is not None:
                return cleaners.by_name(site, result)
        return self._modelled(site, node, scope)

    def _site(self, node: ast.Call, scope: Scope) -> tuple[Site, Value]:
        receiver = NOTHING
        if isinstance(node.func, ast.Attribute):
            receiver = self.value(node.func.value, scope)
            callee = self.attribute(receiver, node.func.attr)
            path = callee.kind or f"{receiver.kind or '?'}.{node.func.attr}"
            if not path.endswith(node.func.attr):
                path = f"{receiver.kind or '?'}.{node.func.attr}"
        else:
            callee = self.value(node.func, scope)
            path = callee.kind or (node.func.id if isinstance(node.func, ast.Name) else "?")
        site = Site(node, path[-MAX_PATH_CHARS:], receiver)
        loose: list[Value] = []
        for argument in node.args:
            value = self.value(argument, scope)
            if isinstance(argument, ast.Starred):
                site.starred = True
                if value.items is not None and not loose:
                    site.arguments.extend(value.items)
                else:
                    loose.append(value)
            else:
                site.arguments.append(value)
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg is None:
                site.starred = True
                site.keywords.update({k: v for k, v in value.pairs or () if isinstance(k, str)})
                loose.append(replace(value, pairs=None))
            else:
                site.keywords[keyword.arg] = value
        if loose:
            site.extra = Value(taint=merged(value.whole() for value in loose), text=HOLE)
        function = scope.function
        site.function = function.name if function is not None else ""
        return site, callee

    def _parent(self, scope: Scope) -> Value:
        owner = scope.function.owner if scope.function is not None else None
        instance = scope.get("self") or NOTHING
        if owner is None or not owner.parents:
            return Value(kind="super()")
        return replace(instance, target=owner.parents[0], kind=f"{owner.parents[0].name}()")

    def _followed(self, callee: Value, site: Site, scope: Scope) -> Value | None:
        target = callee.target
        if isinstance(target, Class):
            return self._instance(target, site)
        if isinstance(target, Bound):
            result, instance = self.enter(target.function, site, target.instance)
            if instance is not None and instance is not target.instance:
                self._write_back(site.node.func, instance, scope)
            return result
        if isinstance(target, Function):
            return self.enter(target, site, None)[0]
        return None

    def _write_back(self, func: ast.expr, instance: Value, scope: Scope) -> None:
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name | ast.Attribute):
            self.assign(func.value, instance, scope)

    def _instance(self, known: Class, site: Site) -> Value:
        pairs = tuple((name, value) for name, value in site.keywords.items())
        made = Value(kind=f"{known.name}()"[-MAX_PATH_CHARS:], target=known, pairs=pairs)
        if any(base.rpartition(".")[2].endswith(("Enum", "Flag")) for base in known.all_bases()):
            return Value(kind=made.kind, target=known, fixed=True, text=HOLE)
        maker = known.lookup("__init__")
        if maker is not None and isinstance(maker.target, Function):
            made = replace(made, pairs=())
            _, instance = self.enter(maker.target, site, made)
            return instance or made
        rest = joined(site.arguments) if site.arguments else None
        return replace(made, rest=rest, taint=site.taint() if not pairs else CLEAN)

    def enter(
        self, function: Function, site: Site, instance: Value | None
    ) -> tuple[Value, Value | None]:
        """Run a function of the scanned code with the arguments of a call.

        Returns:
            Its result, and its object as it left it.
        """
        machine = self.machine
        given = replace(NOTHING, taint=merged([site.taint(), (instance or NOTHING).whole()]))
        if machine.depth >= MAX_CALL_DEPTH or function.node in machine.running:
            return given, instance
        if not self._is_worth(function, given):
            return given, instance
        function.calls += 1
        key = _memo_key(function, site, instance)
        known = machine.memo.get(key)
        if known is not None:
            result, own, after = known
            self._learn(function, site, after)
            return result, own
        inner = self._frame(function, site, instance)
        is_outside = not machine.outside and function.module != machine.module
        if is_outside:
            machine.outside = site.line
            machine.silent += 1
        machine.depth += 1
        machine.running.append(function.node)
        try:
            result = self.run_function(function, inner)
        finally:
            machine.depth -= 1
            machine.running.pop()
            if is_outside:
                machine.outside = 0
                machine.silent -= 1
        own = inner.names.get("self") if instance is not None else None
        self._learn(function, site, inner)
        if len(machine.memo) < MAX_MEMO:
            machine.memo[key] = (result, own, inner)
        return result, own

    def _learn(self, function: Function, site: Site, inner: Scope) -> None:
        """What a function has checked before it came back holds for its caller's names too."""
        if isinstance(function.node, ast.Lambda) or site.starred:
            return
        positional = [*function.node.args.posonlyargs, *function.node.args.args]
        if function.owner is not None and positional:
            positional = positional[1:]
        for parameter, node, given in zip(positional, site.node.args, site.arguments, strict=False):
            after = inner.names.get(parameter.arg)
            if after is None or not isinstance(node, ast.Name) or after is given:
                continue
            if after.kind == given.kind and _is_cleaner(after.taint, given.taint):
                site.learned.append((node, replace(given, taint=after.taint)))

    @staticmethod
    def _is_worth(function: Function, given: Value) -> bool:
        """Whether going through it tells more than that what goes in may come out.

        With values only a caller decides, its own turn says the same.
        """
        if given.taint[Reach.REMOTE] is not None or given.taint[Reach.LOCAL] is not None:
            return True
        if function.name == "__init__" or function.size <= SMALL_FUNCTION:
            return True
        return function.name.startswith("_") and function.size < SIZE_COUNTED

    def run_function(self, function: Function, inner: Scope) -> Value:
        """Run a body in its scope; what it returns or yields."""
        if isinstance(function.node, ast.Lambda):
            return self.value(function.node.body, inner)
        if self.body(function.node.body, inner):
            inner.results.append(constant(None))
            inner.finals.append(inner.names)
        inner.merge(inner.finals)
        result = joined(
            [value for value in inner.results if value.const is not None] or inner.results
        )
        names = [sources.last(decorator) for decorator in function.decorators()]
        return replace(result, target=None) if "contextmanager" in names else result

    def _frame(self, function: Function, site: Site, instance: Value | None) -> Scope:
        inner = Scope(parent=function.scope, function=function)
        arguments = function.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        decorators = {sources.last(item) for item in function.decorators()}
        given = list(site.arguments)
        if function.owner is not None and "staticmethod" not in decorators and positional:
            inner.names[positional[0].arg] = instance if instance is not None else NOTHING
            positional = positional[1:]
        self._defaults(function, inner)
        spread = site.extra
        for parameter in positional:
            if given:
                inner.names[parameter.arg] = given.pop(0)
            elif parameter.arg in site.keywords:
                inner.names[parameter.arg] = site.keywords[parameter.arg]
            elif spread is not NOTHING:
                inner.names[parameter.arg] = spread
        for parameter in arguments.kwonlyargs:
            if parameter.arg in site.keywords:
                inner.names[parameter.arg] = site.keywords[parameter.arg]
        if arguments.vararg is not None:
            inner.names[arguments.vararg.arg] = containers.listed(given)
        if arguments.kwarg is not None:
            named = {parameter.arg for parameter in function.parameters()}
            pairs = tuple((k, v) for k, v in site.keywords.items() if k not in named)
            rest = spread if spread is not NOTHING else None
            inner.names[arguments.kwarg.arg] = Value(kind="dict", pairs=pairs, rest=rest)
        return inner

    def _defaults(self, function: Function, inner: Scope) -> None:
        arguments = function.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = zip(reversed(positional), reversed(arguments.defaults), strict=False)
        for parameter, default in with_default:
            inner.names[parameter.arg] = self.value(default, function.scope)
        for parameter, other in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if other is not None:
                inner.names[parameter.arg] = self.value(other, function.scope)

    def _modelled(self, site: Site, node: ast.Call, scope: Scope) -> Value:
        """A call of something outside the scanned code."""
        receiver = site.receiver
        folded = self.folded_result(site)
        if folded is not None:
            return folded
        if isinstance(node.func, ast.Attribute):
            changed = containers.mutated(receiver, site.method, site.arguments)
            if changed is not None and receiver.target is None:
                self.assign(node.func.value, changed[0], scope)
                return changed[1]
            found = containers.looked_up(receiver, site.method, site.arguments)
            if found is not None:
                return found
        if site.method in ("XMLParser", "Environment", "ETCompatXMLParser"):
            return Value(kind=f"{site.path}()", pairs=tuple(site.keywords.items()))
        source = sources.call(site)
        if source is not None:
            return source
        text = self.text_result(site)
        if text is not None:
            return text
        cleaned = cleaners.cleaned(site)
        if cleaned is not None:
            return cleaned
        return self.default_result(site)


def _is_cleaner(after: Taint, before: Taint) -> bool:
    """Whether somebody checked what before was anybody's."""
    pairs = list(zip(after[:3], before[:3], strict=True))
    if any((now is None) != (then is None) for now, then in pairs):
        return False
    return any(now is not None and then is not None and now > then for now, then in pairs)


def _memo_key(function: Function, site: Site, instance: Value | None) -> object:
    try:
        return hash_key(
            function, tuple(site.arguments), tuple(site.keywords.items()), site.extra, instance
        )
    except TypeError:
        return object()


def hash_key(*parts: object) -> object:
    """A tuple that is known to be hashable.

    Raises:
        TypeError: A part is not.
    """
    hash(parts)
    return parts
