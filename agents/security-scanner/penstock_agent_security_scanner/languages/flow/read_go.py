"""Go."""

from ast_grep_py import SgNode

from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Call,
    Const,
    Expr,
    Function,
    If,
    Index,
    Lambda,
    Leave,
    Listing,
    Member,
    Name,
    Op,
    Opaque,
    Parameter,
    Record,
    Switch,
)
from penstock_agent_security_scanner.languages.flow.reader import Reader, number, unescaped


class GoReader(Reader):
    """Reads one Go file."""

    language = "go"

    # ---- declarations

    def _on_package_clause(self, node: SgNode) -> Expr:
        return Opaque(self.line(node), [])

    _on_type_declaration = _on_package_clause

    def _on_import_spec(self, node: SgNode) -> Expr:
        path, alias = node.field("path"), node.field("name")
        if path is not None:
            module = path.text().strip('"`')
            parts = module.split("/")
            last = (
                parts[-2]
                if len(parts) > 1 and parts[-1][:1] == "v" and parts[-1][1:].isdigit()
                else parts[-1]
            )
            name = (
                alias.text() if alias is not None else last.removeprefix("go-").replace(".v3", "")
            )
            self.program.imports[name] = module
        line = self.line(node)
        return Call(
            line, Name(line, "import"), [Const(line, path.text().strip('"`') if path else "")]
        )

    def _on_function_declaration(self, node: SgNode) -> Expr:
        name = node.field("name")
        label = name.text() if name is not None else ""
        self.program.functions.append(self._function(node, label))
        return Opaque(self.line(node), [])

    def _on_method_declaration(self, node: SgNode) -> Expr:
        receiver = node.field("receiver")
        taken = self._parameters(receiver)
        owner = taken[0].type if taken else ""
        name = node.field("name")
        read = self._function(node, name.text() if name is not None else "")
        read.owner = owner
        read.receiver = taken[0].name if taken else ""
        self.program.functions.append(read)
        return Opaque(self.line(node), [])

    def _function(self, node: SgNode, name: str) -> Function:
        hidden = bool(name) and not name[:1].isupper() and name != "main"
        return self.function(
            node, name, self._parameters(node.field("parameters")), node.field("body"), hidden
        )

    def _parameters(self, node: SgNode | None) -> list[Parameter]:
        found: list[Parameter] = []
        for part in self.named(node) if node is not None else ():
            kind = part.field("type")
            label = type_name(kind.text()) if kind is not None else ""
            rest = part.kind() == "variadic_parameter_declaration"
            names = [n.text() for n in part.field_children("name") if n.is_named()]
            found.extend(Parameter(name, label, (), None, rest) for name in names or ["_"])
        return found

    def _on_var_spec(self, node: SgNode) -> Expr:
        kind = node.field("type")
        names: list[Expr] = [
            Name(self.line(n), n.text())
            for n in node.field_children("name")
            if n.kind() == "identifier"
        ]
        value = node.field("value")
        label = type_name(kind.text()) if kind is not None else ""
        values = self.all(self.named(value)) if value is not None else []
        return self._bound(node, names, values, label, True)

    _on_const_spec = _on_var_spec

    def _bound(
        self, node: SgNode, names: list[Expr], values: list[Expr], label: str, declares: bool
    ) -> Expr:
        line = self.line(node)
        if not values:
            values = [Const(line, "" if label == "string" else None)] * len(names)
        if len(names) == len(values):
            sets = [
                self.set(line, name, value, label, declares)
                for name, value in zip(names, values, strict=True)
            ]
            return sets[0] if len(sets) == 1 else Block(line, list(sets))
        return self.set(line, Listing(line, names), values[0], "", declares)

    def _on_short_var_declaration(self, node: SgNode) -> Expr:
        left, right = node.field("left"), node.field("right")
        names = self.all(self.named(left)) if left is not None else []
        values = self.all(self.named(right)) if right is not None else []
        return self._bound(node, names, values, "", True)

    def _on_assignment_statement(self, node: SgNode) -> Expr:
        left, right, operator = node.field("left"), node.field("right"), node.field("operator")
        names = self.all(self.named(left)) if left is not None else []
        values = self.all(self.named(right)) if right is not None else []
        op = operator.text() if operator is not None else "="
        if op != "=" and names and values:
            values = [self.combined(self.line(node), op[:-1], names[0], values[0])]
        return self._bound(node, names, values, "", False)

    # ---- statements

    def _on_statement_list(self, node: SgNode) -> Expr:
        return self.statements(node)

    def _on_block(self, node: SgNode) -> Expr:
        parts = list(self.named(node))
        return (
            self.read(parts[0])
            if len(parts) == 1 and parts[0].kind() == "statement_list"
            else self.statements(node)
        )

    def _on_for_statement(self, node: SgNode) -> Expr:
        body = node.field("body")
        for part in self.named(node):
            if part.kind() == "range_clause":
                left = part.field("left")
                names = self.all(self.named(left)) if left is not None else []
                target = names[-1] if names else Name(self.line(node), "_")
                return self.each(node, target, part.field("right"), body)
            if part.kind() == "for_clause":
                first = part.field("initializer")
                before = [self.read(first)] if first is not None else []
                return self.loop(
                    node, before, part.field("condition"), [body, part.field("update")]
                )
        test = next((part for part in self.named(node) if part.kind() != "block"), None)
        return self.loop(node, [], test, [body])

    def _on_expression_switch_statement(self, node: SgNode) -> Expr:
        subject, first = node.field("value"), node.field("initializer")
        cases: list[tuple[list[Expr] | None, Block, bool]] = []
        tests: list[tuple[list[Expr] | None, Block]] = []
        for case in self.named(node):
            if case.kind() not in ("expression_case", "type_case", "default_case"):
                continue
            value = case.field("value")
            parts = [self.read(p) for p in self.named(case) if p.kind() == "statement_list"]
            values = self.all(self.named(value)) if value is not None else None
            cases.append((values, Block(self.line(case), parts), False))
            tests.append((values, cases[-1][1]))
        line = self.line(node)
        read: Expr
        if subject is None and node.kind() == "expression_switch_statement":
            read = _chain(line, tests)
        else:
            read = Switch(line, self.read(subject), cases)
        return read if first is None else Block(line, [self.read(first), read])

    _on_type_switch_statement = _on_expression_switch_statement

    def _on_return_statement(self, node: SgNode) -> Expr:
        inner = next(self.named(node), None)
        values = self.all(self.named(inner)) if inner is not None else []
        if not values:
            return Leave(self.line(node), "return")
        value = values[0] if len(values) == 1 else Listing(self.line(node), values)
        return Leave(self.line(node), "return", value)

    def _on_break_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "break")

    def _on_continue_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "continue")

    def _on_inc_statement(self, node: SgNode) -> Expr:
        target = self.read(next(self.named(node), None))
        return self.set(self.line(node), target, Op(self.line(node), "++", [target]))

    _on_dec_statement = _on_inc_statement

    # ---- expressions

    def _on_interpreted_string_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), unescaped(node.text()[1:-1]))

    def _on_raw_string_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), node.text()[1:-1])

    def _on_rune_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), unescaped(node.text()[1:-1]))

    def _on_int_literal(self, node: SgNode) -> Expr:
        text = node.text()
        octal = len(text) > 1 and text[0] == "0" and text[1:].isdigit()
        return Const(
            self.line(node),
            int(text, 8) if octal and set(text) <= set("01234567") else number(text),
        )

    _on_float_literal = _on_int_literal

    def _on_nil(self, node: SgNode) -> Expr:
        return Const(self.line(node), None)

    def _on_field_identifier(self, node: SgNode) -> Expr:
        return Name(self.line(node), node.text())

    def _on_selector_expression(self, node: SgNode) -> Expr:
        name = node.field("field")
        line = self.line(name) if name is not None else self.line(node)
        return Member(
            line, self.read(node.field("operand")), name.text() if name is not None else ""
        )

    def _on_index_expression(self, node: SgNode) -> Expr:
        of, key = self.read(node.field("operand")), self.read(node.field("index"))
        return Index(self.line(node), of, key)

    def _on_slice_expression(self, node: SgNode) -> Expr:
        return Op(self.line(node), "each", [self.read(node.field("operand"))])

    def _on_call_expression(self, node: SgNode) -> Expr:
        callee, arguments = self.read(node.field("function")), node.field("arguments")
        args = self.all(self.named(arguments)) if arguments is not None else []
        self.called(callee)
        return Call(callee.line, callee, args)

    def _on_type_conversion_expression(self, node: SgNode) -> Expr:
        return self.read(node.field("operand"))

    def _on_type_assertion_expression(self, node: SgNode) -> Expr:
        return self.read(node.field("operand"))

    def _on_unary_expression(self, node: SgNode) -> Expr:
        operator, part = node.field("operator"), node.field("operand")
        if operator is not None and operator.text() in ("&", "*", "<-"):
            return self.read(part)
        return Op(self.line(node), operator.text() if operator else "?", [self.read(part)])

    def _on_composite_literal(self, node: SgNode) -> Expr:
        kind, body = node.field("type"), node.field("body")
        label = type_name(kind.text()) if kind is not None else ""
        return self._literal(body, label) if body is not None else Opaque(self.line(node), [])

    def _literal(self, body: SgNode, label: str) -> Expr:
        items: list[Expr] = []
        pairs: list[tuple[str | None, Expr]] = []
        for part in self.named(body):
            if part.kind() == "keyed_element":
                inner = list(self.named(part))
                key = inner[0].text().strip('"`') if inner else ""
                pairs.append((key, self.read(inner[-1]) if inner else Opaque(0, [])))
            else:
                items.append(self.read(part))
        line = self.line(body)
        if pairs or not items:
            return Record(line, pairs, label)
        return Listing(line, items)

    def _on_literal_value(self, node: SgNode) -> Expr:
        return self._literal(node, "")

    def _on_func_literal(self, node: SgNode) -> Expr:
        read = self._function(node, "")
        return Lambda(self.line(node), read)


def type_name(text: str) -> str:
    """A type without pointers and brackets: `*http.Request` is `http.Request`."""
    return text.replace("...", "").lstrip("*&[]").split("[", 1)[0].strip()


def _chain(line: int, tests: list[tuple[list[Expr] | None, Block]]) -> Expr:
    """A switch without subject as a chain of branches."""
    last: Expr = Block(line, [])
    for values, body in reversed(tests[:60]):
        if values is None:
            last = body
        else:
            test = values[0] if len(values) == 1 else Op(line, "||", values[:2])
            last = If(line, test, body, last)
    return last
