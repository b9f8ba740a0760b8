"""The values of expressions."""

from collections.abc import Callable

from penstock_agent_security_scanner.languages.flow import folding, guards
from penstock_agent_security_scanner.languages.flow.frames import Closure, Env, Frame, Watch
from penstock_agent_security_scanner.languages.flow.program import (
    Call,
    Choose,
    Const,
    Expr,
    Index,
    Join,
    Lambda,
    Listing,
    Member,
    Name,
    Op,
    Opaque,
    Program,
    Record,
    Set,
)
from penstock_agent_security_scanner.languages.flow.values import (
    ABSENT,
    MAX_ITEMS,
    NOTHING,
    UNKNOWN,
    Known,
    Value,
    merged,
    mixed,
    total,
)

MAX_STEPS = 120_000
MAX_EVAL_DEPTH = 190
NUMBERS = frozenset(
    {"int", "long", "short", "byte", "double", "float", "boolean", "Integer", "Long", "Boolean",
     "number", "bool", "int64", "int32", "uint", "uint64", "uint32", "uint16", "uint8",
     "float64", "time.Duration",
     "UUID", "LocalDate", "Double", "Float", "BigDecimal"}
)  # fmt: skip
# Parts of a value that cannot carry harm.
_HARMLESS_PARTS = frozenset({"length", "size", "byteLength"})


