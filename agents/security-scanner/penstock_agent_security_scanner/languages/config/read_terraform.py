"""Terraform, by its syntax tree: blocks with what can be told of their values."""

import json
from dataclasses import dataclass, field

from ast_grep_py import SgNode, SgRoot

from penstock_agent_security_scanner.languages.config.parts import Part, Scalar

MAX_DEPTH = 50
MAX_NODES = 60_000
MAX_JSON_CHARS = 100_000


@dataclass(slots=True, eq=False)
class Section:
    """One block.

    Attributes:
        type: Its first word.
        labels: The words in quotes behind it.
        values: Its attributes; a block inside is a list of maps among them.
        text: How it is written, for references to it.
    """

    type: str
    labels: tuple[str, ...]
    line: int
    values: Part
    references: set[str] = field(default_factory=set[str])


def read_terraform(text: str) -> list[Section]:
    """Every block of the outermost level; defaults of variables and locals are put in."""
    reader = _Reader()
    root = SgRoot(text, "hcl").root()
    sections: list[Section] = []
    bodies = [child for child in root.children() if child.kind() == "body"]
    blocks = [block for body in bodies for block in body.children() if block.kind() == "block"]
    for block in sorted(blocks, key=lambda block: not _defines(block)):
        section = reader.section(block)
        sections.append(section)
        reader.learn(section)
    return sorted(sections, key=lambda section: section.line)


def _defines(block: SgNode) -> bool:
    word = next((child for child in block.children() if child.kind() == "identifier"), None)
    return word is not None and word.text() in ("variable", "locals")


def _line(node: SgNode) -> int:
    return node.range().start.line + 1


