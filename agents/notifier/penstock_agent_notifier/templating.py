"""Message templates: names, sections and nothing more.

No expressions, calls, indices or format specifications: a template comes from a workflow, its
values from the outside, and neither may reach into the program. Substitution is one pass, so a
value that looks like a placeholder stays as it is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

MAX_VALUE_CHARS = 2_000
MAX_RESULT_CHARS = 24_000
# Items of a list that a section shows; what is left is counted in a line of its own.
MAX_ITEMS = 50
MAX_DEPTH = 8
# Tags that are worked off: nested sections that write nothing would otherwise cost without end.
MAX_STEPS = 50_000
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,63}){0,7}"
_TAG = re.compile(rf"\{{\{{|\}}\}}|\{{(?P<kind>[#^/]?)(?P<name>{_NAME}|\.)\}}")
_ABSENT = object()

Values = Mapping[str, object]


def render(template: str, values: Values) -> tuple[str, list[str]]:
    """Fill a template.

    `{name}` and `{name.of.field}` are replaced; `{#list}..{/list}` is repeated for each item,
    whose fields are then names too (`{.}` is the item itself), shown once for any other value
    that is true, and left out for one that is false, empty or missing; `{^name}..{/name}` is
    shown just then. `{{` and `}}` are literal braces; anything else stays as it is.

    Args:
        template: The text.
        values: Strings are inserted as they are, everything else as JSON.

    Returns:
        The text, cut at `MAX_RESULT_CHARS`, and the names that had no value (left as they were:
        a message with a gap is better than none).
    """
    text = _Text()
    _fill(_parsed(template), [values], text)
    return _cut("".join(text.parts), MAX_RESULT_CHARS), list(dict.fromkeys(text.missing))


@dataclass(slots=True)
class _Section:
    """A run of the template; `name` is empty for the whole."""

    name: str
    inverted: bool = False
    parts: "list[str | _Placeholder | _Section]" = field(
        default_factory=list["str | _Placeholder | _Section"]
    )


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: str
    written: str


@dataclass(slots=True)
class _Text:
    """What has been written; nothing is added beyond the bound."""

    parts: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    size: int = 0
    steps: int = 0

    @property
    def full(self) -> bool:
        """Whether nothing more is written."""
        return self.size > MAX_RESULT_CHARS or self.steps > MAX_STEPS

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.size += len(text)


def _parsed(template: str) -> _Section:
    """Read the tags; an end without its beginning, or the reverse, is text."""
    closed = _closed_sections(template)
    stack = [_Section("")]
    at = 0
    for match in _TAG.finditer(template):
        stack[-1].parts.append(template[at : match.start()])
        at = match.end()
        kind, name = match["kind"], match["name"]
        if name is None:
            stack[-1].parts.append(match[0][0])
        elif not kind:
            stack[-1].parts.append(_Placeholder(name, match[0]))
        elif match.start() not in closed:
            stack[-1].parts.append(match[0])
        elif kind == "/":
            done = stack.pop()
            stack[-1].parts.append(done)
        else:
            stack.append(_Section(name, kind == "^"))
    stack[-1].parts.append(template[at:])
    return stack[0]


def _closed_sections(template: str) -> frozenset[int]:
    """Where the tags stand that open and close a section, properly nested and not too deep."""
    opened: list[tuple[str, int]] = []
    closed: list[int] = []
    for match in _TAG.finditer(template):
        if match["kind"] in ("#", "^"):
            opened.append((match["name"], match.start()))
        elif match["kind"] == "/":
            names = [name for name, _ in opened]
            if match["name"] in names:
                at = len(names) - 1 - names[::-1].index(match["name"])
                if at < MAX_DEPTH:
                    closed += [opened[at][1], match.start()]
                del opened[at:]
    return frozenset(closed)


def _fill(section: _Section, scopes: list[Values], text: _Text) -> None:
    for part in section.parts:
        text.steps += 1
        if text.full:
            return
        match part:
            case str():
                text.add(part)
            case _Placeholder():
                value = _found(part.name, scopes)
                if value is _ABSENT:
                    text.missing.append(part.name)
                    text.add(part.written)
                else:
                    text.add(_shown(value))
            case _Section():
                _repeat(part, scopes, text)


def _repeat(section: _Section, scopes: list[Values], text: _Text) -> None:
    value = _found(section.name, scopes)
    present = value is not _ABSENT and bool(value)
    if section.inverted:
        if not present:
            _fill(section, scopes, text)
        return
    if not present:
        return
    items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]
    for item in items[:MAX_ITEMS]:
        inner: dict[str, object] = {".": item}
        if isinstance(item, Mapping):
            inner |= cast("Mapping[str, object]", item)
        _fill(section, [*scopes, inner], text)
    if len(items) > MAX_ITEMS:
        text.add(f"... and {len(items) - MAX_ITEMS} more\n")


def _found(name: str, scopes: list[Values]) -> object:
    if name == ".":
        return scopes[-1].get(".", _ABSENT)
    first, *rest = name.split(".")
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
        if first in scope:
            return _within(scope[first], rest)
    return _ABSENT


def _within(value: object, path: list[str]) -> object:
    for step in path:
        if not isinstance(value, Mapping):
            return _ABSENT
        value = cast("Mapping[str, object]", value).get(step, _ABSENT)
    return value


def _shown(value: object) -> str:
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return _cut(value, MAX_VALUE_CHARS)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
