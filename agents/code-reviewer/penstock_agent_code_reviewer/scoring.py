"""From issues to one figure.

    penalty = sum of weights: blocker 25, critical 10, major 3, minor 0.5
    room    = 20 + changed lines / 5
    score   = 100 * room / (room + penalty), at most 49 with a blocker, at most 74 with a critical

rounded down. 100 exactly where there is no issue; another issue never raises it, whatever it is;
the same issues weigh less in a larger change, but no size hides one that breaks the program.
"""

from collections.abc import Mapping

WEIGHTS: Mapping[str, float] = {"blocker": 25.0, "critical": 10.0, "major": 3.0, "minor": 0.5}
CAPS: Mapping[str, int] = {"blocker": 49, "critical": 74}
ROOM = 20.0
LINES_PER_POINT = 5.0


def score(counts: Mapping[str, int], changed_lines: int) -> int:
    """The score of a review.

    Args:
        counts: All issues by severity, listed or not; hidden ones do not count.
        changed_lines: How many lines were reviewed.
    """
    penalty = sum(WEIGHTS[severity] * count for severity, count in counts.items())
    if penalty == 0:
        return 100
    room = ROOM + max(0, changed_lines) / LINES_PER_POINT
    found = int(100 * room / (room + penalty))
    return min([found, 99, *(cap for severity, cap in CAPS.items() if counts.get(severity))])
