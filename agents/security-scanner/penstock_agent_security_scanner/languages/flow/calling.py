"""What a call does: to collections, to texts, into functions of the file, and out of sight."""

from penstock_agent_security_scanner.languages.flow.built_ins import BuiltIns
from penstock_agent_security_scanner.languages.flow.expressions import NUMBERS
from penstock_agent_security_scanner.languages.flow.frames import Closure, Env, Frame
from penstock_agent_security_scanner.languages.flow.handlers import (
    CLOUD_HANDLERS,
    HANDLER_NAMES,
    ITERATING,
    is_request,
    is_route,
)
from penstock_agent_security_scanner.languages.flow.judge import Judge
from penstock_agent_security_scanner.languages.flow.machine import Machine
from penstock_agent_security_scanner.languages.flow.program import (
    Call,
    Expr,
    Function,
    Member,
    Name,
    Opaque,
    Parameter,
    Program,
    Set,
)
from penstock_agent_security_scanner.languages.flow.values import (
    ABSENT,
    BUILT,
    NOTHING,
    PARAMETER,
    REMOTE,
    UNKNOWN,
    Value,
    mixed,
    total,
)

MAX_INLINED = 6
MAX_REF = 200
# Calls whose result is a text made of their parts.


class Caller:
    """Evaluates calls for one `Machine` and enters functions nobody has entered."""

    def __init__(self, program: Program, judge: Judge) -> None:
        self.machine = Machine(program, self.call, judge)
        self.built_ins = BuiltIns(self.machine)
        self.judge = judge
        self.program = program
        self._stack: list[Function] = []
        self._known: dict[tuple[object, ...], Value] = {}
        self._methods: dict[str, dict[str, list[Closure]]] = {}

    # ---- whole program

    def run(self) -> None:
        """The file's own statements, then everything that others may call."""
        self._define()
        machine = self.machine
        for statement in self.program.body:
            machine.eval(statement)
            machine.frame.left = ""
        self.judge.settle(machine.frame)
        for methods in self._methods.values():
            for name in sorted(methods, key=lambda name: name != "<init>"):
                for closure in methods[name]:
                    self._enter_if_open(closure)
        for everything in (False, True):
            done = 0
            while done < len(machine.closures):
                closure = machine.closures[done]
                done += 1
                if self._is_open(closure, everything):
                    self._enter_if_open(closure, always=True)

    def _is_open(self, closure: Closure, everything: bool) -> bool:
        """Whether to enter a function as a stranger would; those called here wait for that."""
        name = closure.function.name
        if name in self.program.outward:
            return not everything
        if closure.entered:
            return False
        return everything or (not closure.function.hidden and name not in self.program.calls)

    def _define(self) -> None:
        machine = self.machine
        for read in self.program.classes.values():
            fields = machine.fields_of(read.name)
            methods = self._methods.setdefault(read.name, {})
            for method in read.methods:
                methods.setdefault(method.name, []).append(Closure(method, fields))
        for function in self.program.functions:
            closure = Closure(function, machine.module)
            if function.owner:
                methods = self._methods.setdefault(function.owner, {})
                methods.setdefault(function.name, []).append(closure)
                continue
            machine.module.vars[function.name] = Value(ref=function.name, run=closure)
            machine.closures.append(closure)
        for read in self.program.classes.values():
            fields = machine.fields_of(read.name)
            outer, machine.frame = machine.frame, Frame(None, fields)
            for start in read.fields:
                machine.eval(start)
                self._unfix(fields, start.target)
            self.judge.settle(machine.frame)
            machine.frame = outer

    def _unfix(self, fields: Env, target: Expr) -> None:
        """A field that is written elsewhere is not what it starts as."""
        if isinstance(target, Name) and target.id in self.program.assigned:
            value = fields.vars.get(target.id)
            if value is not None and value.const is not ABSENT:
                fields.vars[target.id] = value.but(marks=value.marks | UNKNOWN)

    def _enter_if_open(self, closure: Closure, always: bool = False) -> None:
        function = closure.function
        if function.hidden and not always and function.name in self.program.calls:
            return
        self.enter(closure, [self.argument(p, function) for p in function.parameters])

    def argument(self, parameter: Parameter, function: Function) -> Value:
        """What a function is given by whoever is not in sight."""
        table = self.judge.table
        if parameter.type in table.remote_types or table.remote_notes & set(parameter.notes):
            return Value(REMOTE, ref=parameter.type or parameter.name)
        if parameter.type in NUMBERS:
            return NOTHING
        ref = parameter.type or parameter.name
        neutral = table.neutral_types.search(ref)
        if not neutral and any(map(table.entry_notes.search, function.notes)):
            return Value(REMOTE, ref=ref)
        if parameter.name == "event" and function.name in CLOUD_HANDLERS:
            return Value(REMOTE, ref=ref)
        if is_request(parameter.pattern) and len(function.parameters) > 1:
            return Value(UNKNOWN, ref="req")
        return self.judge.seen(Value(UNKNOWN if neutral else PARAMETER, ref=ref))

    # ---- functions of the file

    def enter(self, closure: Closure, args: list[Value]) -> Value:
        """Run a function of the file."""
        function = closure.function
        closure.entered = True
        if len(self._stack) >= MAX_INLINED or any(function is busy for busy in self._stack):
            return mixed([Value(UNKNOWN), *(total(arg) for arg in args)])
        key = self._key(closure, args)
        if key is not None and key in self._known:
            return self._known[key]
        machine = self.machine
        outer = machine.frame
        frame = machine.frame = Frame(function, Env(closure.env))
        self.judge.entered(function)
        self._stack.append(function)
        try:
            self._bind(function, args, frame)
            result = machine.eval(function.body)
        finally:
            self._stack.pop()
            machine.frame = outer
        self.judge.settle(frame)
        outer.safe |= frame.safe
        returned = frame.returns if frame.returns is not None else result
        if key is not None:
            self._known[key] = returned
        return returned

    def _bind(self, function: Function, args: list[Value], frame: Frame) -> None:
        if function.receiver:
            held = self.machine.fields_of(function.owner).vars
            frame.env.vars[function.receiver] = Value(UNKNOWN, ref=function.owner, items=held)
        for index, parameter in enumerate(function.parameters):
            if parameter.rest:
                given = Value(items=dict(enumerate(args[index:])))
            elif index < len(args):
                given = args[index]
            else:
                given = Value(UNKNOWN, ref=parameter.type or parameter.name)
            if parameter.type and not given.ref and given.run is None and given.const is ABSENT:
                given = given.but(ref=parameter.type)
            if parameter.pattern is not None:
                hole = Opaque(function.line, [])
                self.machine.assign(
                    Set(function.line, parameter.pattern, hole, "", True), parameter.pattern, given
                )
            frame.env.vars[parameter.name] = given

    @staticmethod
    def _key(closure: Closure, args: list[Value]) -> tuple[object, ...] | None:
        if any(arg.items is not None or arg.run is not None for arg in args):
            return None
        shapes = tuple((a.marks, a.clean, a.ref, a.prefix, type(a.const), a.const) for a in args)
        return (id(closure), shapes)

    # ---- calls

    def call(self, expr: Call) -> Value:
        """The result of a call, after everything it does."""
        machine = self.machine
        owner, ref, name = self._callee(expr)
        args = [machine.eval(arg) for arg in expr.args]
        if name in ("promisify", "bind", "callbackify"):
            return args[0] if name != "bind" and args else owner.but(ref=ref)
        known = self._known_function(expr, owner, name, args)
        if known is None or not self._is_local(expr, owner):
            self.judge.sinks(machine.frame, ref, name, args, expr)
            self.judge.states(machine.frame, ref, name, args, expr.line)
        if known is not None:
            return known
        self._call_backs(owner, ref, name, args)
        built_in = self.built_ins.on_collection(expr, owner, name, args)
        if built_in is not None:
            return built_in
        full = f"{ref}.{name}"[:MAX_REF] if ref else name
        result = self.judge.result(ref, name, owner, args, full)
        if result is not None:
            result.ref = f"{full}()"
            return result
        return self.judge.seen(self.built_ins.by_default(expr, owner, name, args, full))

    def _is_local(self, expr: Call, owner: Value) -> bool:
        return isinstance(expr.callee, Name) or owner.ref in self._methods

    def _callee(self, expr: Call) -> tuple[Value, str, str]:
        """Owner, its reference, and the name of what is called."""
        callee = expr.callee
        if expr.new:
            name = (
                callee.id
                if isinstance(callee, Name)
                else callee.name
                if isinstance(callee, Member)
                else ""
            )
            if isinstance(callee, Name):
                value = self.machine.look_up(callee.id)
                name = value.ref.rsplit(".", 1)[-1] or name
            return NOTHING, "", f"new {name}"
        if isinstance(callee, Member):
            owner = self.machine.eval(callee.of)
            return owner, owner.ref, callee.name
        value = self.machine.eval(callee)
        ref, _, name = value.ref.rpartition(".")
        return value if value.run is not None else NOTHING, ref, name

    def _known_function(
        self, expr: Call, owner: Value, name: str, args: list[Value]
    ) -> Value | None:
        """The result of a function of this file; None for any other."""
        callee = expr.callee
        if expr.new:
            return self._constructed(name[4:], args)
        if isinstance(callee, Member):
            held = owner.items.get(callee.name) if owner.items else None
            if held is not None and held.run is not None:
                return self.enter(held.run, args)
            return self._method(owner.ref, callee.name, args)
        if owner.run is not None:
            return self.enter(owner.run, args)
        if isinstance(callee, Name):
            function = self.machine.frame.function
            found = self._method(function.owner, callee.id, args) if function else None
            if found is None and callee.id in self.program.calls:
                for cls, methods in self._methods.items():
                    if callee.id in methods:
                        return self._method(cls, callee.id, args)
            return found
        return None

    def _method(self, owner: str, name: str, args: list[Value]) -> Value | None:
        overloads = self._methods.get(owner, {}).get(name)
        if not overloads:
            return None
        for closure in overloads:
            if len(closure.function.parameters) == len(args):
                return self.enter(closure, args)
        return self.enter(overloads[0], args)

    def _constructed(self, name: str, args: list[Value]) -> Value | None:
        if name not in self._methods:
            return None
        self._method(name, "<init>", args)
        whole = mixed([total(arg) for arg in args])
        return Value(
            whole.marks & ~BUILT, whole.clean, ref=name, items=self.machine.fields_of(name).vars
        )

    def _call_backs(self, owner: Value, ref: str, name: str, args: list[Value]) -> None:
        """Functions handed over are taken to be called."""
        routed = is_route(ref, name, args)
        for arg in args:
            closure = arg.run
            if closure is None:
                continue
            parameters = closure.function.parameters
            given: list[Value] = []
            for index, parameter in enumerate(parameters):
                value = self.argument(parameter, closure.function)
                value = value.but(marks=value.marks & ~PARAMETER | UNKNOWN)
                if routed and 2 <= len(parameters) <= 4:
                    shift = 1 if len(parameters) == 4 else 0
                    label = (("err", *HANDLER_NAMES) if shift else HANDLER_NAMES)[index]
                    value = Value(UNKNOWN, ref=label)
                elif is_request(parameter.pattern) and len(parameters) > 1:
                    value = Value(UNKNOWN, ref="req")
                elif index == 0 and name in ITERATING:
                    whole = total(owner)
                    value = Value(whole.marks | UNKNOWN, whole.clean, ref=parameter.name)
                given.append(value)
            self.enter(closure, given)
