"""Comments that hide a finding, each with a reason and, if wanted, an end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Self

MAX_REASON_CHARS = 300
# Comments read in one file; a file made of them must not take our memory.
MAX_COMMENTS = 1_000
EVERY_RULE = "*"
_COMMENT_LEADERS = r"#|//|/\*|<!--|--|;|%"

# penstock: ignore[rule-a, rule-b] until 2027-01-31 -- why
_MARK = re.compile(r"penstock:\s*ignore\b")
_BODY = re.compile(
    r"penstock:\s*ignore"
    r"\[(?P<rules>[^\]\n]{1,300})\]"
    r"(?:\s+until\s+(?P<until>\S+))?"
    r"(?:\s+--\s*(?P<reason>.*))?$"
)
_ALONE = re.compile(rf"^\s*(?:{_COMMENT_LEADERS})\s*penstock:")
_CLOSING = re.compile(r"\s*(?:\*/|-->|%>|\}\})\s*$")


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment that is in force; `line` is the line whose findings it hides."""

    rules: frozenset[str]
    line: int
    reason: str
    until: date | None = None

    def names(self, rule: str) -> bool:
        """Whether it is meant for a rule: by its name, by its group (`dependency:*`), or all."""
        group = rule.partition(":")[0] + ":*"
        return not self.rules.isdisjoint((rule, group, EVERY_RULE))


@dataclass(frozen=True, slots=True)
class SuppressionFault:
    """A comment that hides nothing, and why."""

    line: int
    fault: str


@dataclass(slots=True)
class Suppressions:
    """The comments of one file."""

    faults: list[SuppressionFault] = field(default_factory=list["SuppressionFault"])
    _by_line: dict[int, list[Suppression]] = field(default_factory=dict[int, list["Suppression"]])

    @classmethod
    def read(cls, lines: Sequence[str], today: date) -> Self:
        """Find the comments of a file.

        One on a line with code is meant for that line; one alone on its line for the next line
        that is not such a comment.

        Args:
            lines: Of the file.
            today: A comment is in force up to and including its `until`.
        """
        read = cls()
        marked = (number for number, line in enumerate(lines, 1) if _MARK.search(line))
        for number in islice(marked, MAX_COMMENTS):
            read._take(number, lines, today)
        return read

    def covering(self, rule: str, line: int) -> Suppression | None:
        """Give the comment that hides a finding of `rule` at `line`, if one does."""
        return next((one for one in self._by_line.get(line, ()) if one.names(rule)), None)

    def _take(self, number: int, lines: Sequence[str], today: date) -> None:
        line = lines[number - 1]
        match = _BODY.search(_CLOSING.sub("", line))
        if match is None:
            self._fault(number, "write it as: penstock: ignore[rule] until 2027-01-31 -- reason")
            return
        reason = (match["reason"] or "").strip()[:MAX_REASON_CHARS]
        if not reason:
            self._fault(number, "it has no reason; add ' -- ' and why")
            return
        until: date | None = None
        if match["until"] is not None:
            try:
                until = date.fromisoformat(match["until"])
            except ValueError:
                self._fault(number, "its end is no date; write it as 2027-01-31")
                return
            if until < today:
                self._fault(number, f"it ended on {until.isoformat()}")
                return
        rules = frozenset(part.strip() for part in match["rules"].split(",")) - {""}
        target = _next_line(number, lines) if _ALONE.match(line) else number
        self._by_line.setdefault(target, []).append(Suppression(rules, target, reason, until))

    def _fault(self, line: int, fault: str) -> None:
        self.faults.append(SuppressionFault(line, fault))


def _next_line(number: int, lines: Sequence[str]) -> int:
    """The line after a comment and after those of its kind that follow it."""
    while number < len(lines) and _ALONE.match(lines[number]):
        number += 1
    return number + 1
