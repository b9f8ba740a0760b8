"""One key of a YAML file, changed in place: ruamel.yaml says where things are, text is edited.

Its own round trip keeps comments but writes the whole file anew, which indents, folds and quotes
some lines differently. Whatever is edited here is read again and compared with the change made to
plain data, so that an alias, a merge or an odd layout ends in a refusal and not in damage.
"""

from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.key_paths import Data, changed_data, nested, same, unshared
from penstock_agent_patcher.models import ConfigChange
from penstock_agent_patcher.yaml_text import block_lines, entry_lines, flow_text, scalar_text

DEFAULT_DASH = 2


def change_yaml(text: str, task: ConfigChange) -> str:
    """The text after the change.

    Raises:
        Unfit: Not one YAML document, the key is not as the action needs it, or the place is
            written in a way that cannot be edited alone.
    """
    expected = changed_data(unshared(_loaded(text)), task)
    after = _Editor(text, task).edited()
    try:
        right = same(unshared(_loaded(after)), expected)
    except Unfit:
        right = False
    if not right:
        raise Unfit(f"{task.label} cannot be changed without touching other parts")
    return after


def _loaded(text: str) -> Data:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise Unfit(f"not one YAML document: {' '.join(problem.split())[:200]}") from error


class _Editor:
    """One edit of one text; positions are indices into it."""

    def __init__(self, text: str, task: ConfigChange) -> None:
        self._text = text
        self._task = task
        self._root: Node | None = YAML(pure=True).compose(text)
        self._dash = _dash_of(self._root)

    def edited(self) -> str:
        steps = self._task.steps
        found = self._root
        if found is None or (isinstance(found, ScalarNode) and found.value == ""):
            return self._appended(nested(self._task, 0))
        start, holder = 0, cast("CollectionNode", found)
        for depth, step in enumerate(steps):
            holder = cast("CollectionNode", found)
            entry = _child(found, step)
            if entry is None:
                return self._created(holder, step, nested(self._task, depth + 1))
            start, found = entry
        if self._task.action == "delete":
            return self._deleted(holder, start, found)
        return self._replaced(holder, start, found)

    def _appended(self, value: Data) -> str:
        before = self._text
        joint = "" if not before or before.endswith("\n") else "\n"
        return before + joint + "\n".join(block_lines(value, 0, self._dash)) + "\n"

    def _replaced(self, holder: CollectionNode, start: int, old: Node) -> str:
        value = self._task.value
        end = _content_end(self._text, old)
        begin = old.start_mark.index
        if isinstance(holder, MappingNode) and begin == old.end_mark.index:
            begin = end = _colon_end(self._text, self._key_end(holder, start))
        if old.anchor:
            raise Unfit(f"{self._task.label} is an anchor or an alias")
        collection = isinstance(value, dict | list) and bool(value)
        flow = holder.flow_style or (isinstance(old, CollectionNode) and old.flow_style)
        if flow or (isinstance(old, ScalarNode) and not collection):
            written = (
                flow_text(value)
                if isinstance(value, dict | list)
                else scalar_text(value, quote=_quote(old), flow=bool(holder.flow_style))
            )
            blank = " " if begin > 0 and self._text[begin - 1] == ":" else ""
            return self._text[:begin] + blank + written + self._text[max(begin, end) :]
        if isinstance(holder, MappingNode):
            colon = _colon_end(self._text, self._key_end(holder, start))
            lines = entry_lines("", value, self._column(start), self._dash)
            return self._text[:colon] + "\n".join(lines) + self._text[max(colon, end) :]
        column = self._column(begin)
        lines = block_lines(value, column, self._dash) if collection else [flow_text(value)]
        return self._text[:begin] + "\n".join(lines).lstrip(" ") + self._text[end:]

    def _created(self, holder: CollectionNode, step: str | int, value: Data) -> str:
        if holder.flow_style or not holder.value:
            return self._created_in_flow(holder, step, value)
        line_end = self._text.find("\n", _content_end(self._text, holder))
        at = len(self._text) if line_end < 0 else line_end
        column = self._column(holder.start_mark.index)
        if isinstance(holder, MappingNode):
            head = " " * column + scalar_text(str(step)) + ":"
            lines = entry_lines(head, value, column, self._dash)
        else:
            lines = block_lines([value], column, self._dash)
        return self._text[:at] + "\n" + "\n".join(lines) + self._text[at:]

    def _created_in_flow(self, holder: CollectionNode, step: str | int, value: Data) -> str:
        name = f"{scalar_text(str(step), flow=True)}: " if isinstance(holder, MappingNode) else ""
        if not holder.value:
            at = holder.end_mark.index - 1
            return self._text[:at] + name + flow_text(value) + self._text[at:]
        at = _entry_end(self._text, holder.value[-1])
        return f"{self._text[:at]}, {name}{flow_text(value)}{self._text[at:]}"

    def _deleted(self, holder: CollectionNode, start: int, old: Node) -> str:
        entries = [each[0] if isinstance(each, tuple) else each for each in holder.value]
        place = next(n for n, each in enumerate(entries) if each.start_mark.index == start)
        end = _entry_end(self._text, holder.value[place])
        if len(entries) == 1:
            return self._emptied(holder, end)
        if holder.flow_style:
            if place + 1 < len(entries):
                return self._text[:start] + self._text[entries[place + 1].start_mark.index :]
            left = _entry_end(self._text, holder.value[place - 1])
            return self._text[:left] + self._text[end:]
        line_start = self._text.rfind("\n", 0, start) + 1
        line_end = self._text.find("\n", end)
        lead = self._text[line_start:start].strip()
        if isinstance(holder, MappingNode) and lead:
            # The first name of a list's entry: what follows moves up behind the dash.
            return self._text[:start] + self._text[entries[place + 1].start_mark.index :]
        if line_end < 0:
            return self._text[: max(0, line_start - 1)]
        return self._text[:line_start] + self._text[line_end + 1 :]

    def _emptied(self, holder: CollectionNode, end: int) -> str:
        empty = "{}" if isinstance(holder, MappingNode) else "[]"
        if holder.flow_style:
            return (
                self._text[: holder.start_mark.index] + empty + self._text[holder.end_mark.index :]
            )
        begin = holder.start_mark.index
        before = self._text[:begin].rstrip(" \n")
        if before.endswith((":", "-")) and before:
            return f"{before} {empty}{self._text[end:]}"
        return self._text[:begin] + empty + self._text[end:]

    def _key_end(self, holder: CollectionNode, start: int) -> int:
        key = next(key for key, _ in holder.value if key.start_mark.index == start)
        return key.end_mark.index

    def _column(self, at: int) -> int:
        return at - (self._text.rfind("\n", 0, at) + 1)


