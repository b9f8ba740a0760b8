"""Lays a text beside a licence's template and says where they differ.

Whether a difference matters decides if the text still is that licence. A typing error does not; a
word such as `not`, `only` or `commercial` does, and so does a missing sentence.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from penstock_agent_compliance_checker.differences import MAX_RUN_WORDS, difference
from penstock_agent_compliance_checker.templates import Gap, Template

ANCHOR_WORDS = 3
# Above this product of lengths two unequal stretches are taken for wholly different: what stands
# there is no small difference anyhow, and comparing word by word is quadratic.
MAX_CELLS = 400_000
SLACK_WORDS = 12
TOLERATED_SHARE = 0.01
TOLERATED_WORDS = 1.5
MAX_TOLERATED_WORDS = 20.0


# Such a word right before the first word of a licence, or right behind its last, belongs to it.
_BEFORE = frozenset({"non", "not", "no", "commercial", "noncommercial", "only", "except", "unless"})
_BEHIND = frozenset({"except", "unless", "excluding", "but"})


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a text and a template go together.

    Attributes:
        template: The template.
        start: First word of the text that belongs to it.
        end: Behind the last.
        matched: Words in common.
        missing: Required words the text lacks.
        weight: Size of the differences, words that say little counted less.
        telling: Differences that change what the licence says, as short quotations.
        cut_off: The text ends before the licence does.
    """

    template: Template
    start: int
    end: int
    matched: int
    missing: int
    weight: float
    telling: tuple[str, ...] = field(default=())
    cut_off: bool = False

    @property
    def coverage(self) -> float:
        """How much of what the licence must have is there, 0 to 1."""
        return 1 - self.missing / max(1, self.template.required)

    @property
    def holds(self) -> bool:
        """Whether the text is that licence."""
        tolerated = min(
            MAX_TOLERATED_WORDS, max(TOLERATED_WORDS, TOLERATED_SHARE * self.template.required)
        )
        return not self.telling and not self.cut_off and self.weight <= tolerated


def align(template: Template, words: Sequence[str]) -> Alignment | None:
    """Find where in a text the licence is and compare; None where it is not."""
    window = _window(template, words)
    if window is None:
        return None
    low, high = window
    part = words[low:high]
    blocks = list(_blocks(template.words, part, 0, len(template.words), 0, len(part)))
    if not blocks:
        return None
    return _judged(template, part, blocks, low)


def _window(template: Template, words: Sequence[str]) -> tuple[int, int] | None:
    """The shortest stretch of the text that has most of the template's runs of words."""
    own = template.words
    known = {tuple(own[at : at + ANCHOR_WORDS]) for at in range(len(own) - ANCHOR_WORDS + 1)}
    hits = [
        (at, gram)
        for at in range(len(words) - ANCHOR_WORDS + 1)
        if (gram := tuple(words[at : at + ANCHOR_WORDS])) in known
    ]
    if not hits:
        return None
    reach = len(own) + sum(min(gap.most, 20) for gap in template.gaps.values()) + 60
    counts: Counter[tuple[str, ...]] = Counter()
    best, first, span = 0, 0, (0, 0)
    for last, (at, gram) in enumerate(hits):
        counts[gram] += 1
        while hits[first][0] < at - reach or counts[hits[first][1]] > 1:
            counts[hits[first][1]] -= 1
            if not counts[hits[first][1]]:
                del counts[hits[first][1]]
            first += 1
        if len(counts) > best:
            best, span = len(counts), (first, last)
    low, high = hits[span[0]][0], hits[span[1]][0] + ANCHOR_WORDS
    slack = max(SLACK_WORDS, template.required - (high - low))
    return max(0, low - slack), min(len(words), high + slack)


def _blocks(
    a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int
) -> Iterator[tuple[int, int, int]]:
    """Equal stretches (start in a, start in b, length), in order."""
    chain = _anchors(a, b, a0, a1, b0, b1)
    for at_a, at_b in [*chain, (a1, b1)]:
        if at_a < a0 or at_b < b0:
            continue
        yield from _small(a, b, a0, at_a, b0, at_b)
        length = 0
        while at_a + length < a1 and at_b + length < b1 and a[at_a + length] == b[at_b + length]:
            length += 1
        if length:
            yield at_a, at_b, length
        a0, b0 = at_a + length, at_b + length


