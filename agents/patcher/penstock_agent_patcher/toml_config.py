"""One key of a TOML file: values by tomlkit, new lines by place."""

import re
import tomllib
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.key_paths import Data, Steps, changed_data, nested, same, unshared
from penstock_agent_patcher.models import ConfigChange
from penstock_agent_patcher.pyproject import alike, parse_toml

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def change_toml(text: str, task: ConfigChange) -> str:
    """The text after the change.

    Raises:
        Unfit: Not TOML, the key is not as the action needs it, or TOML has no such value.
    """
    document = parse_toml(text)
    if _has_null(task.value) and task.action != "delete":
        raise Unfit("TOML has no null")
    expected = changed_data(unshared(tomllib.loads(text)), task)
    for candidate in _candidates(text, document, task):
        try:
            if same(tomllib.loads(candidate), expected):
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise Unfit(f"{task.label} cannot be changed without touching other parts")


def _candidates(text: str, document: tomlkit.TOMLDocument, task: ConfigChange) -> Iterator[str]:
    """Ways to write the change, the one nobody would notice first; the first right one counts."""
    holder, missing = _reached(document, task.steps)
    if task.action != "delete" and missing:
        yield from _inserted(text, task, task.steps[: len(task.steps) - len(missing)])
    yield from _by_library(document, holder, missing, task)


def _reached(document: Data, steps: Steps) -> tuple[Any, Steps]:
    """The innermost container on the way to a key that is there, and the steps not taken."""
    holder: Any = document
    for taken, step in enumerate(steps):
        key: Any = int(step) if isinstance(holder, list) else str(step)
        if key not in (
            range(len(cast("list[Any]", holder))) if isinstance(holder, list) else holder
        ):
            return holder, steps[taken:]
        if taken + 1 == len(steps):
            return holder, ()
        holder = cast("Any", holder)[key]
    return holder, ()


def _by_library(
    document: tomlkit.TOMLDocument, holder: Data, missing: Steps, task: ConfigChange
) -> Iterator[str]:
    step: Any = missing[0] if missing else task.steps[-1]
    step = int(step) if isinstance(holder, list) else str(step)
    value = nested(task, len(task.steps) - len(missing) + 1) if missing else task.value
    try:
        if task.action == "delete":
            del holder[step]
        elif isinstance(holder, list) and missing:
            cast("list[Any]", holder).append(tomlkit.item(value))
        elif isinstance(value, str) and not missing:
            holder[step] = alike(holder[step], value)
        else:
            holder[step] = tomlkit.item(value)
        yield tomlkit.dumps(document)
    except (TOMLKitError, TypeError, ValueError, LookupError, AttributeError) as error:
        # An array of tables takes nothing else; tomlkit finds out in several ways.
        raise Unfit(f"{task.label}: {' '.join(str(error).split())[:200]}") from error


def _inserted(text: str, task: ConfigChange, there: Steps) -> Iterator[str]:
    """A new line at the end of the table that is to hold the key, or a new table at the end."""
    table, key = list(task.steps[:-1]), str(task.steps[-1])
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    as_table = isinstance(task.value, dict) and len(there) < len(table) + 1
    if not as_table:
        written = f"{_key(key)} = {_value(task.value)}\n"
        for start in _section_starts(lines, table):
            for end in _section_ends(lines, start):
                yield _joined(lines, start, end, written)
    if as_table:
        header, body = [*table, key], cast("dict[str, Any]", task.value)
    else:
        header, body = table, {key: task.value}
    if header:
        rows = "".join(f"{_key(name)} = {_value(item)}\n" for name, item in body.items())
        before = text if text.endswith("\n") or not text else f"{text}\n"
        blank = "\n" if before.strip() else ""
        new = f"{before}{blank}[{'.'.join(_key(str(step)) for step in header)}]\n{rows}"
        yield new if text.endswith("\n") or not text else new.removesuffix("\n")


def _section_starts(lines: list[str], table: list[str | int]) -> Iterator[int]:
    """Indices of the first line of a table's body."""
    if not table:
        yield 0
        return
    wanted = [str(step) for step in table]
    for number, line in enumerate(lines):
        header = re.match(r"\s*\[(?!\[)(.*?)\]\s*(?:#.*)?$", line)
        if header and _header_path(header[1]) == wanted:
            yield number + 1


def _header_path(written: str) -> list[str]:
    try:
        node: Any = tomllib.loads(f"[{written}]")
    except tomllib.TOMLDecodeError:
        return []
    path: list[str] = []
    while isinstance(node, dict) and node:
        [(name, node)] = cast("dict[str, Any]", node).items()
        path.append(name)
    return path


def _section_ends(lines: list[str], start: int) -> Iterator[int]:
    """Where a body may end; a line inside a multi-line value is told by what comes of it."""
    for number in range(start, len(lines)):
        if lines[number].lstrip().startswith("["):
            yield number
    yield len(lines)


def _joined(lines: list[str], start: int, end: int, written: str) -> str:
    """The new line after the last line that says something; comments stay with what follows."""
    at = end
    while at > start and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#")):
        at -= 1
    if at == start == 0:
        # Nothing stands in the root yet: above the first table and the comment right above it.
        at = end
        while at > 0 and lines[at - 1].lstrip().startswith("#"):
            at -= 1
        written += "\n" if end < len(lines) else ""
    blanks = re.match(r"[ \t]*", lines[at - 1] if at > start else "")
    written = (blanks[0] if blanks else "") + written
    if at and not lines[at - 1].endswith("\n"):
        return "".join(lines[:at]) + "\n" + written.removesuffix("\n") + "".join(lines[at:])
    return "".join(lines[:at]) + written + "".join(lines[at:])


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else tomlkit.string(name).as_string()


def _value(value: object) -> str:
    """A value on one line."""
    if isinstance(value, MutableMapping | dict):
        table = cast("MutableMapping[str, object]", value)
        rows = ", ".join(f"{_key(name)} = {_value(item)}" for name, item in table.items())
        return f"{{ {rows} }}" if rows else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in cast('list[object]', value))}]"
    return tomlkit.item(value).as_string()


def _has_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_null(item) for item in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return any(_has_null(item) for item in cast("list[object]", value))
    return value is None
