"""How values are written in YAML: plain where that is safe, in double quotes elsewhere."""

import json
import re
from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

# Plain words that one or the other version of YAML reads as something else than text.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""})
_SAFE_PLAIN = re.compile(r"[A-Za-z_/.][^\x00-\x1f\x7f-\x9f]*")
_FLOW = frozenset(",[]{}")


def scalar_text(value: object, *, quote: str | None = None, flow: bool = False) -> str:
    """One scalar; `quote` is that of the value it replaces, kept if the new one can have it."""
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if quote != '"' and _plain(value) and not (flow and _FLOW & set(value)):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def flow_text(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        rows = (f"{scalar_text(key, flow=True)}: {flow_text(item)}" for key, item in table.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in cast("list[object]", value)) + "]"
    return scalar_text(value, flow=True)


def block_lines(value: object, indent: int, dash: int) -> list[str]:
    """A collection that is not empty, line by line.

    Args:
        value: The collection.
        indent: Column it begins at.
        dash: How far a list is indented below the name it belongs to.
    """
    lines: list[str] = []
    blanks = " " * indent
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            lines += entry_lines(blanks + scalar_text(key) + ":", item, indent, dash)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict | list) and item:
                inner = block_lines(cast("object", item), indent + 2, dash)
                lines += [f"{blanks}- {inner[0].lstrip(' ')}", *inner[1:]]
            else:
                lines.append(f"{blanks}- {flow_text(cast('object', item))}")
    return lines


def entry_lines(head: str, value: object, indent: int, dash: int) -> list[str]:
    """`name:` and its value, in one line or below it."""
    if isinstance(value, dict) and value:
        return [head, *block_lines(cast("object", value), indent + 2, dash)]
    if isinstance(value, list) and value:
        return [head, *block_lines(cast("object", value), indent + dash, dash)]
    if isinstance(value, str):
        return [f"{head} {scalar_text(value)}"]
    return [f"{head} {flow_text(value)}"]


def _plain(text: str) -> bool:
    if text.lower() in _WORDS or text != text.strip() or not _SAFE_PLAIN.fullmatch(text):
        return False
    if ": " in text or " #" in text or text.endswith(":") or not text.isprintable():
        return False
    try:
        return YAML(typ="safe", pure=True).load(f"a: {text}") == {"a": text}
    except YAMLError:
        return False
