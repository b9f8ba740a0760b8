"""JavaScript and TypeScript, with or without JSX."""

import re

from ast_grep_py import SgNode

from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Class,
    Const,
    Expr,
    Function,
    Lambda,
    Leave,
    Name,
    Opaque,
    Parameter,
    Program,
    Set,
    Switch,
    Try,
)
from penstock_agent_security_scanner.languages.flow.read_javascript_parts import (
    ExpressionReader,
    module_name,
)

_TYPES = frozenset(
    {"type_annotation", "type_arguments", "type_parameters", "interface_declaration",
     "type_alias_declaration", "predefined_type", "ambient_declaration", "type_identifier"}
)  # fmt: skip
_WORD = re.compile(r"[\w$]+")


class JavaScriptReader(ExpressionReader):
    """Reads one file."""

    language = "javascript"

    def run(self) -> Program:
        """Read the file; functions come first, as they are known before they are reached."""
        program = super().run()
        program.body = _hoisted(program.body)
        return program

    def _on_other(self, node: SgNode) -> Expr:
        if node.kind() in _TYPES:
            return Opaque(self.line(node), [])
        return super()._on_other(node)

    # ---- modules

    def _on_import_statement(self, node: SgNode) -> Expr:
        source = node.field("source")
        module = module_name(source.text()[1:-1]) if source is not None else ""
        for clause in self.named(node):
            if clause.kind() == "import_clause":
                for part in self.named(clause):
                    self._imported(part, module)
        return Opaque(self.line(node), [])

    def _imported(self, part: SgNode, module: str) -> None:
        imports = self.program.imports
        if part.kind() == "identifier":
            imports[part.text()] = module
        elif part.kind() == "namespace_import":
            for name in self.named(part):
                imports[name.text()] = module
        elif part.kind() == "named_imports":
            for item in self.named(part):
                name, alias = item.field("name"), item.field("alias")
                if name is not None:
                    imports[(alias or name).text()] = f"{module}.{name.text()}"

    def _on_export_statement(self, node: SgNode) -> Expr:
        read = [self.read(part) for part in self.named(node)]
        for part in read:
            if isinstance(part, Set) and isinstance(part.target, Name):
                self.program.outward.add(part.target.id)
        return Block(self.line(node), read)

    def _on_export_specifier(self, node: SgNode) -> Expr:
        name = node.field("name")
        if name is not None:
            self.program.outward.add(name.text())
        return Opaque(self.line(node), [])

    def _on_program(self, node: SgNode) -> Expr:
        return self.statements(node)

    # ---- functions and classes

    def _on_function_declaration(self, node: SgNode) -> Expr:
        name = node.field("name")
        label = name.text() if name is not None else ""
        line = self.line(node)
        return self.set(
            line, Name(line, label), Lambda(line, self.read_function(node, label)), "", True
        )

    _on_generator_function_declaration = _on_function_declaration

    def _on_arrow_function(self, node: SgNode) -> Expr:
        return Lambda(self.line(node), self.read_function(node, ""))

    _on_function_expression = _on_arrow_function
    _on_generator_function = _on_arrow_function

    def read_function(self, node: SgNode, name: str) -> Function:
        """A function of any form; an arrow's expression is what it returns."""
        taken = node.field("parameters") or node.field("parameter")
        parameters: list[Parameter] = []
        if taken is not None and taken.kind() == "identifier":
            parameters = [Parameter(taken.text())]
        elif taken is not None:
            parameters = [self._parameter(part) for part in self.named(taken)]
        body = node.field("body")
        read = self.function(node, name, parameters, body)
        if body is not None and body.kind() != "statement_block":
            read.body = Leave(self.line(body), "return", read.body)
        return read

    def _parameter(self, node: SgNode) -> Parameter:
        kind = node.kind()
        if kind in ("required_parameter", "optional_parameter"):
            inner, typed = node.field("pattern"), node.field("type")
            notes = tuple(
                found.group()
                for part in self.named(node)
                if part.kind() == "decorator" and (found := _WORD.search(part.text())) is not None
            )
            target = inner or next(
                (
                    part
                    for part in self.named(node)
                    if part.kind() not in ("decorator", "accessibility_modifier")
                ),
                node,
            )
            read = self._parameter(target)
            label = typed.text().lstrip(": ") if typed is not None else ""
            return Parameter(
                read.name,
                label if label in ("number", "boolean") else "",
                notes,
                read.pattern,
                read.rest,
            )
        if kind in ("identifier", "this"):
            return Parameter(node.text())
        if kind == "assignment_pattern":
            left = node.field("left")
            return self._parameter(left) if left is not None else Parameter("")
        if kind == "rest_pattern":
            return Parameter(node.text().lstrip("."), "", (), None, True)
        return Parameter("", "", (), self.read(node))

    def _on_class_declaration(self, node: SgNode) -> Expr:
        name = node.field("name")
        label = name.text() if name is not None else f"class${self.line(node)}"
        read = Class(label, self.line(node))
        outer, self.owner = self.owner, label
        body = node.field("body")
        notes: list[str] = []
        for member in self.named(body) if body is not None else ():
            if member.kind() == "decorator":
                found = _WORD.search(member.text())
                notes.append(found.group() if found else "")
                continue
            self._member(read, member, tuple(notes))
            notes = []
        self.owner = outer
        self.add_class(read)
        return Opaque(self.line(node), [])

    _on_class = _on_class_declaration
    _on_abstract_class_declaration = _on_class_declaration

    def _member(self, read: Class, member: SgNode, notes: tuple[str, ...]) -> None:
        name = member.field("name") or member.field("property")
        label = name.text() if name is not None else ""
        if member.kind() == "method_definition":
            method = self.read_function(member, "<init>" if label == "constructor" else label)
            method.notes = notes
            read.methods.append(method)
        elif member.kind() in ("public_field_definition", "field_definition"):
            value = member.field("value")
            if value is not None:
                line = self.line(member)
                start = self.read(value)
                read.fields.append(self.set(line, Name(line, label), start, "", True))

    # ---- statements

    def _on_statement_block(self, node: SgNode) -> Expr:
        block = self.statements(node)
        block.body = _hoisted(block.body)
        return block

    def _on_lexical_declaration(self, node: SgNode) -> Expr:
        found: list[Expr] = []
        for part in self.named(node):
            target, value = part.field("name"), part.field("value")
            if part.kind() == "variable_declarator" and target is not None and value is not None:
                read = self.read(value)
                if isinstance(read, Lambda) and not read.function.name:
                    read.function.name = target.text()[:80]
                found.append(self.set(self.line(part), self.read(target), read, "", True))
            elif target is not None:
                start = Const(self.line(part), None)
                found.append(self.set(self.line(part), self.read(target), start, "", True))
        return found[0] if len(found) == 1 else Block(self.line(node), found)

    _on_variable_declaration = _on_lexical_declaration

    def _on_else_clause(self, node: SgNode) -> Expr:
        return self.block(next(self.named(node), None))

    def _on_for_in_statement(self, node: SgNode) -> Expr:
        target = self.read(node.field("left"))
        return self.each(node, target, node.field("right"), node.field("body"))

    def _on_for_statement(self, node: SgNode) -> Expr:
        first = node.field("initializer")
        before = [self.read(first)] if first is not None else []
        body = [node.field("body"), node.field("increment")]
        return self.loop(node, before, node.field("condition"), body)

    def _on_while_statement(self, node: SgNode) -> Expr:
        return self.loop(node, [], node.field("condition"), [node.field("body")])

    _on_do_statement = _on_while_statement

    def _on_switch_statement(self, node: SgNode) -> Expr:
        cases: list[tuple[list[Expr] | None, Block, bool]] = []
        body = node.field("body")
        for case in self.named(body) if body is not None else ():
            value = case.field("value")
            parts = [self.read(part) for part in case.field_children("body")]
            values = [self.read(value)] if value is not None else None
            cases.append((values, Block(self.line(case), parts), True))
        return Switch(self.line(node), self.read(node.field("value")), cases)

    def _on_try_statement(self, node: SgNode) -> Expr:
        handler, last = node.field("handler"), node.field("finalizer")
        handlers: list[Expr] = [self.block(handler.field("body"))] if handler is not None else []
        end = self.statements(last) if last is not None else None
        return Try(self.line(node), self.read(node.field("body")), handlers, end)

    def _on_return_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "return", next(iter(self.all(self.named(node))), None))

    def _on_throw_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "throw", next(iter(self.all(self.named(node))), None))

    def _on_break_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "break")

    def _on_continue_statement(self, node: SgNode) -> Expr:
        return Leave(self.line(node), "continue")


class TypeScriptReader(JavaScriptReader):
    """TypeScript without JSX."""

    language = "typescript"


class TsxReader(JavaScriptReader):
    """TypeScript with JSX."""

    language = "tsx"


def _hoisted(body: list[Expr]) -> list[Expr]:
    functions = [statement for statement in body if _is_function(statement)]
    if not functions:
        return body
    return [*functions, *(statement for statement in body if not _is_function(statement))]


def _is_function(statement: Expr) -> bool:
    return (
        isinstance(statement, Set)
        and statement.declares
        and isinstance(statement.value, Lambda)
        and (
            isinstance(statement.target, Name)
            and statement.value.function.name == statement.target.id
        )
    )
