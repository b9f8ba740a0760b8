"""YAML with lines, by libyaml: nothing is built but scalars, maps and lists."""

import re
from itertools import islice
from typing import Any

import yaml

from penstock_agent_security_scanner.languages.config.parts import Part, Scalar

MAX_DOCUMENTS = 500
MAX_NODES = 50_000
MAX_DEPTH = 60
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Templates of Helm: a line of control is taken out, a value becomes a word.
_CONTROL = re.compile(
    r"^\s*\{\{-?\s*(?:if|else|end|range|with|define|include|template|block|/\*|\$)"
)
_HOLE = re.compile(r"\{\{.*?\}\}")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$")
_WORDS: dict[str, Scalar] = {"true": True, "yes": True, "on": True, "false": False, "no": False,
                             "off": False, "null": None, "~": None, "": None}  # fmt: skip


def read_yaml(text: str) -> list[Part]:
    """Every document of a file; what cannot be read ends the list."""
    if "{{" in text:
        text = _plain(text)
    found: list[Part] = []
    reader = _Reader()
    try:
        for node in islice(yaml.compose_all(text, Loader=_LOADER), MAX_DOCUMENTS):
            found += [reader.read(node, 0)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return found
    return found


def _plain(text: str) -> str:
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if "{{" not in line or "${{" in line:
            continue
        lines[index] = "#" if _CONTROL.match(line) else _HOLE.sub("template", line)
    return "\n".join(lines)


class _Reader:
    def __init__(self) -> None:
        self._known: dict[int, Part] = {}

    def read(self, node: yaml.Node | None, depth: int) -> Part:
        if node is None:
            return Part(1)
        known = self._known.get(id(node))
        if known is not None:
            return known
        line = int(node.start_mark.line) + 1
        if depth > MAX_DEPTH or len(self._known) > MAX_NODES:
            return Part(line, known=False)
        part = Part(line)
        self._known[id(node)] = part
        if isinstance(node, yaml.MappingNode):
            self._map(part, node, depth)
        elif isinstance(node, yaml.SequenceNode):
            part.items = [self.read(item, depth + 1) for item in node.value]
        elif isinstance(node, yaml.ScalarNode):
            part.value = _scalar(node)
        return part

    def _map(self, part: Part, node: yaml.MappingNode, depth: int) -> None:
        part.keys = {}
        for key, value in node.value:
            name = key.value if isinstance(key.value, str) else ""
            read = self.read(value, depth + 1)
            if name == "<<":
                for source in read.items if read.items is not None else [read]:
                    for inherited, inner in (source.keys or {}).items():
                        part.keys.setdefault(inherited, inner)
                        part.key_lines.setdefault(inherited, part.line)
                continue
            part.keys[name] = read
            part.key_lines[name] = int(key.start_mark.line) + 1


def _scalar(node: yaml.ScalarNode) -> Scalar:
    text: str = node.value
    if node.style in ("'", '"'):
        return text
    lowered = text.lower()
    if lowered in _WORDS and not node.style:
        return _WORDS[lowered]
    return int(text.replace("_", "")) if _INTEGER.match(text) and len(text) < 20 else text
