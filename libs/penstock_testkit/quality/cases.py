"""What a case is, and what a finding is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Group = Literal["open", "held_out"]
Part = Literal["scanner", "secrets", "dependencies", "compliance", "reviewer"]


@dataclass(frozen=True, slots=True)
class Label:
    """What is right to find at a place.

    Attributes:
        file: Relative to the case's folder.
        line: From 1; 0 where a suite tells the file only.
        klass: The class: a family, a kind of secret, an advisory, a rule, a category.
        also: CWE numbers that are accepted besides those of the class.
        severity: At least this, where it is asked for.
        optional: Right when found, not missed when not.
    """

    file: str
    line: int
    klass: str
    also: frozenset[int] = frozenset()
    severity: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A small repository with known answers.

    Attributes:
        id: Unique in its suite; also its folder's name there.
        klass: What is asked about.
        language: For the report.
        group: Whether rules may have been written with it in view.
        files: Text by name, without marks, values filled in. Empty where the suite's own files
            are scanned in place.
        labels: What is right to find; without any that is not optional the case is safe.
        before: The files of a first commit, where there is one.
        input: Fields for the agent's input.
        expect: A verdict, where the part has one.
        source: Folder or file of a suite that is scanned in place, relative to the suite.
        also: CWE numbers that answer the question besides the class's own.
        within: First and last line that the question is about, where several cases share a file.
    """

    id: str
    klass: str
    language: str
    group: Group = "open"
    files: Mapping[str, str] = field(default_factory=lambda: {})
    labels: tuple[Label, ...] = ()
    before: Mapping[str, str] = field(default_factory=lambda: {})
    input: Mapping[str, object] = field(default_factory=lambda: {})
    expect: Mapping[str, object] = field(default_factory=lambda: {})
    source: str = ""
    also: frozenset[int] = frozenset()
    within: tuple[int, int] | None = None

    def covers(self, line: int) -> bool:
        """Whether the question is about this line."""
        return self.within is None or self.within[0] <= line <= self.within[1]

    @property
    def wanted(self) -> tuple[Label, ...]:
        """Labels that are missed when nothing is found there."""
        return tuple(label for label in self.labels if not label.optional)

    @property
    def vulnerable(self) -> bool:
        """Whether anything has to be found."""
        return bool(self.wanted)


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that are measured together.

    Attributes:
        name: For the report.
        kind: What it was taken for.
        part: Which check of which agent it is for.
        cases: By no order that matters.
        complete: Every weakness is labelled, so that any other finding is false.
        root: Where files that are scanned in place lie; empty for cases that bring their texts.
        lines: Labels tell lines; without, only the case level is counted.
        context: Files in place that nobody asks about, but that others need to be understood.
    """

    name: str
    kind: str
    part: Part
    cases: tuple[Case, ...]
    complete: bool = True
    root: str = ""
    lines: bool = True
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What somebody says about a line.

    Attributes:
        file: As given to them, with slashes.
        line: From 1.
        rule: Their name of it.
        cwes: Numbers they give, or that we give their rule.
        severity: Their word.
        klass: The class, where the finding says more than a CWE (category, advisory).
    """

    file: str
    line: int
    rule: str
    cwes: frozenset[int] = frozenset()
    severity: str = ""
    klass: str = ""
