"""Licences that a text names instead of holding: notices at the head of files, one-line licences."""  # noqa: E501

import re
from collections.abc import Sequence
from dataclasses import dataclass

from penstock_agent_compliance_checker.aliases import alias_of, folded
from penstock_agent_compliance_checker.expressions import parse, strict
from penstock_agent_compliance_checker.trees import AllOf, AnyOf, Tree, Unclear, Unknown
from penstock_agent_compliance_checker.words import plain_words

MAX_NAME_WORDS = 10
MAX_TAGS = 200

_TAG = re.compile(r"SPDX-License-Identifier[ \t]*:[ \t]*([^\r\n]{1,400})")
# What may follow the expression on the line: the end of a comment, or of a string.
_TAG_END = re.compile(r"\s*(?:\*/|-->|\*\)|#}|%}|\]\]|--\]|\"\"\"|'''|[\"'`;]|\\n).*$")
_GNU = re.compile(
    r"gnu (?:(lesser|library|affero) )?(?:general )?public license(?: (?:a?l?gpl))?"
    r"(?: as published by the free software foundation)?(?: inc)?"
    r"(?: (?:in|under|either|at|using|with|exactly|the|terms|of))* (?:version|v) ?(\d(?:\.\d)?)"
    r"(?: only)?(?: of (?:the|this) license)?((?: or)? at your option any later version"
    r"| or(?: at your option)? \(?any later version| or(?: any)? (?:later|newer|greater)"
    r"(?: version)?)?"
)
_A_FILE = re.compile(r"(?:license|licenses|copying|copyright)?\.[a-z]")
_TRIGGERS = (
    "licensed under", "released under", "distributed under", "available under", "published under",
    "provided under", "under the terms of", "subject to the terms of", "covered by", "licensed as",
    "license is", "license", "released into", "placed in", "dedicated to", "issued under",
    "made available under", "lies in", "is in", "falls under", "governed by", "use of",
)  # fmt: skip
_TRIGGER = re.compile(rf"\b(?:{'|'.join(sorted(_TRIGGERS, key=len, reverse=True))})\b")
_SKIPPED = frozenset(
    {
        "the", "a", "an", "terms", "of", "either", "both", "your", "choice", "and", "under",
        "conditions", "is", "are", "this", "one", "following", "license", "licenses",
        "version", "v", "dual", "dually", "by", "any", "permissive", "free", "open",
        "source",
    }
)  # fmt: skip
_CHOICE = re.compile(
    r"\b(?:under (?:the terms of )?either|either (?:of )?(?:the|these|license)|at your choice"
    r"|at your option(?! any later)|of your choice|dual(?:ly)? license[sd]?|licensees? may choose"
    r"|one of the following licenses|any one of|you may choose|choose between"
    r"|alternatively this \w+ (?:may|can) be (?:distributed|used))\b"
)
# What takes away from a licence or adds to it, beside its own text.
_TERMS = re.compile(
    r"\b(?:may not|must not|shall not|cannot be|can not be|not be (?:used|sold|distributed|copied)"
    r"|not (?:allowed|permitted|include|grant|licensed)|non ?commercial|prohibited|forbidden"
    r"|only (?:for|be used|if you)|commons clause|(?:additional|following|further) "
    r"(?:terms|restrictions?|conditions?) appl(?:y|ies)|except(?:ions?)? (?:that|for)"
    r"|for (?:evaluation|personal|educational|internal|academic|research)(?: or \w+)? "
    r"(?:use|purposes)|right to sell|(?:commercial|paid|separate) license|must (?:pay|obtain|display"  # noqa: E501
    r"|notify|ask)|royalt(?:y|ies)|all rights reserved (?:no|do not)|written permission"
    r"|no (?:permission|license|right) is|not for (?:resale|sale|production|commercial))\b"
)


# Said in the notices that licences themselves recommend.
_USUAL = (
    "you may not use this file except in compliance with the license",
    "you may not use this work except in compliance with the license",
    "you may not use this file except in compliance with those terms",
    "if a copy of the mpl was not distributed with this file",
)


@dataclass(frozen=True, slots=True)
class Tag:
    """An `SPDX-License-Identifier` line.

    Attributes:
        text: The expression as written.
        tree: What it says.
        faults: What is wrong with it.
        line: Where, from 1.
    """

    text: str
    tree: Tree
    faults: tuple[str, ...]
    line: int