class Expressions:
    """Evaluates expressions of one program; `call` decides what a call does and means."""

    def __init__(self, program: Program, call: "Callable[[Call], Value]", watch: "Watch") -> None:
        self.program = program
        self.module = Env(None)
        self.classes: dict[str, Env] = {}
        self.closures: list[Closure] = []
        self.frame = Frame(None, self.module)
        self.depth = 0
        self.steps = 0
        self.watch = watch
        self._call = call
        self.kinds: dict[type[Expr], Callable[..., Value]] = {
            Const: self._const,
            Name: self._name,
            Member: self._member,
            Index: self._index,
            Call: self._calling,
            Join: self._join,
            Op: self._op,
            Choose: self._choose,
            Record: self._record,
            Listing: self._listing,
            Opaque: self._opaque,
            Set: self._set,
            Lambda: self._lambda,
        }

    def eval(self, expr: Expr) -> Value:
        """The value of an expression; of a statement nothing."""
        self.steps += 1
        if self.steps > MAX_STEPS or self.depth > MAX_EVAL_DEPTH:
            return Value(UNKNOWN)
        self.depth += 1
        try:
            return self.kinds[type(expr)](expr)
        finally:
            self.depth -= 1

    # ---- values

    def _const(self, expr: Const) -> Value:
        return Value(const=expr.value, prefix=expr.value if isinstance(expr.value, str) else "")

    def _name(self, expr: Name) -> Value:
        return self.look_up(expr.id)

    def look_up(self, name: str) -> Value:
        """A variable, or whatever else a name stands for."""
        found = self.frame.env.find(name)
        if found is not None:
            return found
        if name == "this":
            owner = self.frame.function.owner if self.frame.function else ""
            return Value(UNKNOWN, ref=owner or "this", items=self.fields_of(owner).vars)
        if name in self.classes:
            return Value(ref=name, items=self.classes[name].vars)
        for fields in self.classes.values():
            if name in fields.vars:
                return fields.vars[name]
        ref = self.program.imports.get(name, name)
        return self.watch.seen(Value(UNKNOWN, ref=ref))

    def fields_of(self, owner: str) -> Env:
        """The fields of a class, shared by all its objects."""
        if owner not in self.classes:
            self.classes[owner] = Env(self.module)
        return self.classes[owner]

    def _member(self, expr: Member) -> Value:
        return self.member(self.eval(expr.of), expr.name)

    def member(self, of: Value, name: str) -> Value:
        """A named part of a value."""
        if of.items is not None and name in of.items:
            return of.items[name]
        if name in _HARMLESS_PARTS:
            if name == "length" and of.text is not None:
                return Value(const=len(of.text))
            return NOTHING
        marks = of.marks | UNKNOWN
        whole = total(of) if of.items else of
        value = Value(marks | whole.marks, whole.clean, ref=f"{of.ref}.{name}"[:200])
        return self.watch.seen(value)

    def _index(self, expr: Index) -> Value:
        of, key = self.eval(expr.of), self.eval(expr.key)
        return self.item(of, key.const)

    def item(self, of: Value, key: Known) -> Value:
        """An element; of an unknown key any of them."""
        if of.items:
            if key is not ABSENT and key in of.items:
                return of.items[key]
            if key is not ABSENT and ABSENT not in of.items:
                return Value(of.marks, of.clean)
            whole = total(of)
            return Value(whole.marks, whole.clean, ref=of.ref)
        if isinstance(key, str):
            return self.member(of, key)
        return Value(of.marks | UNKNOWN, of.clean, ref=of.ref)

    def _join(self, expr: Join) -> Value:
        return self.joined([self.eval(part) for part in expr.parts])

    def joined(self, parts: list[Value]) -> Value:
        """Parts put together to one text."""
        const = folding.added(parts)
        if const is not ABSENT:
            return Value(const=const, prefix=const if isinstance(const, str) else "")
        result = mixed([total(part) for part in parts], built=len(parts) > 1)
        for part in parts:
            result.prefix += part.prefix
            if part.const is ABSENT:
                break
        return result

    def _op(self, expr: Op) -> Value:
        parts = [self.eval(part) for part in expr.parts]
        if expr.op == "number":
            return Value(const=parts[0].const)
        if expr.op in ("each", "await", "??", "||", "&&"):
            return self._passing(expr.op, parts)
        const = folding.computed(expr.op, parts)
        return Value(const=const) if const is not ABSENT else NOTHING

    def _passing(self, op: str, parts: list[Value]) -> Value:
        if op == "each":
            whole = total(parts[0])
            return Value(whole.marks, whole.clean, ref=whole.ref and f"{parts[0].ref}[]")
        if op == "await":
            return parts[0]
        const = folding.computed(op, parts)
        if const is not ABSENT:
            return Value(const=const)
        return merged(parts[0], parts[1])

    def _choose(self, expr: Choose) -> Value:
        test = folding.truth(self.eval(expr.test))
        yes, no = guards.judged(expr.test, self)
        if test is not None:
            return self.eval(expr.yes if test else expr.no)
        before = dict(self.frame.env.vars)
        self.cleaned(yes)
        one = self.eval(expr.yes)
        self.frame.env.vars = before
        self.cleaned(no)
        return merged(one, self.eval(expr.no))

    def _record(self, expr: Record) -> Value:
        items: dict[Known, Value] = {}
        for name, part in expr.pairs[:MAX_ITEMS]:
            value = self.eval(part)
            if name is not None:
                items[name] = value
            elif value.items:
                items.update(value.items)
            else:
                items[ABSENT] = merged(items[ABSENT], value) if ABSENT in items else value
        result = Value(ref=expr.type, items=items)
        self.watch.made(expr, result)
        return result

    def _listing(self, expr: Listing) -> Value:
        values = [self.eval(item) for item in expr.items[:MAX_ITEMS]]
        return Value(items=dict(enumerate(values)))

    def _opaque(self, expr: Opaque) -> Value:
        return mixed([self.eval(part) for part in expr.parts]) if expr.parts else NOTHING

    def _lambda(self, expr: Lambda) -> Value:
        closure = Closure(expr.function, self.frame.env)
        self.closures.append(closure)
        return Value(ref=expr.function.name, run=closure)

    def _calling(self, expr: Call) -> Value:
        return self._call(expr)

    # ---- changes

    def _set(self, expr: Set) -> Value:
        value = self.eval(expr.value)
        self.assign(expr, expr.target, value)
        return value

    def assign(self, expr: Set, target: Expr, value: Value) -> None:
        """Bind a target; one that is taken apart binds its parts."""
        match target:
            case Name(id=name):
                typed = self._typed(expr, value)
                if expr.declares:
                    self.frame.env.vars[name] = typed
                else:
                    self.frame.env.assign(name, typed)
                self.watch.named(self.frame, expr, typed)
            case Member(of=of, name=name):
                owner = self.eval(of)
                self._put(owner, name, value)
                self.watch.written(expr, owner, name, value)
            case Index(of=of, key=key):
                owner, at = self.eval(of), self.eval(key)
                self._put(owner, at.const, value)
                self.watch.indexed(self.frame, expr, owner, at)
            case Listing(items=items):
                for number, item in enumerate(items):
                    self.assign(expr, item, self.item(value, number))
            case Record(pairs=pairs):
                for key, item in pairs:
                    self.assign(expr, item, self.member(value, key) if key else value)
            case Set(target=inner, value=default):
                self.assign(expr, inner, merged(value, self.eval(default)))
            case _:
                pass

    def _typed(self, expr: Set, value: Value) -> Value:
        kind = expr.type
        if not kind or kind == "var":
            return value
        if kind in NUMBERS:
            return Value(const=value.const, ref=value.ref)
        if value.ref in self.program.classes or value.run is not None:
            return value
        result = value.but(ref=kind)
        result.const = value.const
        return result

    def _put(self, owner: Value, key: Known, value: Value) -> None:
        if owner is NOTHING:
            return
        if owner.items is None:
            owner.items = {}
        if len(owner.items) >= MAX_ITEMS and key not in owner.items:
            key = ABSENT
        before = owner.items.get(key)
        weak = before is not None and (self.frame.branches > 0 or key is ABSENT)
        owner.items[key] = merged(before, value) if weak and before is not None else value

    def put(self, owner: Value, key: Known, value: Value) -> None:
        """Store an element of a collection."""
        self._put(owner, key, value)

    def cleaned(self, names: list[tuple[str, int]]) -> None:
        """Take names as harmless for some kinds from here on."""
        for name, bits in names:
            value = self.frame.env.find(name)
            if value is not None:
                self.frame.env.vars[name] = value.but(clean=value.clean | bits)
