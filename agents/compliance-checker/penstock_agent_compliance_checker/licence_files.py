"""LICENSE files: which they are, and what they say together."""

import re
from dataclasses import dataclass, field, replace

from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.notices import added_terms, offers_choice, statements, tags
from penstock_agent_compliance_checker.recognition import Found, Reading, recognise
from penstock_agent_compliance_checker.trees import AllOf, AnyOf, One, Tree
from penstock_agent_compliance_checker.words import words_of

MOSTLY = 0.75
MAX_KNOWN = 2_000
_COPYRIGHT_LINE = re.compile(r"(?im)^[ \t]*(?:copyright|\(c\)|\u00a9)[^\n]{0,120}$")
_NAME = re.compile(
    r"^(?:(?:un)?licen[cs]e[s]?|copying|copyright|mit-license|apache-license|legal)"
    r"(?:[-_.](?:[\w.+-]{1,40}))?$|^[\w+-]{1,30}[-_.]licen[cs]e(?:\.(?:txt|md|rst))?$",
    re.IGNORECASE,
)
_NOT_TEXT = re.compile(
    r"\.(?:py|js|ts|tsx|jsx|mjs|cjs|go|rs|java|kt|rb|php|c|h|cc|cpp|hpp|cs|sh|ya?ml|json|toml|xml|css"
    r"|scss|html?|svg|lock|sql|ini|cfg|template|tmpl|j2|erb|sha256|asc|sig|spdx)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LicenceText:
    """What one file says.

    Attributes:
        file: Relative, with slashes.
        tree: The licence; None where nothing was recognised.
        changed: A licence that was changed so that it is none any more.
        terms: What restricts the licence beside its text, quoted; empty if nothing does.
        by_name: The file only names its licence and has no text of it.
        line: Where to point at.
        choice: It says that one of several licences may be chosen.
    """

    file: str
    tree: Tree | None
    changed: Found | None
    terms: str
    by_name: bool
    line: int
    choice: bool = False


def is_licence_file(base: str) -> bool:
    """Whether a file is one by its name."""
    return bool(_NAME.match(base)) and not _NOT_TEXT.search(base)


@dataclass
class LicenceReader:
    """Reads licence files, equal ones once: most packages bring one of a few texts.

    Lines that only say whose copyright it is make no difference.
    """

    _known: dict[str, LicenceText] = field(default_factory=dict[str, LicenceText])

    def read(self, file: str, text: str) -> LicenceText:
        """Recognise one file."""
        key = _COPYRIGHT_LINE.sub("", text)
        known = self._known.get(key)
        if known is None:
            known = read_licence(file, text)
            if len(self._known) < MAX_KNOWN:
                self._known[key] = known
        return replace(known, file=file)


def read_licence(file: str, text: str) -> LicenceText:
    """Recognise one file; the same text gives the same answer."""
    reading = recognise(text)
    changed = next((one for one in reading.found if not one.holds), None)
    rest = [word for _, words in reading.rest for word in words]
    named = statements(rest)
    if changed is not None and len(reading.found) == 1 and changed.coverage < MOSTLY:
        # A notice shares its disclaimer with many licences; it says itself which one it means.
        whole = words_of(text).words
        said = statements(whole)
        if said and all(changed.id not in str(tree) for tree in said):
            reading = Reading((), ((1, whole),))
            changed, rest, named = None, list(whole), said
    tree = _together(reading, named, rest)
    by_name = tree is None
    if tree is None:
        tree = _by_name(text, named, rest)
    terms = ""
    if tree is not None and changed is None:
        terms = next((quote for _, words in reading.rest if (quote := added_terms(words))), "")
    line = changed.line if changed is not None else 1
    choice = offers_choice(rest)
    return LicenceText(file, tree, changed, terms, by_name and tree is not None, line, choice)


def _together(reading: Reading, named: list[Tree], rest: list[str]) -> Tree | None:
    parts: list[Tree] = []
    for found in reading.found:
        if not found.holds:
            continue
        if found.is_exception:
            last = parts[-1] if parts else None
            if isinstance(last, One) and last.exception is None:
                parts[-1] = replace(last, exception=found.id)
            continue
        parts.append(_narrowed(found, named))
    parts = list(dict.fromkeys(parts))
    if {str(part) for part in parts} == {"OpenSSL-standalone", "SSLeay-standalone"}:
        return One("OpenSSL")
    parts = _without_base_text(parts)
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return AnyOf(tuple(parts)) if offers_choice(rest) else AllOf(tuple(parts))


def _narrowed(found: Found, named: list[Tree]) -> Tree:
    """Texts of the GNU family do not say `or later`; a notice beside them may."""
    for tree in named:
        if isinstance(tree, One) and tree.id in found.same_text:
            return tree
    return parse(found.id)


def _without_base_text(parts: list[Tree]) -> list[Tree]:
    """The LGPL 3 refers to the GPL 3, whose text therefore stands beside it."""
    ids = {part.id for part in parts if isinstance(part, One)}
    if not ids & {"LGPL-3.0-only", "LGPL-3.0-or-later"}:
        return parts
    return [
        part
        for part in parts
        if not (isinstance(part, One) and part.id in ("GPL-3.0-only", "GPL-3.0-or-later"))
    ]


def _by_name(text: str, named: list[Tree], rest: list[str]) -> Tree | None:
    tagged = tags(text.splitlines())
    if tagged:
        return tagged[0].tree
    if len(named) > 1:
        return AnyOf(tuple(named)) if offers_choice(rest) else AllOf(tuple(named))
    if named:
        return named[0]
    lines = [line.strip(" #*\t") for line in text.strip().splitlines() if line.strip()]
    if 0 < len(lines) <= 3:
        tree = parse(lines[0])
        return tree if isinstance(tree, One | AnyOf | AllOf) else None
    return None
