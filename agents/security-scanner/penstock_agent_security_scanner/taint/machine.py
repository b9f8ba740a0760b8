"""The state of one analysis, and its report."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.models import RANK, Severity
from penstock_agent_security_scanner.taint.media import only_data
from penstock_agent_security_scanner.taint.scopes import Class, Function, Scope
from penstock_agent_security_scanner.taint.values import Value

# Expressions and statements visited per file, calls included.
MAX_STEPS: Final = 150_000
# For what a module that is only imported binds.
MAX_IMPORT_STEPS: Final = 4_000
# Further for all calls entered from one function that nobody calls.
MAX_CALL_DEPTH: Final = 7
MAX_MEMO: Final = 2_000


class OutOfSteps(Exception):
    """The budget of the file is used up."""


@dataclass
class Result:
    """What an analysis found out about one file.

    Attributes:
        hits: Severity by rule and line.
        rules: Rules by name.
        cleared: By weakness, lines where a call that could have it was seen with harmless values
            every time it was reached.
        built: By weakness, lines where the text that reached a hit was put together.
        dead: Lines that no run can reach.
        whole: The file was analysed to its end.
    """

    hits: dict[tuple[str, int], Severity] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    cleared: dict[str, set[int]] = field(default_factory=dict)
    built: dict[tuple[str, int], int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    whole: bool = True


@dataclass
class Machine:
    """Counts steps, collects hits, and holds what functions returned before.

    Attributes:
        module: Dotted name of the file's module.
        loader: Gives the global scope of another module of the repository, or None.
        silent: While above 0 nothing is reported.
        parsers: Lines that tell a parser to follow entities, by its name.
        outside: While code of another module runs, the line that called it.
        tree: The file.
    """

    module: str = ""
    loader: Callable[[str], Scope | None] | None = None
    result: Result = field(default_factory=Result)
    steps: int = 0
    depth: int = 0
    loops: int = 0
    budget: int = MAX_STEPS
    silent: int = 0
    outside: int = 0
    running: list[ast.AST] = field(default_factory=list)
    memo: dict[object, tuple[Value, Value | None, Scope]] = field(default_factory=dict)
    pending: list[Function] = field(default_factory=list)
    entered: set[int] = field(default_factory=set)
    classes: list[Class] = field(default_factory=list)
    handlers: dict[str, str] = field(default_factory=dict)
    star: str = ""
    parsers: dict[str, int] = field(default_factory=dict[str, int])
    imports: set[str] = field(default_factory=set)
    dirty: dict[str, set[int]] = field(default_factory=dict)
    run_lines: set[int] = field(default_factory=set)
    skipped: list[range] = field(default_factory=list)
    tree: ast.Module | None = None
    _only_data: bool | None = None

    @property
    def only_data(self) -> bool:
        """Whether the answers written in the file say that they are data, not pages."""
        if self._only_data is None:
            self._only_data = self.tree is not None and only_data(self.tree)
        return self._only_data

    def absolute(self, module: str, level: int) -> str:
        """The dotted name an import means, relative ones included."""
        if not level:
            return module
        parts = self.module.split(".")
        base = parts[: len(parts) - level] if len(parts) >= level else []
        return ".".join([*base, module] if module else base)

    def step(self) -> None:
        """Count one.

        Raises:
            OutOfSteps: The budget is used up.
        """
        self.steps += 1
        if self.steps > self.budget:
            raise OutOfSteps

    def report(
        self, rule: Rule, line: int, severity: Severity | None = None, built: int = 0
    ) -> None:
        """A weakness at a line; of several reports the most severe counts."""
        if self.silent:
            return
        self.dirty.setdefault(rule.name, set()).add(line)
        level = severity or rule.severity
        key = (rule.name, line)
        known = self.result.hits.get(key)
        if known is None or RANK[level] < RANK[known]:
            self.result.hits[key] = level
        self.result.rules[rule.name] = rule
        if built:
            self.result.built[key] = built

    def report_outside(self, rule: Rule, severity: Severity) -> None:
        """A weakness in another module that is reached from a line of this one."""
        kept, self.silent = self.silent, 0
        self.report(rule, self.outside, severity)
        self.silent = kept

    def withdraw(self, rule: Rule, line: int) -> None:
        """What was reported before turned out to be harmless."""
        self.result.hits.pop((rule.name, line), None)
        self.dirty.get(rule.name, set()).discard(line)
        self.clear(rule, range(line, line + 1))

    def clear(self, rule: Rule, lines: range) -> None:
        """A call that could have the weakness, with values that cannot."""
        if not self.silent:
            self.result.cleared.setdefault(rule.name, set()).update(lines)

    def doubt(self, rule: Rule, lines: range) -> None:
        """The same call, with values of which nothing bad is known, and nothing good."""
        if not self.silent:
            self.dirty.setdefault(rule.name, set()).update(lines)

    def finish(self) -> Result:
        """Settle what was seen in several ways."""
        for name, lines in self.result.cleared.items():
            lines.difference_update(self.dirty.get(name, set()))
        if self.result.whole:
            dead = {line for lines in self.skipped for line in lines}
            self.result.dead = dead - self.run_lines
        return self.result


def lines_of(node: ast.AST) -> range:
    """Lines an expression or statement covers."""
    first = getattr(node, "lineno", 1)
    return range(first, (getattr(node, "end_lineno", None) or first) + 1)
