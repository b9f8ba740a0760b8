"""Parsers of XML that are told to follow what a document names, and those that are told not to."""

import ast
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import Reach, Value
from penstock_agent_security_scanner.taint.weighing import Levels, weigh

_PARSED_WITH: Final = frozenset(
    {
        "xml.dom.minidom.parse", "xml.dom.minidom.parseString", "xml.dom.pulldom.parse",
        "xml.dom.pulldom.parseString",
    }
)  # fmt: skip
_LXML_PARSED: Final = frozenset({"lxml.etree.fromstring", "lxml.etree.parse", "lxml.etree.XML"})
_DOCUMENTS: Final[Levels] = {Reach.REMOTE: "high", Reach.LOCAL: "medium", Reach.CALLER: "medium"}


def judge(machine: Machine, site: Site) -> None:
    """Report a parser that follows, and clear one that does not."""
    path = site.path
    if path.startswith("lxml.") and path.endswith(("XMLParser", "iterparse", "ETCompatXMLParser")):
        if (
            site.is_set("resolve_entities", True)
            or site.is_set("no_network", False)
            or site.is_set("load_dtd", True)
            or site.is_set("dtd_validation", True)
        ):
            machine.report(catalogue.XXE, site.line)
        elif site.is_set("resolve_entities", False):
            machine.clear(catalogue.XXE, site.lines)
    elif path == "xml.sax.make_parser" or (
        path in _PARSED_WITH and site.argument(1, "parser") is not None
    ):
        # Entities from outside are off in a fresh parser; setFeature is judged where it stands.
        machine.clear(catalogue.XXE, site.lines)
        _parsed_with(machine, site)
    elif path in _LXML_PARSED and _resolves(site.argument(1, "parser")):
        given = site.argument(0, "text", "source")
        if given is not None:
            weigh(machine, site, catalogue.XXE, "xml", given, _DOCUMENTS)
    elif site.method == "setFeature" and len(site.arguments) == 2:
        feature, value = site.arguments
        name = f"{feature.kind} {feature.text}"
        on = value.known and bool(value.const)
        if any(
            part in name
            for part in ("external_ges", "external-general", "external_pes", "external-parameter")
        ):
            if on:
                machine.report(catalogue.XXE, site.line)
                machine.parsers[site.hint] = site.line
            else:
                machine.clear(catalogue.XXE, site.lines)


def _parsed_with(machine: Machine, site: Site) -> None:
    """A document of the program's own does no harm, whatever its parser is told to follow."""
    parser = site.node.args[1] if len(site.node.args) > 1 else None
    line = machine.parsers.get(parser.id.lower()) if isinstance(parser, ast.Name) else None
    if line is not None and site.arguments[0].fixed:
        machine.withdraw(catalogue.XXE, line)


def _resolves(parser: Value | None) -> bool:
    """Whether a parser of lxml follows entities: unless told otherwise, it does."""
    if parser is None:
        return True
    if not parser.kind.endswith("XMLParser()"):
        return False
    told = dict(parser.pairs or ()).get("resolve_entities")
    return told is None or not told.known