def _child(holder: Node, step: str | int) -> tuple[int, Node] | None:
    """Where the entry starts and its value."""
    if isinstance(holder, MappingNode):
        for key, value in holder.value:
            if isinstance(key, ScalarNode) and key.value == str(step):
                return key.start_mark.index, value
        return None
    if isinstance(holder, SequenceNode) and str(step).isdecimal():
        position = int(step)
        if position < len(holder.value):
            return holder.value[position].start_mark.index, holder.value[position]
    return None


def _content_end(text: str, node: Node) -> int:
    """Where the last character of a value is, without the blanks and comments behind it."""
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        end = node.end_mark.index
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            return node.start_mark.index + len(text[node.start_mark.index : end].rstrip("\n "))
        return end
    return _entry_end(text, node.value[-1])


def _entry_end(text: str, entry: Node | tuple[Node, Node]) -> int:
    """As `_content_end`, of an entry of a list or of a name with its value."""
    if not isinstance(entry, tuple):
        return _content_end(text, entry)
    key, value = entry
    if value.start_mark.index == value.end_mark.index:
        # A value that is not written lies, for the parser, where the next thing begins.
        return _colon_end(text, key.end_mark.index)
    return _content_end(text, value)


def _colon_end(text: str, key_end: int) -> int:
    colon = text.find(":", key_end)
    if colon < 0:
        raise Unfit("a name without a colon")
    return colon + 1


def _quote(node: Node) -> str | None:
    return node.style if isinstance(node, ScalarNode) and node.style in ("'", '"') else None


def _dash_of(node: Node | None) -> int:
    """How far this file indents lists below their names."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(value, SequenceNode) and not value.flow_style and value.value:
                return value.start_mark.column - key.start_mark.column
            inner = _dash_of(value)
            if inner != DEFAULT_DASH:
                return inner
    elif isinstance(node, SequenceNode):
        for item in node.value:
            inner = _dash_of(item)
            if inner != DEFAULT_DASH:
                return inner
    return DEFAULT_DASH
