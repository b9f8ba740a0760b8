"""Which lines of a file are new, and where the old ones were."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Lines of both sides multiplied; above it a line counts as old if the old text has it anywhere.
MAX_COMPARED = 9_000_000


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in a file.

    Attributes:
        lines: Numbers of the lines that are new or different now.
        origin: Number now to number before, of lines that are the same.
        removed: How many lines went without one coming in their place.
    """

    lines: frozenset[int]
    origin: dict[int, int]
    removed: int = 0


def compared(before: Sequence[str], after: Sequence[str]) -> Changes:
    """Compare two texts by lines; ends of lines and blanks before them are no change."""
    old = [line.rstrip() for line in before]
    new = [line.rstrip() for line in after]
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    origin = {number: number for number in range(1, head + 1)}
    shift = len(old) - len(new)
    origin |= {number: number + shift for number in range(len(new) - tail + 1, len(new) + 1)}
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(middle_old) * len(middle_new) <= MAX_COMPARED:
        origin |= _matched(middle_old, middle_new, head)
    else:
        origin |= _anywhere(middle_old, middle_new, head)
    lines = frozenset(number for number in range(1, len(new) + 1) if number not in origin)
    return Changes(lines, origin, max(0, len(old) - len(origin) - len(lines)))


def _matched(old: Sequence[str], new: Sequence[str], head: int) -> dict[int, int]:
    found: dict[int, int] = {}
    # Blank lines and lone brackets match anywhere and would tear blocks apart.
    matcher = SequenceMatcher(lambda line: len(line.strip()) < 2, old, new, autojunk=False)
    for one, other, size in matcher.get_matching_blocks():
        for offset in range(size):
            found[head + other + offset + 1] = head + one + offset + 1
    return found


def _anywhere(old: Sequence[str], new: Sequence[str], head: int) -> dict[int, int]:
    places: dict[str, list[int]] = {}
    for number, line in enumerate(old, head + 1):
        places.setdefault(line, []).append(number)
    left = Counter(old)
    found: dict[int, int] = {}
    for number, line in enumerate(new, head + 1):
        if left[line] > 0:
            found[number] = places[line][len(places[line]) - left[line]]
            left[line] -= 1
    return found