def _small(
    a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int
) -> Iterator[tuple[int, int, int]]:
    if a0 >= a1 or b0 >= b1 or (a1 - a0) * (b1 - b0) > MAX_CELLS:
        return
    matcher = SequenceMatcher(None, a[a0:a1], b[b0:b1], autojunk=False)
    for block in matcher.get_matching_blocks():
        if block.size:
            yield a0 + block.a, b0 + block.b, block.size


def _anchors(
    a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int
) -> list[tuple[int, int]]:
    """Runs that occur once on either side, the longest chain in the same order on both."""
    where_a, where_b = _once(a, a0, a1), _once(b, b0, b1)
    pairs = sorted((at, where_b[gram]) for gram, at in where_a.items() if gram in where_b)
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, at_b) in enumerate(pairs):
        low, high = 0, len(tails)
        while low < high:
            middle = (low + high) // 2
            if tails[middle] < at_b:
                low = middle + 1
            else:
                high = middle
        before.append(ends[low - 1] if low else -1)
        if low == len(tails):
            tails.append(at_b)
            ends.append(index)
        else:
            tails[low], ends[low] = at_b, index
    chain: list[tuple[int, int]] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


def _once(words: Sequence[str], start: int, end: int) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    for at in range(start, end - ANCHOR_WORDS + 1):
        gram = tuple(words[at : at + ANCHOR_WORDS])
        found[gram] = -1 if gram in found else at
    return {gram: at for gram, at in found.items() if at >= 0}


def _judged(
    template: Template, part: Sequence[str], blocks: list[tuple[int, int, int]], offset: int
) -> Alignment:
    blocks = _without_stray_ends(blocks)
    start, end = blocks[0][1], blocks[-1][1] + blocks[-1][2]
    missing, weight, telling = 0, 0.0, list[str]()
    at_a, at_b = 0, start
    for block_a, block_b, size in [*blocks, (len(template.words), end, 0)]:
        lost = [
            word
            for word, may in zip(
                template.words[at_a:block_a], template.optional[at_a:block_a], strict=True
            )
            if not may
        ]
        extra = list(part[at_b:block_b])
        gap = _gap_between(template, at_a, block_a)
        missing += len(lost)
        if lost or extra:
            size_of, says = difference(lost, extra, gap)
            weight += size_of
            telling += says
        at_a, at_b = block_a + size, block_b + size
    if start and part[start - 1] in _BEFORE:
        telling.append("added: " + " ".join(part[max(0, start - 2) : start + 4]))
    if end < len(part) and part[end] in _BEHIND:
        telling.append("added: " + " ".join(part[end : end + 8]))
    tail = blocks[-1][0] + blocks[-1][2]
    required_tail = sum(not may for may in template.optional[tail:])
    return Alignment(
        template,
        offset + start,
        offset + end,
        sum(size for _, _, size in blocks),
        missing,
        weight,
        tuple(telling),
        required_tail > max(MAX_RUN_WORDS, template.required // 20),
    )


def _without_stray_ends(
    blocks: list[tuple[int, int, int]],
) -> list[tuple[int, int, int]]:
    """Single words in common, far before or behind the licence, are not of it."""
    kept = list(blocks)
    while len(kept) > 1:
        (a, b, size), (next_a, next_b, _) = kept[0], kept[1]
        if size < ANCHOR_WORDS and next_b - b - size > 2 + (next_a - a - size):
            kept.pop(0)
            continue
        break
    while len(kept) > 1:
        (last_a, last_b, last_size), (a, b, size) = kept[-2], kept[-1]
        if size < ANCHOR_WORDS and b - last_b - last_size > 2 + (a - last_a - last_size):
            kept.pop()
            continue
        break
    return kept


def _gap_between(template: Template, start: int, end: int) -> Gap | None:
    found = [template.gaps[at] for at in range(start, end + 1) if at in template.gaps]
    if not found:
        return None
    allowed = frozenset[str]().union(*(gap.allowed for gap in found))
    return Gap(allowed, sum(gap.most for gap in found))
