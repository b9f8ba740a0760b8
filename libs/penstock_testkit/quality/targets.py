"""What has to be reached; a target that is missed ends the measurement with an error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock_testkit.quality.cases import Suite
from penstock_testkit.quality.measuring import Result
from penstock_testkit.quality.scoring import Score, Unit, total

Chooses = Callable[[Unit], bool]
BETTER_BY = 0.10
SECRETS_PRECISION = 0.95
SECRETS_RECALL = 0.90
REVIEW_PRECISION = 0.80


@dataclass(frozen=True, slots=True)
class Target:
    """One demand and what was reached.

    Attributes:
        name: What is demanded.
        reached: The figure.
        wanted: What it has to be at least.
    """

    name: str
    reached: float
    wanted: float

    @property
    def holds(self) -> bool:
        """Whether it was reached; a difference in the fourth decimal is none."""
        return self.reached >= self.wanted - 0.00005


def targets_of(suite: Suite, results: Sequence[Result], *, ours: bool) -> list[Target]:
    """The demands on a suite.

    Args:
        suite: What was measured.
        results: The first is our agent's.
        ours: It is our own corpus, which demands more.
    """
    agent = results[0]
    match suite.part:
        case "scanner":
            return _scanner(suite, results, BETTER_BY if ours else 0.0, ours=ours)
        case "secrets" if ours:
            score = agent.tally.line_score
            return [
                Target("secrets: precision", score.precision or 0.0, SECRETS_PRECISION),
                Target("secrets: recall", score.recall or 0.0, SECRETS_RECALL),
            ]
        case "secrets":
            return _above_tools("secrets", results, 0.0, lambda _: True)
        case "dependencies" | "compliance":
            asked = agent.tally.score.asked
            right = 1.0 - len(agent.tally.mistakes) / asked if asked else 0.0
            return [Target(f"{suite.part}: right answers", right, 1.0)]
        case "reviewer":
            precision = agent.tally.severe.precision or 0.0
            return [
                Target("reviewer: precision at blocker and critical", precision, REVIEW_PRECISION)
            ]


def _scanner(
    suite: Suite, results: Sequence[Result], better_by: float, *, ours: bool
) -> list[Target]:
    targets = _above_tools("scanner", results, better_by, lambda _: True)
    languages = {case.language for case in suite.cases}
    if "python" in languages and len(languages) > 1:
        targets += _above_tools(
            "scanner, Python", results, better_by, lambda unit: unit.case.language == "python"
        )
    if ours:
        targets += _above_tools(
            "scanner, held out", results, better_by, lambda unit: unit.case.group == "held_out"
        )
    return targets


def _above_tools(
    name: str, results: Sequence[Result], better_by: float, wanted: Chooses
) -> list[Target]:
    agent, *others = results
    tools = [(f1_of(other, wanted), other.subject) for other in others if other.tool]
    if not tools or not any(wanted(unit) for unit in agent.tally.units):
        return []
    best, tool = max(tools)
    plus = f" + {better_by * 100:.0f} points" if better_by else ""
    return [Target(f"{name}: F1 of {tool}{plus}", f1_of(agent, wanted), min(best + better_by, 1.0))]


def f1_of(result: Result, wanted: Chooses) -> float:
    """F1 at case level over some units; 0 where there is none."""
    score: Score = total(unit.answer for unit in result.tally.units if wanted(unit))
    return score.f1 or 0.0
