"""Reading the table of a language from its file."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from penstock_agent_security_scanner.languages.flow.tables import (
    UNSET,
    Cleaner,
    Fresh,
    Guarded,
    Literally,
    Option,
    Sink,
    Table,
    Until,
    Wrong,
)
from penstock_agent_security_scanner.languages.flow.values import BIT, CLEAN, LOCAL, UNKNOWN
from penstock_agent_security_scanner.languages.rules import BY_NAME

_GIVES = {"local": LOCAL, "none": 0, "unknown": UNKNOWN}

# A table's entries are of these names: a typing error must not switch a rule off.
_KEYS = {
    "sink": "rule kind from calls writes args keys unless_keys when owners like records texts"
    " family first least",
    "wrong": "rule calls arg keys lacks when context text is below literal repeats empty"
    " above ref narrow",
    "option": "rule key within lacks text is below literal repeats empty above ref narrow",
    "guarded": "rule family calls until",
    "clean": "kinds calls",
    "fresh": "gives calls when",
}


@cache
def table_of(language: str) -> Table:
    """The table in `<language>.toml`.

    Raises:
        KeyError: A rule, kind or key that does not exist; the tables are part of the program.
    """
    text = files(__package__ or "").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    for section, known in _KEYS.items():
        for entry in data.get(section, []):
            unknown = set(entry) - set(known.split())
            if unknown:
                raise KeyError(f"{language}.toml, {section}: {', '.join(sorted(unknown))}")
    table = Table(
        _any(data.get("remote", [])),
        _any(data.get("local", [])),
        frozenset(data.get("remote_notes", [])),
        frozenset(data.get("remote_types", [])),
        re.compile(data.get("neutral_types", r"(?!)")),
        re.compile(data.get("entry_notes", r"(?!)")),
        bool(data.get("inherits", False)),
    )
    _sinks(table, data)
    _wrongs(table, data)
    _guards(table, data)
    _results(table, data)
    return table


def _any(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


def _maybe(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


def _sinks(table: Table, data: dict[str, Any]) -> None:
    for entry in data.get("sink", []):
        sink = Sink(
            BY_NAME[entry["rule"]],
            BIT[entry["kind"]],
            entry["kind"],
            tuple(entry.get("args", [0])),
            entry.get("from", "outside"),
            tuple(entry.get("keys", [])),
            frozenset(entry.get("unless_keys", [])),
            _maybe(entry.get("when")),
            _maybe(entry.get("owners")),
            entry.get("like", False),
            entry.get("records", False),
            entry.get("texts", False),
            entry.get("family", ""),
            _maybe(entry.get("first")),
            entry.get("least", 0),
        )
        for call in entry.get("calls", []):
            table.sinks.add(call, sink)
        for target in entry.get("writes", []):
            table.writes.append((re.compile(target), sink))


def _literally(entry: dict[str, Any]) -> Literally:
    return Literally(
        _maybe(entry.get("text")),
        entry.get("is", UNSET),
        entry.get("below"),
        entry.get("literal", False),
        entry.get("repeats", False),
        entry.get("empty", False),
        entry.get("above"),
        _maybe(entry.get("ref")),
        entry.get("narrow", False),
    )


def _wrongs(table: Table, data: dict[str, Any]) -> None:
    for entry in data.get("wrong", []):
        wrong = Wrong(
            BY_NAME[entry["rule"]],
            _literally(entry),
            entry.get("arg"),
            tuple(entry.get("keys", [])),
            entry.get("lacks", ""),
            _maybe(entry.get("when")),
            entry.get("context", ""),
        )
        for call in entry["calls"]:
            table.wrongs.add(call, wrong)
    for entry in data.get("option", []):
        rule, key = BY_NAME[entry["rule"]], re.compile(entry["key"])
        within, lacks = _maybe(entry.get("within")), frozenset(entry.get("lacks", ()))
        table.options.append(Option(rule, _literally(entry), key, within, lacks))


def _guards(table: Table, data: dict[str, Any]) -> None:
    for entry in data.get("guarded", []):
        guarded = Guarded(BY_NAME[entry["rule"]], entry["family"])
        for call in entry["calls"]:
            table.guarded.add(call, guarded)
        for until in entry["until"]:
            spec = Until(
                entry["family"],
                tuple((int(index), value) for index, value in until.get("args", {}).items()),
                _maybe(until.get("text")),
            )
            for call in until["calls"]:
                table.until.add(call, spec)


def _results(table: Table, data: dict[str, Any]) -> None:
    for entry in data.get("clean", []):
        kinds = entry["kinds"]
        bits = CLEAN if kinds == "all" else sum(BIT[kind] for kind in kinds)
        for call in entry["calls"]:
            table.cleaners.add(call, Cleaner(bits))
    for entry in data.get("fresh", []):
        for call in entry["calls"]:
            table.fresh.add(call, Fresh(_GIVES[entry["gives"]], _maybe(entry.get("when"))))
