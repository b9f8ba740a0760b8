"""Expressions of JavaScript and TypeScript."""

from ast_grep_py import SgNode

from penstock_agent_security_scanner.languages.flow.program import (
    Call,
    Choose,
    Const,
    Expr,
    Function,
    Index,
    Join,
    Lambda,
    Listing,
    Member,
    Name,
    Op,
    Opaque,
    Record,
    Set,
)
from penstock_agent_security_scanner.languages.flow.reader import Reader, number, unescaped


class ExpressionReader(Reader):
    """Reads expressions; a subclass reads what they stand in."""

    language = "javascript"

    def read_function(self, node: SgNode, name: str) -> Function:
        """A function of any form."""
        return self.function(node, name, [], node.field("body"))

    # ---- expressions

    def _on_string(self, node: SgNode) -> Expr:
        return Const(self.line(node), unescaped(node.text()[1:-1]))

    def _on_template_string(self, node: SgNode) -> Expr:
        parts: list[Expr] = []
        for part in self.named(node):
            if part.kind() == "template_substitution":
                parts.append(self.read(next(self.named(part), None)))
            else:
                parts.append(Const(self.line(part), unescaped(part.text())))
        if not any(not isinstance(part, Const) for part in parts):
            text = "".join(str(part.value) for part in parts if isinstance(part, Const))
            return Const(self.line(node), text)
        if not isinstance(parts[0], Const):
            parts.insert(0, Const(self.line(node), ""))
        return Join(self.line(node), parts)

    def _on_number(self, node: SgNode) -> Expr:
        return Const(self.line(node), number(node.text()))

    def _on_undefined(self, node: SgNode) -> Expr:
        return Const(self.line(node), None)

    def _on_regex(self, node: SgNode) -> Expr:
        pattern = node.field("pattern")
        return Call(self.line(node), Name(self.line(node), "/regex/"),
                    [Const(self.line(node), pattern.text() if pattern else "")])  # fmt: skip

    def _on_this(self, node: SgNode) -> Expr:
        return Name(self.line(node), "this")

    def _on_shorthand_property_identifier(self, node: SgNode) -> Expr:
        return Name(self.line(node), node.text())

    def _on_member_expression(self, node: SgNode) -> Expr:
        name = node.field("property")
        line = self.line(name) if name is not None else self.line(node)
        return Member(line, self.read(node.field("object")), name.text() if name else "")

    def _on_subscript_expression(self, node: SgNode) -> Expr:
        of, key = self.read(node.field("object")), self.read(node.field("index"))
        return Index(self.line(node), of, key)

    def _on_call_expression(self, node: SgNode) -> Expr:
        callee, arguments = self.read(node.field("function")), node.field("arguments")
        args: list[Expr] = []
        if arguments is not None and arguments.kind() == "template_string":
            args, callee = [], Member(self.line(node), callee, "`tagged`")
        elif arguments is not None:
            args = self.all(self.named(arguments))
        if isinstance(callee, Name) and callee.id in ("require", "import") and args:
            first = args[0]
            if isinstance(first, Const) and isinstance(first.value, str):
                module = module_name(first.value)
                self.program.imports[f"<{module}>"] = module
                return Name(self.line(node), f"<{module}>")
        self.called(callee)
        return Call(callee.line, callee, args)

    def _on_new_expression(self, node: SgNode) -> Expr:
        callee, arguments = self.read(node.field("constructor")), node.field("arguments")
        args = self.all(self.named(arguments)) if arguments is not None else []
        return Call(self.line(node), callee, args, True)

    def _on_await_expression(self, node: SgNode) -> Expr:
        return Op(self.line(node), "await", self.all(self.named(node))[:1] or [Opaque(0, [])])

    def _on_as_expression(self, node: SgNode) -> Expr:
        return self.read(next(self.named(node), None))

    _on_non_null_expression = _on_as_expression
    _on_satisfies_expression = _on_as_expression

    def _on_type_assertion(self, node: SgNode) -> Expr:
        parts = list(self.named(node))
        return self.read(parts[-1] if parts else None)

    def _on_assignment_expression(self, node: SgNode) -> Expr:
        target, value = self.read(node.field("left")), self.read(node.field("right"))
        if isinstance(value, Lambda) and not value.function.name and isinstance(target, Member):
            value.function.name = target.name
        if isinstance(target, Member) and _exports(target):
            self.program.outward.add(target.name)
            self.program.outward |= _names_in(value)
        return self.set(self.line(node), target, value)

    def _on_augmented_assignment_expression(self, node: SgNode) -> Expr:
        target, value = self.read(node.field("left")), self.read(node.field("right"))
        operator = node.field("operator")
        op = operator.text()[:-1] if operator is not None else "?"
        return self.set(self.line(node), target, self.combined(self.line(node), op, target, value))

    def _on_update_expression(self, node: SgNode) -> Expr:
        target = self.read(node.field("argument"))
        return self.set(self.line(node), target, Op(self.line(node), "++", [target]))

    def _on_ternary_expression(self, node: SgNode) -> Expr:
        test, yes, no = (node.field(part) for part in ("condition", "consequence", "alternative"))
        return Choose(self.line(node), self.read(test), self.read(yes), self.read(no))

    def _on_sequence_expression(self, node: SgNode) -> Expr:
        parts = self.all(self.named(node))
        return Listing(self.line(node), parts) if parts else Opaque(self.line(node), [])

    def _on_array(self, node: SgNode) -> Expr:
        return Listing(self.line(node), self.all(self.named(node)))

    _on_array_pattern = _on_array

    def _on_object(self, node: SgNode) -> Expr:
        return Record(
            self.line(node), [pair for part in self.named(node) for pair in self._pair(part)]
        )

    _on_object_pattern = _on_object

    def _pair(self, part: SgNode) -> list[tuple[str | None, Expr]]:
        kind = part.kind()
        if kind in ("pair", "pair_pattern"):
            key, value = part.field("key"), part.field("value")
            name = None
            if key is not None and key.kind() != "computed_property_name":
                name = key.text().strip("'\"`")
            read = self.read(value)
            if isinstance(read, Lambda) and not read.function.name:
                read.function.name = name or ""
            return [(name, read)]
        if kind in ("shorthand_property_identifier", "shorthand_property_identifier_pattern"):
            return [(part.text(), Name(self.line(part), part.text()))]
        if kind == "object_assignment_pattern":
            left = part.field("left")
            return [(left.text(), Name(self.line(part), left.text()))] if left is not None else []
        if kind == "method_definition":
            name_node = part.field("name")
            name = name_node.text() if name_node is not None else ""
            return [(name, Lambda(self.line(part), self.read_function(part, name)))]
        return [(None, self.read(part))]

    def _on_assignment_pattern(self, node: SgNode) -> Expr:
        return Set(self.line(node), self.read(node.field("left")), self.read(node.field("right")))

    def _on_rest_pattern(self, node: SgNode) -> Expr:
        return self.read(next(self.named(node), None))

    _on_spread_element = _on_rest_pattern

    def _on_jsx_attribute(self, node: SgNode) -> Expr:
        parts = list(self.named(node))
        line = self.line(node)
        if len(parts) < 2:
            return Opaque(line, [])
        name = parts[0].text()
        return self.set(line, Member(line, Name(line, "<jsx>"), name), self.read(parts[-1]))

    def _on_jsx_text(self, node: SgNode) -> Expr:
        return Opaque(self.line(node), [])


def module_name(text: str) -> str:
    """A module by one name: `node:fs/promises` is `fs.promises`."""
    plain = text.removeprefix("node:")
    return "fs.promises" if plain == "fs/promises" else plain


def _names_in(value: Expr) -> set[str]:
    """Functions that an export names."""
    if isinstance(value, Name):
        return {value.id}
    if isinstance(value, Record):
        return {part.id for _, part in value.pairs if isinstance(part, Name)}
    return set()


def _exports(target: Member) -> bool:
    of = target.of
    return (
        target.name == "exports"
        or (isinstance(of, Name) and of.id == "exports")
        or (isinstance(of, Member) and of.name == "exports")
    )
