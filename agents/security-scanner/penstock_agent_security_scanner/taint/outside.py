"""What calls of things outside of the scanned code give."""

import ast
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from penstock_agent_security_scanner.taint import cleaners, containers, folding
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import (
    CLEAN,
    HOLE,
    NOTHING,
    UNKNOWN,
    Value,
    constant,
    joined,
    merged,
)

MAX_PATH_CHARS: Final = 160
# Methods whose result has to do with their object, not with what they were given.
_OPAQUE: Final = frozenset(
    {
        "aggregate", "all", "authenticate", "callproc", "check_password", "commit",
        "connect", "count", "create", "cursor", "delete", "execute", "executemany",
        "executescript", "exists", "fetch", "fetchall", "fetchmany", "fetchone", "filter",
        "filter_by", "find", "find_one", "first", "get_object_or_404", "get_or_404",
        "get_or_create", "insert", "insert_one", "login", "match", "one", "one_or_none",
        "query", "raw", "remove", "save", "scalar", "scalars", "search", "select", "send",
        "sendall", "union", "update", "verify", "verify_password",
    }
)  # fmt: skip
# Templates that escape nothing by themselves.
_BARE_RENDER: Final = frozenset(
    {
        "jinja2.Template().render", "mako.template.Template().render",
        "string.Template().substitute",
    }
)  # fmt: skip


class Outside(ABC):
    """Models of the standard library's texts, and the default for everything else."""

    @abstractmethod
    def text_of(self, parts: list[Value], node: ast.AST) -> Value:
        """One text made of several."""

    @staticmethod
    def folded_result(site: Site) -> Value | None:
        """A constant, where object and arguments are constants."""
        receiver = site.receiver
        if receiver.known and all(value.known for value in site.all() if value is not NOTHING):
            if site.keywords:
                return None
            folded = folding.text_method(
                receiver.const, site.method, [value.const for value in site.arguments]
            )
            if isinstance(folded, list):
                return containers.listed([constant(part) for part in folded])
            if folded is not UNKNOWN:
                return constant(folded)
        return None

    def text_result(self, site: Site) -> Value | None:
        """Methods of texts that keep what they are given."""
        receiver, first = site.receiver, site.argument(0)
        if site.path in ("next", "min", "max") and first is not None:
            return joined([containers.element(first), *site.arguments[1:]])
        if site.method in ("substitute", "safe_substitute") or site.path in _BARE_RENDER:
            taint = merged([receiver.whole(), site.taint()])
            return Value(taint=taint, text=HOLE, kind="str", built=site.line)
        if site.path == "chr" and first is not None and isinstance(first.const, int):
            return constant(chr(first.const)) if 0 <= first.const < 0x110000 else None
        if site.method == "format" and (receiver.text or receiver.kind == "str"):
            return self._format(site)
        if site.method == "join" and first is not None and not site.path.startswith("os.path"):
            parts = list(first.items) if first.items is not None else [containers.element(first)]
            glue = replace(receiver, fixed=True) if receiver.known else receiver
            pieces = [piece for part in parts for piece in (glue, part)][1:]
            return self.text_of(pieces, site.node) if pieces else constant("")
        if site.path in ("str", "repr", "ascii", "bytes", "bytearray", "memoryview") and first:
            if isinstance(first.const, str | int) and site.path == "str":
                return constant(str(first.const))
            return replace(first, const=UNKNOWN, items=None, pairs=None, rest=None, target=None,
                           kind=site.path, taint=first.whole())  # fmt: skip
        if site.path in ("os.path.join", "pathlib.Path", "Path", "posixpath.join"):
            parts = [part for value in site.arguments for part in (constant("/"), value)][1:]
            made = self.text_of(parts, site.node) if parts else constant("")
            return (
                made if "join" in site.path else replace(made, const=UNKNOWN, kind="pathlib.Path()")
            )
        return None

    def _format(self, site: Site) -> Value:
        """`template.format(...)`, as the pieces around its fields."""
        values = [*site.arguments, *site.keywords.values(), site.extra]
        pieces = site.receiver.text.replace("{{", "").replace("}}", "").split("{")
        if not site.receiver.known or len(pieces) - 1 > len(values):
            return self.text_of(
                [
                    site.receiver,
                    Value(
                        taint=site.taint(),
                        text=HOLE,
                        fixed=all(value.fixed for value in values[:-1]),
                    ),
                ],
                site.node,
            )
        parts = [constant(pieces[0])]
        for number, piece in enumerate(pieces[1:]):
            name, _, rest = piece.partition("}")
            key = name.split(":")[0].split("!")[0]
            if key.isdigit() and int(key) < len(site.arguments):
                value = site.arguments[int(key)]
            else:
                value = site.keywords.get(key) or values[min(number, len(values) - 1)]
            parts += [value, constant(rest)]
        return self.text_of(parts, site.node)

    @staticmethod
    def default_result(site: Site) -> Value:
        """Whatever goes in may come out, except of what is known to answer about it."""
        kind = f"{site.path}()"[-MAX_PATH_CHARS:]
        receiver = site.receiver.whole()
        if site.method in _OPAQUE or site.method.startswith(("is_", "has_", "check_")):
            return Value(taint=receiver, kind=kind)
        fixed = bool(site.arguments or site.receiver.fixed) and all(
            value.fixed for value in site.all() if value is not NOTHING
        )
        pure = site.receiver.kind in ("str", "bytes") or site.path in cleaners.PURE
        taint = merged([receiver, site.taint()])
        text = HOLE if taint != CLEAN or pure else ""
        return Value(taint=taint, kind="str" if pure else kind, fixed=fixed and pure, text=text,
                     built=site.receiver.built)  # fmt: skip