def tags(lines: Sequence[str], first_lines: int = 60) -> list[Tag]:
    """SPDX tags in the head of a file, as REUSE wants them there."""
    found: list[Tag] = []
    for number, line in enumerate(lines[:first_lines], 1):
        if "SPDX-License-Identifier" not in line:
            continue
        for match in _TAG.finditer(line[:2_000]):
            text = _TAG_END.sub("", match[1]).strip()
            if not text or _is_pattern(text, line[: match.start()]):
                continue
            tree, faults = strict(text)
            found.append(Tag(text, tree, tuple(faults), number))
    return found[:MAX_TAGS]


def _is_pattern(text: str, before: str) -> bool:
    """Whether the line speaks of tags (a rule, a template, a test) and is none."""
    if re.search(r"[\\\[\]{}<>$%|^*=]", text):
        return True
    return (
        bool(re.search(r"[A-Za-z0-9)\"'`]\s*$", before.replace("@", " "))) or before.count("`") == 1
    )


def statements(words: Sequence[str]) -> list[Tree]:
    """Licences that a text says it is under, in order, each once."""
    text = " ".join(words)
    found: dict[str, tuple[int, Tree]] = {}
    covered: list[tuple[int, int]] = []
    for match in _GNU.finditer(text):
        tree = _gnu(match)
        found.setdefault(str(tree), (match.start(), tree))
        covered.append(match.span())
    for match in _TRIGGER.finditer(text):
        after = text[match.end() : match.end() + 200]
        if any(start <= match.end() + 40 and match.end() < end for start, end in covered):
            continue
        tree = _named(after.split())
        if tree is not None:
            found.setdefault(str(tree), (match.start(), tree))
    trees = [tree for _, tree in sorted(found.values(), key=lambda pair: pair[0])]
    known = set(trees)
    return [
        tree for tree in trees if not (isinstance(tree, Unclear) and known & set(tree.candidates))
    ]


def offers_choice(words: Sequence[str]) -> bool:
    """Whether a text says that one of several licences may be chosen."""
    return _CHOICE.search(" ".join(words)) is not None


def added_terms(words: Sequence[str]) -> str:
    """A quotation of what restricts, or adds to, the licence beside it; empty if nothing does."""
    text = " ".join(words)
    for usual in _USUAL:
        text = text.replace(usual, "")
    match = _TERMS.search(text)
    if match is None:
        return ""
    start = max(0, match.start() - 60)
    return text[start : match.end() + 60].strip()


def _gnu(match: re.Match[str]) -> Tree:
    prefix = {"lesser": "L", "library": "L", "affero": "A"}.get(match[1] or "", "")
    number = match[2] if "." in match[2] else f"{match[2]}.0"
    return parse(f"{prefix}GPL-{number}{'-or-later' if match[3] else '-only'}")


def _named(words: Sequence[str]) -> Tree | None:
    """The licence whose name comes first in the words, with those joined to it."""
    at = 0
    while at < len(words) and at < MAX_NAME_WORDS and words[at] in _SKIPPED:
        at += 1
    first, behind = _longest(words, at)
    if first is None:
        return None
    parts, joined = [first], ""
    while behind < len(words) and len(parts) < 4:
        skip = behind
        while skip < len(words) and words[skip] in ("license", "licenses", "the", "version"):
            skip += 1
        if skip >= len(words) or words[skip] not in ("or", "and"):
            break
        joined = joined or words[skip]
        skip += 1
        while skip < len(words) and words[skip] in _SKIPPED:
            skip += 1
        following, end = _longest(words, skip)
        if following is None or joined not in ("or", "and"):
            break
        parts.append(following)
        behind = end
    if len(parts) == 1:
        return first
    return AnyOf(tuple(parts)) if joined == "or" else AllOf(tuple(parts))


def _longest(words: Sequence[str], start: int) -> tuple[Tree | None, int]:
    for length in range(min(MAX_NAME_WORDS, len(words) - start), 0, -1):
        name = " ".join(words[start : start + length])
        if (
            _A_FILE.match(name)
            or not folded(name)
            or folded(name) in ("internal", "private", "closed", "commercial")
        ):
            continue
        if alias_of(name) is not None:
            tree = parse(name)
            if not isinstance(tree, Unknown):
                return tree, start + length
    return None, start


def mentioned(text: str) -> list[Tree]:
    """Statements in a short text."""
    return statements(plain_words(text))
