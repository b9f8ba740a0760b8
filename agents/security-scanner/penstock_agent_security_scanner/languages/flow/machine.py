"""Running a program on abstract values.

Functions of the file are entered where they are called, with what they are given; those that others
can call are run once more with parameters of unknown origin. Both ways of a branch are taken unless
its test is a literal, and merged behind it; loops are run twice at most. Every run has a budget of
steps, so that no program can keep it busy.
"""

from collections.abc import Callable

from penstock_agent_security_scanner.languages.flow import folding, guards
from penstock_agent_security_scanner.languages.flow.expressions import Expressions
from penstock_agent_security_scanner.languages.flow.frames import Watch, joined_ways
from penstock_agent_security_scanner.languages.flow.program import (
    Block,
    Call,
    Expr,
    If,
    Leave,
    Loop,
    Name,
    Program,
    Switch,
    Try,
)
from penstock_agent_security_scanner.languages.flow.values import (
    ABSENT,
    CLEAN,
    NOTHING,
    Known,
    Value,
    merged,
)

MAX_LOOP_DEPTH = 2


class Machine(Expressions):
    """Evaluates one program: its statements too."""

    def __init__(self, program: Program, call: Callable[[Call], Value], watch: Watch) -> None:
        super().__init__(program, call, watch)
        self.kinds |= {
            Block: self._block,
            If: self._if,
            Loop: self._loop,
            Switch: self._switch,
            Try: self._try,
            Leave: self._leave,
        }

    # ---- statements

    def _block(self, expr: Block) -> Value:
        for statement in expr.body:
            self.eval(statement)
            if self.frame.left:
                break
        return NOTHING

    def _if(self, expr: If) -> Value:
        test = folding.truth(self.eval(expr.test))
        yes, no = guards.judged(expr.test, self)
        if test is True:
            return self.eval(expr.yes)
        if test is False:
            return self.eval(expr.no) if expr.no is not None else NOTHING
        self.ways([(yes, expr.yes), (no, expr.no)])
        return NOTHING

    def ways(self, options: list[tuple[list[tuple[str, int]], Expr | None]]) -> None:
        """Take several ways from here and go on with what they have in common."""
        frame = self.frame
        start = frame.env.vars
        ends: list[dict[Known, Value]] = []
        left = ""
        frame.branches += 1
        for names, way in options:
            frame.env.vars = dict(start)
            self.cleaned(names)
            if way is not None:
                self.eval(way)
            if frame.left:
                left = left if left == "return" else frame.left
                frame.left = ""
            else:
                ends.append(frame.env.vars)
        frame.branches -= 1
        frame.env.vars = joined_ways(ends) if ends else start
        frame.left = "" if ends else left

    def _loop(self, expr: Loop) -> Value:
        frame = self.frame
        for part in expr.before:
            self.eval(part)
        for name in expr.changes:
            value = frame.env.vars.get(name)
            if value is not None and value.const is not ABSENT:
                frame.env.vars[name] = value.but()
        outer, frame.ways_out = frame.ways_out, []
        frame.loops += 1
        frame.branches += 1
        for _ in range(2 if frame.loops <= MAX_LOOP_DEPTH else 1):
            before = dict(frame.env.vars)
            certain = expr.test is not None and folding.truth(self.eval(expr.test)) is False
            if certain:
                break
            self.eval(expr.body)
            ends = [*frame.ways_out, before]
            if frame.left in ("", "break", "continue"):
                ends.append(frame.env.vars)
            frame.left = ""
            frame.env.vars = joined_ways(ends)
        frame.branches -= 1
        frame.loops -= 1
        frame.ways_out = outer
        return NOTHING

    def _switch(self, expr: Switch) -> Value:
        subject = self.eval(expr.subject)
        chosen = self._chosen(expr, subject)
        frame = self.frame
        outer, frame.ways_out = frame.ways_out, []
        name = expr.subject.id if isinstance(expr.subject, Name) else ""
        ends: list[dict[Known, Value]] = []
        start = frame.env.vars
        lefts: list[str] = []
        frame.branches += 0 if chosen is not None else 1
        for index in [chosen] if chosen is not None else range(len(expr.cases)):
            frame.env.vars = dict(start)
            values = expr.cases[index][0]
            if name and values:
                self.cleaned([(name, CLEAN)])
            for case in expr.cases[index:]:
                self.eval(case[1])
                if frame.left or not case[2]:
                    break
            if frame.left in ("", "break"):
                ends.append(frame.env.vars)
            else:
                lefts.append(frame.left)
            frame.left = ""
        frame.branches -= 0 if chosen is not None else 1
        if chosen is None and all(values is not None for values, _, _ in expr.cases):
            ends.append(start)
        ends.extend(frame.ways_out)
        frame.ways_out = outer
        frame.env.vars = joined_ways(ends) if ends else start
        frame.left = "" if ends or not lefts else lefts[0]
        return NOTHING

    def _chosen(self, expr: Switch, subject: Value) -> int | None:
        """The only case that can be taken, where that is certain."""
        if subject.const is ABSENT:
            return None
        default = None
        for index, (values, _, _) in enumerate(expr.cases):
            if values is None:
                default = index
                continue
            for value in values:
                const = self.eval(value).const
                if const is ABSENT:
                    return None
                if type(const) is type(subject.const) and const == subject.const:
                    return index
        return default

    def _try(self, expr: Try) -> Value:
        frame = self.frame
        before = dict(frame.env.vars)
        self.eval(expr.body)
        left, after = frame.left, frame.env.vars
        frame.left = ""
        ends = [] if left else [after]
        frame.branches += 1
        for handler in expr.handlers:
            frame.env.vars = joined_ways([before, after])
            self.eval(handler)
            if not frame.left:
                ends.append(frame.env.vars)
            else:
                left = left or frame.left
            frame.left = ""
        frame.branches -= 1
        frame.env.vars = joined_ways(ends) if ends else after
        frame.left = "" if ends else left
        if expr.last is not None:
            kept, frame.left = frame.left, ""
            self.eval(expr.last)
            frame.left = frame.left or kept
        return NOTHING

    def _leave(self, expr: Leave) -> Value:
        frame = self.frame
        if expr.value is not None:
            value = self.eval(expr.value)
            if expr.kind == "return":
                frame.returns = value if frame.returns is None else merged(frame.returns, value)
                self.watch.returned(expr, value, frame.function)
        frame.left = "return" if expr.kind == "throw" else expr.kind
        if expr.kind in ("break", "continue"):
            frame.ways_out.append(dict(frame.env.vars))
        return NOTHING
