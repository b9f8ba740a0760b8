"""pyproject.toml: versions of one package in all the tables that declare dependencies."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import String

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.requirements import Edited, canonical, updated_requirement
from penstock_agent_patcher.specifiers import poetry_constraint

Table = MutableMapping[str, Any]
_LISTS = (
    ("build-system", "requires"),
    ("project", "dependencies"),
    ("project", "optional-dependencies", "*"),
    ("dependency-groups", "*"),
    ("tool", "uv", "dev-dependencies"),
    ("tool", "uv", "constraint-dependencies"),
    ("tool", "uv", "override-dependencies"),
    ("tool", "pdm", "dev-dependencies", "*"),
    ("tool", "hatch", "envs", "*", "dependencies"),
    ("tool", "hatch", "envs", "*", "extra-dependencies"),
)
_POETRY = (
    ("tool", "poetry", "dependencies"),
    ("tool", "poetry", "dev-dependencies"),
    ("tool", "poetry", "group", "*", "dependencies"),
)


def parse_toml(text: str) -> tomlkit.TOMLDocument:
    """A document that writes itself as it was read.

    Raises:
        Unfit: Not TOML, or it would not be written back as it is.
    """
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
        raise Unfit(f"not TOML: {' '.join(str(error).split())[:200]}") from error
    if tomlkit.dumps(document) != text:
        raise Unfit("the file cannot be written back as it is")
    return document


def alike(item: object, text: str) -> String:
    """A TOML string in the quotes that another one has."""
    quoted = item.as_string() if isinstance(item, String) else '"'
    literal = quoted.startswith("'") and "'" not in text
    return tomlkit.string(text, literal=literal)


def update_pyproject(text: str, name: str, wanted: str) -> Edited:
    """The file with every declaration of the package updated.

    Raises:
        Unfit: The file cannot be edited, or a declaration cannot be updated.
    """
    document = parse_toml(text)
    found = 0
    for path in _LISTS:
        for array in _at(document, path):
            found += _update_list(array, name, wanted)
    for path in _POETRY:
        for table in _at(document, path):
            found += _update_table(table, name, wanted)
    return Edited(tomlkit.dumps(document), found)


def _at(node: object, path: tuple[str, ...]) -> Iterator[Any]:
    """Every value a path reaches; `*` is each member of a table."""
    if not path:
        yield node
    elif isinstance(node, MutableMapping):
        table = cast("Table", node)
        names = list(table) if path[0] == "*" else [path[0]] if path[0] in table else []
        for key in names:
            yield from _at(table[key], path[1:])


def _update_list(array: object, name: str, wanted: str) -> int:
    if not isinstance(array, list):
        return 0
    found = 0
    for position, item in enumerate(list(cast("list[object]", array))):
        if not isinstance(item, str):
            continue
        changed = updated_requirement(str(item), name, wanted)
        if changed is None:
            continue
        found += 1
        if changed != str(item):
            array[position] = alike(item, changed)
    return found


def _update_table(table: object, name: str, wanted: str) -> int:
    if not isinstance(table, MutableMapping):
        return 0
    entries = cast("Table", table)
    found = 0
    for key in list(entries):
        if canonical(key) != canonical(name):
            continue
        declared = entries[key]
        for entry in cast("list[object]", declared) if isinstance(declared, list) else [declared]:
            found += 1
            if isinstance(entry, MutableMapping):
                inner = cast("Table", entry)
                _set(inner, "version", wanted, f"{key} is declared by {_kind(inner)}")
            elif entry is declared:
                _set(entries, key, wanted, f"{key} has no version")
    return found


def _set(table: Table, key: str, wanted: str, otherwise: str) -> None:
    current = table.get(key)
    if not isinstance(current, str):
        raise Unfit(f"{otherwise}, not by version")
    changed = poetry_constraint(current, wanted)
    if changed != current:
        table[key] = alike(current, changed)


def _kind(table: Table) -> str:
    return next((key for key in ("git", "path", "url", "file") if key in table), "something else")


Updater = Callable[[str, str, str], Edited]
