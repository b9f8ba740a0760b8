"""Query languages: SQL, LDAP, XPath and those of document stores."""

import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import HOLE, Reach, Value
from penstock_agent_security_scanner.taint.weighing import Levels, weigh

_STATEMENT: Final = re.compile(
    r"(?is)\b(?:select\b.{1,200}?\bfrom|insert\s+into|delete\s+from|update\b.{1,80}?\bset|"
    r"drop\s+(?:table|database)|create\s+(?:table|user|database)|alter\s+table|where\b.{1,80}?=|"
    r"order\s+by|union\s+select|replace\s+into|exec(?:ute)?\s|truncate\s+table|grant\s)\b"
)
_EXECUTORS: Final = frozenset(
    {
        "execute", "executemany", "executescript", "raw", "extra", "fetch", "fetchrow",
        "fetchval", "execute_sql", "exec_driver_sql", "query", "execute_query",
        "executesql", "sql", "run_query", "read_sql", "read_sql_query", "select_all",
        "select_one", "mogrify", "prepare", "copy_expert",
    }
)  # fmt: skip
_SURE: Final = frozenset(
    {
        "execute", "executemany", "executescript", "raw", "exec_driver_sql", "read_sql",
        "read_sql_query", "mogrify",
    }
)  # fmt: skip
_TEXTS: Final = frozenset(
    {
        "sqlalchemy.text", "sqlalchemy.sql.text", "sqlalchemy.sql.expression.text",
        "RawSQL", "django.db.models.expressions.RawSQL", "sqlalchemy.literal_column",
        "psycopg2.sql.SQL", "psycopg.sql.SQL", "sqlmodel.text", "db.text",
        "flask_sqlalchemy.SQLAlchemy().text",
    }
)  # fmt: skip
_STORES: Final = frozenset(
    {
        "cursor", "cur", "curs", "c", "conn", "connection", "con", "db", "database",
        "session", "engine", "crsr", "dbh", "sqlite", "mysql", "postgres", "pool",
        "objects",
    }
)  # fmt: skip
_SQL_LEVELS: Final[Levels] = {Reach.REMOTE: "high", Reach.LOCAL: "medium", Reach.CALLER: "medium"}
_REMOTE: Final[Levels] = {Reach.REMOTE: "high"}
_BUILT_LEVELS: Final[Levels] = {Reach.REMOTE: "high", Reach.LOCAL: "medium", Reach.CALLER: "medium"}
_LDAP_CALLS: Final = frozenset(
    {
        "search", "search_s", "search_st", "search_ext", "search_ext_s", "paged_search",
        "bind_s", "simple_bind_s",
    }
)  # fmt: skip
_XPATH_CALLS: Final = frozenset({"xpath", "XPath", "ETXPath", "XPathEvaluator", "iterselect"})
_FINDERS: Final = frozenset({"find", "findall", "findtext", "iterfind", "select"})
_DOCUMENT_CALLS: Final = frozenset(
    {
        "find", "find_one", "find_one_and_update", "find_one_and_delete", "update_one",
        "update_many", "delete_one", "delete_many", "count_documents", "aggregate",
        "replace_one", "distinct",
    }
)  # fmt: skip


def judge(machine: Machine, site: Site) -> None:
    """Queries that hold more than values."""
    method = site.method
    if method in _EXECUTORS or site.path in _TEXTS:
        _sql(machine, site)
    if method in _LDAP_CALLS and {"ldap", "ldap3", "helpers"} & machine.imports:
        _ldap(machine, site)
    if method in _XPATH_CALLS or (method in _FINDERS and _is_xml(site)):
        _xpath(machine, site)
    if method in _DOCUMENT_CALLS:
        _documents(machine, site)


def _sql(machine: Machine, site: Site) -> None:
    index = 1 if site.method == "extra" else 0
    given = site.argument(
        index, "sql", "query", "statement", "operation", "where", "select", "stmt"
    )
    if given is None:
        return
    looks = bool(_STATEMENT.search(given.text.replace(HOLE, " x ") + " "))
    is_store = site.hint in _STORES or "cursor" in site.hint or "connect" in site.receiver.kind
    if not looks and not is_store and site.path not in _TEXTS and site.method not in _SURE:
        return
    if given.kind.endswith("()") and not looks and not _is_source(given):
        return  # a statement object of a query builder
    if site.hint in ("executor", "pool", "loop", "self") and not looks:
        return
    levels: Levels = _SQL_LEVELS if looks and given.built else {Reach.REMOTE: "high"}
    if looks and given.built and given.reach("sql") is None and not given.fixed:
        machine.doubt(catalogue.SQL, site.lines)
        return
    weigh(machine, site, catalogue.SQL, "sql", given, levels)


def _is_source(value: Value) -> bool:
    return value.kind.startswith(("request", "flask.request", "input", "self.request", "event"))


def _ldap(machine: Machine, site: Site) -> None:
    parts = [
        site.argument(0, "search_base", "base"),
        site.argument(1, "search_filter", "filterstr"),
        site.argument(2, "filterstr"),
    ]
    for value in parts:
        if value is not None and (value.text or value.reach("ldap") is not None):
            levels: Levels = _BUILT_LEVELS if value.built else _REMOTE
            if weigh(machine, site, catalogue.LDAP, "ldap", value, levels):
                return


def _is_xml(site: Site) -> bool:
    hints = ("xml", "etree", "lxml", "elementpath", "root", "tree", "doc")
    return any(hint in site.path.lower() or hint in site.hint for hint in hints)


def _xpath(machine: Machine, site: Site) -> None:
    index = 1 if site.path.startswith("elementpath.") else 0
    given = site.argument(index, "path", "_path", "query", "expression")
    if given is None:
        return
    levels: Levels = _BUILT_LEVELS if given.built and site.method in _XPATH_CALLS else _REMOTE
    weigh(machine, site, catalogue.XPATH, "xpath", given, levels)


def _documents(machine: Machine, site: Site) -> None:
    has_code = any(
        key == "$where" for key, _ in (site.argument(0, "filter") or Value()).pairs or ()
    )
    if (
        not has_code
        and not {"pymongo", "flask_pymongo", "mongoengine", "motor", "bson"} & machine.imports
    ):
        return
    given = site.argument(0, "filter")
    if given is None:
        return
    level: Severity | None = None
    for key, value in given.pairs or ():
        if value.reach("nosql") is Reach.REMOTE and (key == "$where" or _is_structure(value)):
            level = "high"
    if given.pairs is None and given.reach("nosql") is Reach.REMOTE:
        level = "high"
    if level is not None:
        machine.report(catalogue.NOSQL, site.line, level)
    else:
        machine.clear(catalogue.NOSQL, site.lines)


def _is_structure(value: Value) -> bool:
    """Whether it can be more than a text: what was read as JSON can."""
    return "json" in value.kind.lower() or value.kind.startswith(("request.data", "event"))
