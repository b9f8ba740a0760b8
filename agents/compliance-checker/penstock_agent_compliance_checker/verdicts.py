"""How a combination of two licences is judged, and by which way of combining."""

from dataclasses import dataclass
from typing import Literal

# dynamic: linked or imported at run time. static: becomes part of the same file. copied: source
# text taken into the project. separate: another process, a build tool, a test's need.
Linking = Literal["dynamic", "static", "copied", "separate"]
Outcome = Literal["compatible", "conditional", "review", "unknown", "incompatible"]
_ORDER: tuple[Outcome, ...] = ("compatible", "conditional", "review", "unknown", "incompatible")


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and its reason, one sentence without the names."""

    outcome: Outcome
    reason: str = ""

    @property
    def rank(self) -> int:
        """0 is best."""
        return _ORDER.index(self.outcome)


FINE = Verdict("compatible")


def rank(one: Verdict) -> int:
    """The key to sort by; the best is lowest."""
    return one.rank
