"""Which licences a text is, is not any more, or may be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from penstock_agent_compliance_checker.alignment import Alignment, align
from penstock_agent_compliance_checker.templates import (
    SAMPLED_ABOVE_WORDS,
    Template,
    shingles_of,
    spdx_data,
    templates,
    verbatim,
)
from penstock_agent_compliance_checker.words import Words, words_of

MIN_WORDS = 12
MAX_PER_TEXT = 30
MAX_CANDIDATES = 10
MAX_VERBATIM = 3
MIN_RESEMBLANCE = 0.3
# A text that has this much of a licence and is not it is told as a changed one.
MIN_CHANGED = 0.35
MIN_CHANGED_WORDS = 40
# A changed licence that has another one whole within it, and this many words more.
NEARLY_ALL = 0.93
LONGER_BY_WORDS = 20
# A difference costs as much as this many words in common when licences compete for a text.
COST = 6.0


_SUFFIX = re.compile(r"(?:-invariants|-no-invariants)?(?:-only|-or-later|\+)?$")
FAMILIES = frozenset(
    f"{name}-{version}"
    for name, versions in (
        ("GPL", ("1.0", "2.0", "3.0")),
        ("LGPL", ("2.0", "2.1", "3.0")),
        ("AGPL", ("1.0", "3.0")),
        ("GFDL", ("1.1", "1.2", "1.3")),
    )
    for version in versions
)


# Withdrawn identifiers whose text is that of another.
_RENAMED = {
    "GPL-2.0-with-bison-exception": "Bison-exception-2.2",
    "Nunit": "zlib-acknowledgement",
    "StandardML-NJ": "SMLNJ",
    "wxWindows": "WxWindows-exception-3.1",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One licence, or what is left of it, in a text.

    Attributes:
        id: SPDX identifier; of several with the same text the narrowest in force.
        same_text: The other identifiers with that text (`-or-later`).
        holds: False if the text was changed so that it is this licence no more.
        why: What was changed, quoted; empty where `holds`.
        line: Where it begins.
        is_exception: An addition to a licence, not one by itself.
        coverage: How much of the licence is there, 0 to 1.
    """

    id: str
    same_text: tuple[str, ...]
    holds: bool
    why: str
    line: int
    is_exception: bool
    coverage: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in a text.

    Attributes:
        found: Licences in the order they are in the text.
        rest: Stretches that belong to none: first line and words.
    """

    found: tuple[Found, ...]
    rest: tuple[tuple[int, tuple[str, ...]], ...]


def recognise(text: str) -> Reading:
    """Read a text of any length; cost grows with the length, up to a bound."""
    return _read(words_of(text))


def _read(all_words: Words) -> Reading:
    words, lines = all_words.words, all_words.lines
    pending = [(0, len(words))]
    found: list[tuple[int, Found]] = []
    rest: list[tuple[int, int]] = []
    while pending:
        start, end = pending.pop()
        part = words[start:end]
        chosen = _best(part) if len(found) < MAX_PER_TEXT else None
        if chosen is None:
            if part:
                rest.append((start, end))
            continue
        best = chosen[0]
        found.append((start + best.start, _found(chosen, lines[start + best.start])))
        pending += [(start, start + best.start), (start + best.end, end)]
    return Reading(
        tuple(one for _, one in sorted(found, key=lambda pair: pair[0])),
        tuple((lines[start], words[start:end]) for start, end in sorted(rest)),
    )


def _best(words: Sequence[str]) -> list[Alignment] | None:
    """The alignment that explains most, with those of the same worth."""
    if len(words) < MIN_WORDS:
        return None
    aligned = [
        alignment
        for template in _candidates(words)
        if (alignment := align(template, words)) is not None
    ]
    whole = [one for one in aligned if one.holds]
    changed = [one for one in aligned if not one.holds and _resembles(one)]
    best = max(whole, key=_worth, default=None)
    if best is not None:
        larger = max(changed, key=lambda one: one.matched, default=None)
        if larger is None or not _contains(larger, best):
            return [best, *(one for one in whole if one is not best and _equal(one, best))]
        changed = [larger]
    for one in sorted(changed, key=_worth, reverse=True)[:MAX_VERBATIM]:
        template = verbatim(one.template.id, is_exception=one.template.is_exception)
        listed = align(template, words)
        if listed is not None and listed.holds:
            return [listed]
    if changed:
        best = max(changed, key=lambda one: (_worth(one), one.coverage))
        return [best, *(one for one in changed if one is not best and _equal(one, best))]
    return None


def _contains(larger: Alignment, best: Alignment) -> bool:
    """Whether what holds is only a part of a longer licence that was changed."""
    return (
        larger.coverage >= NEARLY_ALL
        and larger.end - larger.start >= best.end - best.start + LONGER_BY_WORDS
        and larger.start <= best.start
        and best.end <= larger.end
        and not larger.template.is_exception
    )


def _resembles(one: Alignment) -> bool:
    """Whether there is enough of a licence to speak of a changed one."""
    enough = min(MIN_CHANGED_WORDS, one.template.required // 2)
    return one.coverage >= MIN_CHANGED and one.matched >= enough


def _worth(one: Alignment) -> float:
    return one.matched - COST * one.weight - COST * len(one.telling)


def _equal(one: Alignment, other: Alignment) -> bool:
    return (
        abs(_worth(one) - _worth(other)) < 1
        and one.template.is_exception == other.template.is_exception
    )


def _candidates(words: Sequence[str]) -> list[Template]:
    every = shingles_of(list(words), sampled=False)
    found: list[tuple[float, int, Template]] = []
    for template in templates():
        common = len(template.shingles & every)
        if not common:
            continue
        share = common / len(template.shingles)
        if share >= MIN_RESEMBLANCE:
            scale = 4 if template.required > SAMPLED_ABOVE_WORDS else 1
            found.append((share, common * scale, template))
    by_share = sorted(found, key=lambda one: (-one[0], -one[1]))[:MAX_CANDIDATES]
    by_size = sorted(found, key=lambda one: (-one[1], -one[0]))[:MAX_CANDIDATES]
    return list({id(one[2]): one[2] for one in (*by_share, *by_size)}.values())


def _found(chosen: list[Alignment], line: int) -> Found:
    best = chosen[0]
    known = {one.template.id for one in chosen}
    ids = sorted(known | family_of(best.template.id), key=_preference)
    why = ""
    if not best.holds:
        why = "; ".join(best.telling[:2]) or (
            "it ends before the licence does"
            if best.cut_off
            else f"about {round(best.weight)} words differ"
        )
    name = _RENAMED.get(ids[0], ids[0])
    is_exception = name in spdx_data()["exceptions"]
    return Found(name, tuple(ids[1:]), best.holds, why, line, is_exception, best.coverage)


def family_of(name: str) -> frozenset[str]:
    """The identifiers that differ in `only` or `or later` and have one text."""
    stem = _SUFFIX.sub("", name)
    if stem not in FAMILIES:
        return frozenset({name})
    return frozenset({f"{stem}-only", f"{stem}-or-later"})


def _preference(name: str) -> tuple[bool, bool, bool, int, str]:
    """Ids in force first, of these the narrowest and shortest."""
    entry = spdx_data()["licenses"].get(name) or spdx_data()["exceptions"][name]
    return (
        bool(entry["metadata"]["isDeprecatedLicenseId"]),
        "invariants" in name or name.endswith("-copyleft-exception"),
        name.endswith("-or-later"),
        len(name),
        name,
    )
