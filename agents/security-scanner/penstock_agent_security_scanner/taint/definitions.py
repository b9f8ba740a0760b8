"""What functions, classes and imports bind."""

import ast
from dataclasses import replace

from penstock_agent_security_scanner.taint import misuse
from penstock_agent_security_scanner.taint.expressions import Expressions
from penstock_agent_security_scanner.taint.scopes import Class, Function, Scope
from penstock_agent_security_scanner.taint.values import Value


class Definitions(Expressions):
    """Runs statements that define; every one comes to its end."""

    def define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> bool:
        """A function: bound here, run when its turn comes."""
        for decorator in node.decorator_list:
            self.value(decorator, scope)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            self.value(default, scope)
        made = Function(node, scope, module=self.machine.module)
        misuse.defined(self.machine, node)
        is_property = any(getattr(item, "id", "") == "property" for item in node.decorator_list)
        kind = f"{self.machine.module}.{node.name}" if self.machine.module else node.name
        scope.set(node.name, Value(kind=kind, target=None if is_property else made))
        self.machine.pending.append(made)
        return True

    def define_class(self, node: ast.ClassDef, scope: Scope) -> bool:
        """A class: its body runs now, its methods when their turn comes."""
        bases = [self.value(base, scope) for base in node.bases]
        made = Class(node.name, [base.kind for base in bases if base.kind])
        made.parents = [base.target for base in bases if isinstance(base.target, Class)]
        inner = Scope(parent=scope)
        known = len(self.machine.pending)
        self.body(node.body, inner)
        for function in self.machine.pending[known:]:
            if function.scope is inner:
                function.owner, function.scope = made, scope
        made.members = inner.names
        made.set_often = _set_often(node)
        self.machine.classes.append(made)
        scope.set(node.name, Value(kind=node.name, target=made))
        return True

    def define_import(self, node: ast.Import, scope: Scope) -> bool:
        """`import a.b as c`."""
        for alias in node.names:
            self.machine.imports.add(alias.name.partition(".")[0])
            first = alias.name if alias.asname else alias.name.partition(".")[0]
            value = Value(kind=first, target=self.loaded(first))
            whole = None if alias.asname else self.loaded(alias.name)
            for part in reversed(alias.name.split(".")[1:] if whole is not None else []):
                value = replace(value) if value is None else value
                inner = Value(kind=alias.name, target=whole)
                value = Value(kind=first, pairs=((part, inner),), target=value.target)
                break
            scope.set(alias.asname or first, value)
        return True

    def define_import_from(self, node: ast.ImportFrom, scope: Scope) -> bool:
        """`from a import b as c`."""
        module = self.machine.absolute(node.module or "", node.level)
        self.machine.imports.add(module.partition(".")[0])
        for alias in node.names:
            found = self.loaded(module)
            if alias.name == "*":
                self.machine.star = module
                scope.names.update(found.names if found is not None else {})
                continue
            value = found.names.get(alias.name) if found is not None else None
            if value is None:
                kind = f"{module}.{alias.name}"
                value = Value(kind=kind, target=self.loaded(kind), fixed=alias.name.isupper())
            scope.set(alias.asname or alias.name, value)
        return True

    def loaded(self, module: str) -> Scope | None:
        """The global scope of another module of the repository."""
        return self.machine.loader(module) if self.machine.loader is not None and module else None

    def define_global(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> bool:
        """`global` and `nonlocal`."""
        scope.declare(node.names, isinstance(node, ast.Global))
        return True


def _set_often(node: ast.ClassDef) -> frozenset[str]:
    """Names that more than one statement of a class puts something under."""
    seen: set[str] = set()
    often: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            (often if part.attr in seen else seen).add(part.attr)
    return frozenset(often)
