"""The GPL, the LGPL and the AGPL: which of their versions go together."""

import re
from dataclasses import dataclass

from penstock_agent_compliance_checker.trees import One
from penstock_agent_compliance_checker.verdicts import FINE, Verdict

_GNU = re.compile(r"(L|A)?GPL-(\d)\.\d(-or-later)?")


@dataclass(frozen=True, slots=True)
class Gnu:
    """A licence of the GNU family: which versions of it may be chosen."""

    prefix: str
    versions: frozenset[int]


def gnu_of(name: str) -> Gnu | None:
    """Read an identifier; None if it is not of the family."""
    match = _GNU.match(name)
    if match is None:
        return None
    first = int(match[2])
    last = 3 if match[3] else first
    return Gnu(match[1] or "", frozenset(range(first, last + 1)))


def strong_gnu(project: One) -> Gnu | None:
    """The project's licence if it is the GPL or the AGPL."""
    gnu = gnu_of(project.id)
    return gnu if gnu is not None and gnu.prefix != "L" else None


def between_gnu(project: Gnu, dependency: Gnu) -> Verdict:
    """Judge two of the family that both want the whole work."""
    common = project.versions & dependency.versions
    if not common:
        return Verdict("incompatible", "no version of the GPL can be chosen for both")
    if "A" in (project.prefix, dependency.prefix) and project.prefix != dependency.prefix:
        if 3 not in common:
            return Verdict("incompatible", "only version 3 of the GPL goes with the AGPL")
        return Verdict(
            "conditional",
            "section 13: its part stays under its licence"
            + (", for users over a network too" if dependency.prefix else ""),
        )
    if common != project.versions:
        return Verdict(
            "conditional", f"the combined work is under version {max(common)} of the GPL"
        )
    return FINE
