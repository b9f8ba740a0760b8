"""Java."""

from ast_grep_py import SgNode

from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Call,
    Choose,
    Class,
    Const,
    Expr,
    Function,
    Index,
    Lambda,
    Leave,
    Listing,
    Member,
    Name,
    Op,
    Opaque,
    Parameter,
    Set,
    Switch,
    Try,
)
from penstock_agent_security_scanner.languages.flow.reader import Reader, number, unescaped

_FUNCTIONS = frozenset({"method_declaration", "constructor_declaration"})


def simple(name: str) -> str:
    """A class without its package and type parameters."""
    return name.split("<", 1)[0].rsplit(".", 1)[-1].strip()


class JavaReader(Reader):
    """Reads one Java file."""

    language = "java"

    # ---- declarations

    def _on_package_declaration(self, node: SgNode) -> Expr:
        return Opaque(self.line(node), [])

    def _on_import_declaration(self, node: SgNode) -> Expr:
        for part in self.named(node):
            full = part.text()
            self.program.imports[full.rsplit(".", 1)[-1]] = full
        return Opaque(self.line(node), [])

    def _on_class_declaration(self, node: SgNode) -> Expr:
        name = node.field("name")
        self._class(node, name.text() if name else "", node.field("body"))
        return Opaque(self.line(node), [])

    _on_interface_declaration = _on_class_declaration
    _on_enum_declaration = _on_class_declaration
    _on_record_declaration = _on_class_declaration

    def _class(self, node: SgNode, name: str, body: SgNode | None) -> None:
        read = Class(name, self.line(node), notes=self._notes(node))
        outer, self.owner = self.owner, name
        for member in self.named(body) if body is not None else ():
            self._member(read, member)
        self.owner = outer
        self.add_class(read)

    def _member(self, read: Class, member: SgNode) -> None:
        kind = member.kind()
        if kind in _FUNCTIONS:
            read.methods.append(self._method(member))
        elif kind == "field_declaration":
            read.fields.extend(self._declared(member))
        elif kind in ("static_initializer", "block"):
            read.methods.append(self.function(member, "<init>", [], member))
        elif kind == "enum_body_declarations":
            for inner in self.named(member):
                self._member(read, inner)
        else:
            self.read(member)

    def _method(self, node: SgNode) -> Function:
        name, body = node.field("name"), node.field("body")
        label = (
            "<init>" if node.kind() == "constructor_declaration" else name.text() if name else ""
        )
        parameters = [
            found
            for part in self.named(node.field("parameters") or node)
            if (found := self._parameter(part)) is not None
        ]
        notes = self._notes(node)
        return self.function(node, label, parameters, body, "private" in notes, notes)

    def _parameter(self, node: SgNode) -> Parameter | None:
        if node.kind() not in ("formal_parameter", "spread_parameter"):
            return None
        name, kind = node.field("name"), node.field("type")
        if node.kind() == "spread_parameter":
            parts = list(self.named(node))
            return Parameter(parts[-1].text(), "", (), None, True)
        if name is None:
            return None
        return Parameter(name.text(), simple(kind.text()) if kind else "", self._notes(node))

    def _notes(self, node: SgNode) -> tuple[str, ...]:
        found: list[str] = []
        for part in node.children():
            if part.kind() == "modifiers":
                for modifier in part.children():
                    name = modifier.field("name")
                    found.append(simple(name.text()) if name else modifier.text())
                break
        return tuple(found)

    def _on_local_variable_declaration(self, node: SgNode) -> Expr:
        return Block(self.line(node), list(self._declared(node)))

    def _declared(self, node: SgNode) -> list[Set]:
        kind = node.field("type")
        label = simple(kind.text()) if kind else ""
        found: list[Set] = []
        for part in self.named(node):
            name, value = part.field("name"), part.field("value")
            if part.kind() == "variable_declarator" and name is not None:
                target = Name(self.line(part), name.text())
                start = self.read(value) if value is not None else Const(self.line(part), None)
                found.append(self.set(self.line(part), target, start, label, True))
        return found

    def _on_resource(self, node: SgNode) -> Expr:
        name, value, kind = node.field("name"), node.field("value"), node.field("type")
        if name is None:
            return self._on_other(node)
        label = simple(kind.text()) if kind else ""
        target = Name(self.line(node), name.text())
        return self.set(self.line(node), target, self.read(value), label, True)

    # ---- statements

    def _on_enhanced_for_statement(self, node: SgNode) -> Expr:
        name = node.field("name")
        target = Name(self.line(node), name.text() if name else "")
        return self.each(node, target, node.field("value"), node.field("body"))

    def _on_for_statement(self, node: SgNode) -> Expr:
        first = self.all(node.field_children("init"))
        body: list[SgNode | None] = [node.field("body"), *node.field_children("update")]
        return self.loop(node, first, node.field("condition"), body)

    def _on_while_statement(self, node: SgNode) -> Expr:
        return self.loop(node, [], node.field("condition"), [node.field("body")])

    _on_do_statement = _on_while_statement

    def _on_switch_expression(self, node: SgNode) -> Expr:
        cases: list[tuple[list[Expr] | None, Block, bool]] = []
        body = node.field("body")
        for group in self.named(body) if body is not None else ():
            values: list[Expr] | None = []
            parts: list[Expr] = []
            for part in self.named(group):
                if part.kind() != "switch_label":
                    parts.append(self.read(part))
                    continue
                labels = self.all(self.named(part))
                values = values + labels if labels and values is not None else None
            falls = group.kind() == "switch_block_statement_group"
            cases.append((values, Block(self.line(group), parts), falls))
        return Switch(self.line(node), self.read(node.field("condition")), cases)

    def _on_try_statement(self, node: SgNode) -> Expr:
        body, handlers, last = [], [], None
        resources = node.field("resources")
        if resources is not None:
            body = self.all(self.named(resources))
        body.append(self.read(node.field("body")))
        for part in self.named(node):
            if part.kind() == "catch_clause":
                handlers.append(self.block(part.field("body")))
            elif part.kind() == "finally_clause":
                last = self.statements(part)
        return Try(self.line(node), Block(self.line(node), body), handlers, last)

    _on_try_with_resources_statement = _on_try_statement

    def _on_return_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "return", next(iter(self.all(self.named(node))), None))

    def _on_throw_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "throw", next(iter(self.all(self.named(node))), None))

    def _on_break_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "break")

    def _on_continue_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "continue")

    def _on_yield_statement(self, node: SgNode) -> Expr:
        return self._on_other(node)

    # ---- expressions

    def _on_string_literal(self, node: SgNode) -> Expr:
        text = node.text()
        plain = text[3:-3] if text.startswith('"""') else text[1:-1]
        return Const(self.line(node), unescaped(plain))

    def _on_character_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), unescaped(node.text()[1:-1]))

    def _on_decimal_integer_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), number(node.text()))

    _on_hex_integer_literal = _on_decimal_integer_literal
    _on_octal_integer_literal = _on_decimal_integer_literal
    _on_decimal_floating_point_literal = _on_decimal_integer_literal

    def _on_null_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), None)

    def _on_class_literal(self, node: SgNode) -> Expr:
        return Const(self.line(node), node.text())

    def _on_this(self, node: SgNode) -> Expr:
        return Name(self.line(node), "this")

    _on_super = _on_this

    def _on_type_identifier(self, node: SgNode) -> Expr:
        return Name(self.line(node), node.text())

    def _on_field_access(self, node: SgNode) -> Expr:
        name, of = node.field("field"), node.field("object")
        if (
            of is not None
            and of.kind() in ("identifier", "field_access")
            and of.text()[:1].islower()
        ):
            last = of.text().rsplit(".", 1)[-1]
            if of.kind() == "field_access" and name is not None and name.text()[:1].isupper():
                return Name(self.line(node), name.text())  # a class with its package
            if last == "this":
                return Member(
                    self.line(node), Name(self.line(node), "this"), name.text() if name else ""
                )
        return Member(self.line(node), self.read(of), name.text() if name else "")

    def _on_array_access(self, node: SgNode) -> Expr:
        return Index(
            self.line(node), self.read(node.field("array")), self.read(node.field("index"))
        )

    def _on_method_invocation(self, node: SgNode) -> Expr:
        name, of, arguments = node.field("name"), node.field("object"), node.field("arguments")
        if name is None:
            return self._on_other(node)
        line = self.line(name)
        callee: Expr = Name(line, name.text())
        if of is not None:
            callee = Member(line, self.read(of), name.text())
        self.called(callee)
        return Call(line, callee, self.all(self.named(arguments)) if arguments is not None else [])

    def _on_object_creation_expression(self, node: SgNode) -> Expr:
        kind, arguments = node.field("type"), node.field("arguments")
        name = simple(kind.text()) if kind else ""
        line = self.line(node)
        for part in self.named(node):
            if part.kind() == "class_body":
                self._class(node, f"{name}${line}", part)
        args = self.all(self.named(arguments)) if arguments is not None else []
        return Call(line, Name(line, name), args, True)

    def _on_array_creation_expression(self, node: SgNode) -> Expr:
        value = node.field("value")
        return self.read(value) if value is not None else Listing(self.line(node), [])

    def _on_array_initializer(self, node: SgNode) -> Expr:
        return Listing(self.line(node), self.all(self.named(node)))

    def _on_assignment_expression(self, node: SgNode) -> Expr:
        target, value = self.read(node.field("left")), self.read(node.field("right"))
        operator = node.field("operator")
        line = self.line(node)
        if operator is not None and operator.text() != "=":
            value = self.combined(line, operator.text()[:-1], target, value)
        return self.set(line, target, value)

    def _on_update_expression(self, node: SgNode) -> Expr:
        target = next(iter(self.all(self.named(node))), Opaque(self.line(node), []))
        return self.set(self.line(node), target, Op(self.line(node), "++", [target]))

    def _on_ternary_expression(self, node: SgNode) -> Expr:
        test, yes, no = (node.field(part) for part in ("condition", "consequence", "alternative"))
        return Choose(self.line(node), self.read(test), self.read(yes), self.read(no))

    def _on_cast_expression(self, node: SgNode) -> Expr:
        kind = node.field("type")
        if kind is not None and kind.text() in ("int", "long", "short", "byte", "double", "float"):
            return Op(self.line(node), "number", [self.read(node.field("value"))])
        return self.read(node.field("value"))

    def _on_lambda_expression(self, node: SgNode) -> Expr:
        taken = node.field("parameters")
        parameters: list[Parameter] = []
        if taken is not None and taken.kind() == "identifier":
            parameters = [Parameter(taken.text())]
        elif taken is not None:
            for part in self.named(taken):
                found = self._parameter(part)
                parameters.append(found or Parameter(part.text()))
        return Lambda(
            self.line(node), self.function(node, "", parameters, node.field("body"), True)
        )

    def _on_instanceof_expression(self, node: SgNode) -> Expr:
        return Op(self.line(node), "instanceof", [self.read(node.field("left"))])
