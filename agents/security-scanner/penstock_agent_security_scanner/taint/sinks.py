"""Calls, returns and assignments where a value of somebody else's choice does harm."""

import ast
import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint import calls_at_risk as risk
from penstock_agent_security_scanner.taint import commands, misuse, queries, sources, web
from penstock_agent_security_scanner.taint.machine import Machine, lines_of
from penstock_agent_security_scanner.taint.scopes import Function
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import Reach, Value

_HEADER_OWNER: Final = re.compile(r"headers$")


def judge(machine: Machine, site: Site) -> None:
    """Everything that can be wrong with one call."""
    queries.judge(machine, site)
    commands.judge(machine, site)
    web.judge(machine, site)
    risk.judge(machine, site)
    misuse.called(machine, site)


def page(machine: Machine, function: Function, value: Value, node: ast.AST) -> None:
    """What a request handler returns."""
    web.returned(machine, function, value, node)


def stored_item(machine: Machine, owner: Value, key: Value, value: Value, node: ast.AST) -> None:
    """`owner[key] = value`."""
    line = lines_of(node).start
    name = owner.kind.rpartition(".")[2]
    written = node.value if isinstance(node, ast.Subscript) else node
    if name == "session" or "session" in sources.last(written).lower():
        misuse.vouched(machine, value)
    if owner.kind.endswith("Response()"):
        name = "headers"
    if name == "session":
        if Reach.REMOTE in (key.reach("trust"), value.reach("trust")):
            machine.report(catalogue.TRUST, line)
        else:
            machine.clear(catalogue.TRUST, lines_of(node))
    elif _HEADER_OWNER.search(name) and not owner.kind.startswith(("request", "flask.request")):
        if str(key.const).lower() == "location" and value.reach("url") is Reach.REMOTE:
            machine.report(catalogue.REDIRECT, line)
        elif value.reach("header") is Reach.REMOTE or key.reach("header") is Reach.REMOTE:
            machine.report(catalogue.HEADER, line)
        if str(key.const).lower() == "access-control-allow-origin" and (
            value.const == "*" or value.reach("cors") is Reach.REMOTE
        ):
            machine.report(catalogue.CORS, line)


def stored_attribute(
    machine: Machine, owner: Value, name: str, value: Value, node: ast.AST
) -> None:
    """`owner.name = value`."""
    misuse.attribute_set(machine, owner, name, value, lines_of(node).start)