class _Reader:
    def __init__(self) -> None:
        self._known: dict[str, Part] = {}
        self._nodes = 0
        self._references: set[str] = set()

    def learn(self, section: Section) -> None:
        """Take what a variable or local is unless somebody says otherwise."""
        if section.type == "variable" and section.labels:
            default = section.values.get("default")
            if default is not None and default.known:
                self._known[f"var.{section.labels[0]}"] = default
        if section.type == "locals":
            for name, value in section.values.pairs():
                if value.known:
                    self._known[f"local.{name}"] = value

    def section(self, block: SgNode) -> Section:
        words = [child for child in block.children() if child.is_named()]
        labels = tuple(
            word.text().strip('"')
            for word in words[1:]
            if word.kind() in ("string_lit", "identifier")
        )
        self._references = set()
        values = self._body(block, 0)
        kind = words[0].text() if words else ""
        return Section(kind, labels, _line(block), values, self._references)

    def _body(self, block: SgNode, depth: int) -> Part:
        part = Part(_line(block), keys={})
        keys = part.keys if part.keys is not None else {}
        if depth > MAX_DEPTH:
            return part
        for body in block.children():
            if body.kind() != "body":
                continue
            for child in body.children():
                if child.kind() == "attribute":
                    self._attribute(part, keys, child, depth)
                elif child.kind() == "block":
                    self._inner(part, keys, child, depth)
        return part

    def _attribute(self, part: Part, keys: dict[str, Part], node: SgNode, depth: int) -> None:
        named = [child for child in node.children() if child.is_named()]
        if len(named) >= 2:
            name = named[0].text()
            keys[name] = self._value(named[-1], depth + 1)
            part.key_lines[name] = _line(node)

    def _inner(self, part: Part, keys: dict[str, Part], node: SgNode, depth: int) -> None:
        words = [child for child in node.children() if child.kind() in ("identifier", "string_lit")]
        name = words[0].text() if words else ""
        inner = self._body(node, depth + 1)
        if name == "dynamic" and len(words) > 1:
            name = words[1].text().strip('"')
            inner = inner.get("content") or inner
            inner = inner.items[0] if inner.items else inner
        present = keys.get(name)
        if present is None or present.items is None:
            present = keys[name] = Part(_line(node), items=[])
            part.key_lines[name] = _line(node)
        if present.items is not None:
            present.items.append(inner)

    def _value(self, node: SgNode, depth: int) -> Part:
        self._nodes += 1
        line = _line(node)
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            return Part(line, known=False)
        children = [child for child in node.children() if child.is_named()]
        match node.kind():
            case "expression" if len(children) > 1:
                return self._reference(node, line)
            case "expression" | "literal_value" | "collection_value" | "template_expr":
                return self._value(children[0], depth + 1) if children else Part(line)
            case "variable_expr":
                return self._reference(node, line)
            case "string_lit":
                return Part(line, node.text()[1:-1])
            case "numeric_lit":
                return Part(line, _number(node.text()))
            case "bool_lit":
                return Part(line, node.text() == "true")
            case "null_lit":
                return Part(line)
            case "tuple":
                items = [
                    self._value(child, depth + 1)
                    for child in children
                    if child.kind() == "expression"
                ]
                return Part(line, items=items)
            case "object":
                return self._object(children, line, depth)
            case "function_call":
                return self._call(children, line, depth)
            case "heredoc_template" | "quoted_template":
                return self._template(node, children, line)
            case "conditional":
                return Part(line, known=False)
            case _:
                if node.text() in ("True", "False"):
                    return Part(line, node.text() == "True")
                self._note(node.text())
                return Part(line, known=False)

    def _reference(self, node: SgNode, line: int) -> Part:
        text = node.text()
        if text in ("True", "False"):
            return Part(line, text == "True")
        known = self._known.get(text)
        if known is not None:
            return Part(line, known.value, True, known.keys, known.items, known.key_lines)
        self._note(text)
        return Part(line, text, known=False)

    def _note(self, text: str) -> None:
        if len(text) < 300:
            self._references.add(text)

    def _object(self, children: list[SgNode], line: int, depth: int) -> Part:
        part = Part(line, keys={})
        for child in children:
            if child.kind() != "object_elem":
                continue
            named = [inner for inner in child.children() if inner.is_named()]
            if len(named) >= 2 and part.keys is not None:
                name = named[0].text().strip('"')
                part.keys[name] = self._value(named[-1], depth + 1)
                part.key_lines[name] = _line(child)
        return part

    def _call(self, children: list[SgNode], line: int, depth: int) -> Part:
        name = children[0].text() if children else ""
        arguments = [child for child in children if child.kind() == "function_arguments"]
        inner = (
            [child for child in arguments[0].children() if child.kind() == "expression"]
            if arguments
            else []
        )
        values = [self._value(child, depth + 1) for child in inner]
        if name in ("jsonencode", "tolist", "toset", "tostring", "lower", "trimspace") and values:
            return values[0]
        if name == "concat":
            return Part(line, items=[item for value in values for item in value.items or [value]])
        return Part(line, known=False)

    def _template(self, node: SgNode, children: list[SgNode], line: int) -> Part:
        holes = [child for child in children if child.kind() == "template_interpolation"]
        for hole in holes:
            self._note(hole.text().strip("${} "))
        if node.kind() == "quoted_template":
            if len(holes) == 1 and len(node.text()) == len(holes[0].text()) + 2:
                inner = [child for child in holes[0].children() if child.is_named()]
                found = [child for child in inner if child.kind() == "expression"]
                return self._value(found[0], 1) if found else Part(line, known=False)
            return Part(line, node.text()[1:-1], known=False)
        text = "\n".join(node.text().split("\n")[1:-1])
        if text.lstrip()[:1] in "{[" and len(text) < MAX_JSON_CHARS:
            try:
                return _from_json(json.loads(text), line, 0)
            except (ValueError, RecursionError):
                pass
        return Part(line, text)


def _number(text: str) -> Scalar:
    try:
        return int(text)
    except ValueError:
        return text


def _from_json(value: object, line: int, depth: int) -> Part:
    if depth > MAX_DEPTH:
        return Part(line, known=False)
    if isinstance(value, dict):
        keys = {str(name): _from_json(inner, line, depth + 1) for name, inner in value.items()}
        return Part(line, keys=keys)
    if isinstance(value, list):
        return Part(line, items=[_from_json(inner, line, depth + 1) for inner in value])
    return Part(line, value if isinstance(value, str | int | float | bool) else None)
