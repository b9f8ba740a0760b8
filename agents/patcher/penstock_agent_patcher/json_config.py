"""One key of a JSON file, changed in place with the file's own indentation."""

import json
import re

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.json_text import Member, Node, parse_json
from penstock_agent_patcher.key_paths import Data, changed_data, nested, same
from penstock_agent_patcher.models import ConfigChange


def change_json(text: str, task: ConfigChange) -> str:
    """The text after the change.

    Raises:
        Unfit: Not JSON, or the key is not as the action needs it.
    """
    root = parse_json(text)
    expected = changed_data(plain_value(root), task)
    after = _edited(text, root, task)
    if not same(plain_value(parse_json(after)), expected):
        raise Unfit(f"{task.label} cannot be changed without touching other parts")
    return after


def plain_value(node: Node) -> Data:
    """The data a text stands for; a name that occurs twice has its last value."""
    if node.kind == "object":
        return {member.key: plain_value(member.value) for member in node.members}
    if node.kind == "array":
        return [plain_value(member.value) for member in node.members]
    return node.scalar


def _edited(text: str, root: Node, task: ConfigChange) -> str:
    holder, member = root, None
    for depth, step in enumerate(task.steps):
        if member is not None:
            holder = member.value
        member = holder.child(step)
        if member is None:
            return _inserted(text, root, holder, step, nested(task, depth + 1))
    if member is None:
        raise Unfit("no key given")
    if task.action == "delete":
        return _deleted(text, holder, member)
    start, end = member.value.start, member.value.end
    return text[:start] + _written(text, root, member.start, task.value) + text[end:]


def _inserted(text: str, root: Node, holder: Node, step: str | int, value: object) -> str:
    named = holder.kind == "object"
    if not holder.members:
        return _first(text, root, holder, str(step) if named else None, value)
    last = holder.members[-1]
    colon = _colon(text, holder)
    between = text[_line_start(text, last.start) : last.start]
    alone = not between.strip() and "\n" in text[holder.start : last.start]
    name = f"{json.dumps(str(step), ensure_ascii=False)}{colon}" if named else ""
    gap = f"\n{between}" if alone else re.sub(r"\S.*", "", _gap(text, holder), flags=re.DOTALL)
    written = _written(text, root, last.start, value)
    # A trailing comma, which some files may have, goes on being the last thing.
    at = last.value.end
    return f"{text[:at]},{gap}{name}{written}{text[at:]}"


def _first(text: str, root: Node, holder: Node, name: str | None, value: object) -> str:
    line = text[_line_start(text, holder.start) : holder.start]
    outer = re.match(r"[ \t]*", line)
    unit = indent_unit(text, root)
    colon = _colon(text, root)
    written = "" if name is None else json.dumps(name, ensure_ascii=False) + colon
    opening, closing = text[holder.start], text[holder.end - 1]
    if unit is None:
        body = written + _dumped(value, None, colon, "")
        return f"{text[: holder.start]}{opening}{body}{closing}{text[holder.end :]}"
    blanks = outer[0] if outer else ""
    body = written + _dumped(value, unit, colon, blanks + unit)
    inner = f"{opening}\n{blanks}{unit}{body}\n{blanks}{closing}"
    return text[: holder.start] + inner + text[holder.end :]


def _deleted(text: str, holder: Node, member: Member) -> str:
    place = holder.members.index(member)
    if len(holder.members) == 1:
        return text[: holder.start + 1] + text[holder.end - 1 :]
    if place + 1 < len(holder.members):
        return text[: member.start] + text[holder.members[place + 1].start :]
    return text[: holder.members[place - 1].value.end] + text[member.value.end :]


def indent_unit(text: str, root: Node) -> str | None:
    """What one level is indented by; None for a file on one line."""
    if not root.members or "\n" not in text[root.start : root.end]:
        return None if root.members else "  "
    first = root.members[0]
    blanks = text[_line_start(text, first.start) : first.start]
    return blanks if blanks and not blanks.strip() else "  "


def _written(text: str, root: Node, at: int, value: object) -> str:
    line = text[_line_start(text, at) : at]
    blanks = re.match(r"[ \t]*", line)
    return _dumped(value, indent_unit(text, root), _colon(text, root), blanks[0] if blanks else "")


def _dumped(value: object, unit: str | None, colon: str, prefix: str) -> str:
    comma = "," if unit is not None or colon == ":" else ", "
    plain = json.dumps(
        value, ensure_ascii=False, indent=unit, separators=(comma, colon), allow_nan=False
    )
    return plain.replace("\n", f"\n{prefix}")


def _colon(text: str, holder: Node) -> str:
    """How this object separates names from values."""
    for member in holder.members:
        if member.key is not None:
            quoted = re.match(
                r'"(?:[^"\\]|\\.)*"(\s*:\s*)', text[member.start : member.value.start]
            )
            if quoted and "\n" not in quoted[1]:
                return quoted[1]
    return ": "


def _gap(text: str, holder: Node) -> str:
    if len(holder.members) > 1:
        before, last = holder.members[-2:]
        return text[before.value.end : last.start].partition(",")[2]
    return " "


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1
