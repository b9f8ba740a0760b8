"""bandit's checks, run over a tree that is parsed already.

bandit's own loop parses, tokenises and copies a context for every check of every node, which takes
most of a scan. Here its checks run on the nodes they are registered for, and nothing else of it:
its configuration, baselines and `# nosec` would let the scanned repository decide what is found.
"""

import ast
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Final

from penstock_agent_security_scanner.bandit_words import may_find

with warnings.catch_warnings():
    # It loads its plugins at import, by a call its own dependency has deprecated.
    warnings.simplefilter("ignore")
    from bandit.core import blacklisting
    from bandit.core import config as bandit_config
    from bandit.core import context as bandit_context
    from bandit.core import manager as bandit_manager
    from bandit.core import utils as bandit_utils

# Node types some check is registered for, or that change the context of what they hold.
_NAMED: Final = (ast.FunctionDef, ast.ClassDef)
_IMPORTERS: Final = frozenset({"importlib.import_module", "importlib.__import__"})


class Checks:
    """bandit's checks by node type; made once."""

    def __init__(self, without: frozenset[str]) -> None:
        logging.getLogger("bandit").setLevel(logging.CRITICAL)
        profile = {"include": [], "exclude": sorted(without)}
        manager: Any = bandit_manager.BanditManager(
            bandit_config.BanditConfig(), "file", quiet=True, ignore_nosec=True, profile=profile
        )
        self.by_type: dict[str, list[Any]] = {
            name: [test for test in tests if test.__name__ != "blacklist"]
            for name, tests in manager.b_ts.tests.items()
        }
        self.blacklist: Any = blacklisting.blacklist
        self.blacklisted: dict[str, Any] = getattr(self.blacklist, "_config", {})
        self.calls = {
            name: check for check in self.blacklisted.get("Call", ()) for name in check["qualnames"]
        }
        self.prefixes = tuple(
            name
            for kind in ("Import", "ImportFrom")
            for check in self.blacklisted.get(kind, ())
            for name in check["qualnames"]
        )


class Visitor:
    """One file."""

    def __init__(self, checks: Checks, name: str, text: str) -> None:
        self._checks = checks
        self._tests = {
            kind: active
            for kind, tests in checks.by_type.items()
            if (active := [test for test in tests if may_find(test.__name__, text)])
        }
        self._name = name
        self._data = text.encode("utf-8", "replace")
        self._imports: set[str] = set()
        self._aliases: dict[str, str] = {}
        self._file = io.BytesIO(self._data)
        self.issues: list[Any] = []

    def run(self, tree: ast.Module) -> list[Any]:
        """All issues of the file."""
        pending: list[Iterator[ast.AST]] = [self._children(tree)]
        while pending:
            node = next(pending[-1], None)
            if node is None:
                pending.pop()
                continue
            self._node(node)
            pending.append(self._children(node))
        self._test("File", {"lineno": 0, "linerange": [0, 1], "col_offset": 0})
        return self.issues

    @staticmethod
    def _children(node: ast.AST) -> Iterator[ast.AST]:
        """Children in order, each told its parent and its next sibling, as the checks want it."""
        children: list[Any] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                value._bandit_sibling = None  # type: ignore[attr-defined]  # noqa: SLF001
                value._bandit_parent = node  # type: ignore[attr-defined]  # noqa: SLF001
                children.append(value)
            elif isinstance(value, list):
                held = [item for item in value if isinstance(item, ast.AST)]
                for item, following in zip(held, [*held[1:], None], strict=False):
                    item._bandit_sibling = following  # type: ignore[attr-defined]  # noqa: SLF001
                    item._bandit_parent = node  # type: ignore[attr-defined]  # noqa: SLF001
                children += held
        return iter(children)

    def _node(self, node: ast.AST) -> None:
        match node:
            case ast.Call():
                self._call(node)
            case ast.Constant(value=str() as text):
                parent: Any = getattr(node, "_bandit_parent", None)
                if not isinstance(parent, ast.Expr):  # a docstring
                    self._test(
                        "Str", {"str": text, "linerange": bandit_utils.linerange(parent)}, node
                    )
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.FunctionDef():
                self._test("FunctionDef", {"function": node, "name": node.name}, node)
            case ast.Assert() | ast.ExceptHandler():
                self._test(type(node).__name__, {}, node)
            case _:
                return

    def _call(self, node: ast.Call) -> None:
        name: str = bandit_utils.get_call_name(node, self._aliases)
        extra = {"call": node, "qualname": name, "name": name.rpartition(".")[2]}
        self._test("Call", extra, node)
        if name in self._checks.calls or name in _IMPORTERS or name == "__import__":
            self._blacklist(extra, node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module if isinstance(node, ast.ImportFrom) else None
        prefix = f"{module}." if module else ""
        for alias in node.names:
            if prefix:
                self._aliases[alias.asname or alias.name] = prefix + alias.name
            elif alias.asname:
                self._aliases[alias.asname] = alias.name
            self._imports.add(prefix + alias.name)
        if any((prefix + alias.name).startswith(self._checks.prefixes) for alias in node.names):
            self._blacklist({"module": module}, node)

    def _context(self, extra: dict[str, Any], node: ast.AST | None) -> dict[str, Any]:
        context: dict[str, Any] = {
            "imports": self._imports,
            "import_aliases": self._aliases,
            "filename": self._name,
            "file_data": self._file,
            "node": node,
        }
        if node is not None:
            context["lineno"] = getattr(node, "lineno", 0)
            context["col_offset"] = getattr(node, "col_offset", 0)
            context["linerange"] = bandit_utils.linerange(node)
        return context | extra

    def _test(self, kind: str, extra: dict[str, Any], node: ast.AST | None = None) -> None:
        tests = self._tests.get(kind)
        if not tests:
            return
        raw = self._context(extra, node)
        context = bandit_context.Context(raw)
        for test in tests:
            self._one(test, context, raw)

    def _one(self, test: Any, context: Any, raw: dict[str, Any]) -> None:  # noqa: ANN401
        try:
            config = getattr(test, "_config", None)
            result = test(context) if config is None else test(context, config)
        except Exception:  # noqa: BLE001 (a check of the library meets code it does not expect)
            return
        if result is not None and not _is_looked_for(test, raw):
            self._keep(result, test, raw)

    def _keep(self, result: Any, test: Any, raw: dict[str, Any]) -> None:  # noqa: ANN401
        if result.lineno is None:
            result.lineno = raw["lineno"]
        if not result.linerange:
            result.linerange = raw["linerange"]
        if not result.test_id:
            result.test_id = test._test_id  # noqa: SLF001
        self.issues.append(result)

    def _blacklist(self, extra: dict[str, Any], node: ast.AST) -> None:
        raw = self._context(extra, node)
        try:
            result = self._checks.blacklist(bandit_context.Context(raw), self._checks.blacklisted)
        except Exception:  # noqa: BLE001 (as above)
            return
        if result is not None:
            self._keep(result, self._checks.blacklist, raw)


def _is_looked_for(test: Any, raw: dict[str, Any]) -> bool:  # noqa: ANN401
    """Whether an address is compared with, alone or among others; nothing binds it there."""
    if test.__name__ != "hardcoded_bind_all_interfaces":
        return False
    parent = getattr(raw.get("node"), "_bandit_parent", None)
    if isinstance(parent, ast.Tuple | ast.List | ast.Set):
        parent = getattr(parent, "_bandit_parent", None)
    return isinstance(parent, ast.Compare)
