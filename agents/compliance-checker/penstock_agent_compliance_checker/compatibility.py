"""Whether a project under one licence may be combined with a dependency under another.

Not legal advice, and never a guess: where the truth depends on facts that no file says, the
verdict is `review`. The sources of the rules are named in `classes.toml`.
"""

import re

from penstock_agent_compliance_checker.classes import (
    CLOSED,
    PERMISSIVE,
    Kind,
    classes,
    kind_of,
)
from penstock_agent_compliance_checker.gnu_family import between_gnu, gnu_of, strong_gnu
from penstock_agent_compliance_checker.trees import AllOf, AnyOf, One, Tree, Unclear, Unknown
from penstock_agent_compliance_checker.verdicts import FINE, Linking, Verdict, rank


def verdict(project: Tree, dependency: Tree, linking: Linking = "dynamic") -> Verdict:
    """Judge one dependency.

    Of alternatives in the dependency (`OR`) the best is taken, of what it demands together
    (`AND`) the worst. A project that offers alternatives must be able to keep each.
    """
    match project:
        case AllOf(parts=parts):
            return max((verdict(part, dependency, linking) for part in parts), key=rank)
        case AnyOf(parts=parts):
            return _each_option([verdict(part, dependency, linking) for part in parts])
        case Unclear(candidates=parts):
            return _whichever([verdict(part, dependency, linking) for part in parts])
        case Unknown():
            return _of_unknown_project(dependency, linking)
        case One():
            return _for_one(project, dependency, linking)


def _for_one(project: One, dependency: Tree, linking: Linking) -> Verdict:
    match dependency:
        case AllOf(parts=parts):
            return max((_for_one(project, part, linking) for part in parts), key=rank)
        case AnyOf(parts=parts):
            return min((_for_one(project, part, linking) for part in parts), key=rank)
        case Unclear(candidates=parts):
            return _whichever([_for_one(project, part, linking) for part in parts])
        case Unknown():
            return Verdict("unknown", "its licence is not known")
        case One():
            return _pair(project, dependency, linking)


def _whichever(verdicts: list[Verdict]) -> Verdict:
    """One of these is true and nobody says which."""
    best, worst = min(verdicts, key=rank), max(verdicts, key=rank)
    if worst.outcome == "incompatible" and best.outcome != "incompatible":
        return Verdict(
            "review",
            f"its name does not say which licence is meant; for one of them {worst.reason}",
        )
    return worst


def _each_option(verdicts: list[Verdict]) -> Verdict:
    best, worst = min(verdicts, key=rank), max(verdicts, key=rank)
    if worst.outcome == "incompatible" and best.rank <= 1:
        return Verdict("review", "only one of the project's alternatives can be kept")
    return worst


def _of_unknown_project(dependency: Tree, linking: Linking) -> Verdict:
    """Without the project's licence, only what goes with every licence is settled."""
    tried = [_for_one(One(name), dependency, linking) for name in ("GPL-2.0-only", "MIT")]
    tried.append(_for_one(One("LicenseRef-proprietary"), dependency, linking))
    if all(one.rank <= 1 for one in tried):
        return max(tried, key=rank)
    return Verdict("unknown", "the project's own licence is not known")


def _pair(project: One, dependency: One, linking: Linking) -> Verdict:
    kind = kind_of(dependency.id)
    if linking == "separate":
        if kind in CLOSED:
            return Verdict("conditional", "its use as a tool may be restricted too")
        return FINE
    if dependency.id.startswith(("LicenseRef-", "DocumentRef-")) and kind == "unclassified":
        return Verdict("unknown", "its licence is its own; read it")
    if project.id == dependency.id and kind not in CLOSED:
        return FINE
    excepted = _by_exception(dependency, linking)
    if excepted is not None:
        return excepted
    if kind in PERMISSIVE:
        return _permissive(project, dependency, kind)
    if kind in ("file_copyleft", "file_copyleft_not_with_gpl", "weak_unlisted"):
        return _weak(project, kind)
    if kind == "library_copyleft":
        return _library(project, dependency, linking)
    if kind in ("strong_copyleft", "network_copyleft"):
        return _strong(project, dependency, linking)
    return _other(project, dependency, kind)


def _by_exception(dependency: One, linking: Linking) -> Verdict | None:
    table = classes()
    name = dependency.exception
    if name is None or linking == "copied":
        return None
    if name in table.gpl2_with_apache and dependency.id == "Apache-2.0":
        return FINE
    if name in table.linking:
        return Verdict(
            "conditional", "its exception allows linking; changes to itself stay under it"
        )
    if name in table.output:
        return Verdict("conditional", "its exception sets free what is made with it")
    return None


def _permissive(project: One, dependency: One, kind: Kind) -> Verdict:
    gnu = strong_gnu(project)
    if gnu is None or kind == "permissive":
        return FINE
    if kind == "permissive_unlisted":
        return Verdict(
            "review", "whether it has a condition the GPL does not allow is not in our table"
        )
    if kind == "permissive_not_with_gpl":
        if dependency.id.startswith("CC-BY-"):
            return Verdict(
                "review", "this version is made for content, not for parts of a GPL program"
            )
        return Verdict("incompatible", "it has a condition that the GPL does not allow")
    if 3 not in gnu.versions:
        return Verdict(
            "incompatible",
            "its patent terms are a restriction that version 2 of the GPL does not allow",
        )
    if 2 in gnu.versions:
        return Verdict("conditional", "the combined work is under version 3 of the GPL")
    return FINE


def _weak(project: One, kind: Kind) -> Verdict:
    if strong_gnu(project) is not None and kind != "file_copyleft":
        if project.exception in classes().linking:
            return Verdict("review", "the GPL allows it only through the project's own exception")
        if kind == "weak_unlisted":
            return Verdict("review", "whether it goes with the GPL is not in our table")
        return Verdict("incompatible", "it is not compatible with the GPL")
    return Verdict("conditional", "changed files of it stay under it")


def _library(project: One, dependency: One, linking: Linking) -> Verdict:
    gnu, own = strong_gnu(project), gnu_of(dependency.id)
    if gnu is not None:
        if own is not None and min(own.versions) >= 3:
            if 3 not in gnu.versions:
                return Verdict(
                    "incompatible",
                    "version 3 of the LGPL cannot be combined with version 2 of the GPL only",
                )
            if 2 in gnu.versions:
                return Verdict("conditional", "the combined work is under version 3 of the GPL")
        return FINE
    kind = kind_of(project.id)
    if kind in CLOSED and linking != "dynamic":
        return Verdict(
            "review",
            "the user must be able to exchange it: object files or a shared library are owed",
        )
    if linking == "copied" and kind != "library_copyleft":
        return Verdict("review", "text taken from it stays under it")
    return Verdict(
        "conditional", "the user must be able to exchange it; changes to it stay under it"
    )


def _strong(project: One, dependency: One, linking: Linking) -> Verdict:
    listed = classes().compatible.get(dependency.id, frozenset())
    if project.id in listed:
        return Verdict("conditional", "its list of compatible licences names the project's")
    own, gnu = gnu_of(dependency.id), strong_gnu(project)
    if own is None or dependency.id.startswith("AGPL-1"):
        if dependency.id.startswith("EUPL") and gnu is None and linking != "copied":
            return Verdict(
                "review", "whether linking makes a derived work is a question of law under the EUPL"
            )
        if dependency.id.startswith("AGPL-1") and dependency.or_later and gnu and gnu.prefix == "A":
            return FINE
        return Verdict("incompatible", "the combined work would have to be under it")
    if gnu is None:
        if project.id in classes().compatible and project.id.startswith(("CECILL", "EUPL")):
            return Verdict(
                "review",
                "the combined work would have to be under it; the project's licence may allow that",
            )
        if own.prefix == "A":
            return Verdict(
                "incompatible", "the whole would have to be under it, for users over a network too"
            )
        return Verdict("incompatible", "the combined work would have to be under it")
    return between_gnu(gnu, own)


def _other(project: One, dependency: One, kind: Kind) -> Verdict:
    own_kind = kind_of(project.id)
    if kind == "content_copyleft":
        if project.id in classes().compatible.get(dependency.id, frozenset()):
            return Verdict("conditional", "its list of compatible licences names the project's")
        if _stem(project.id) == _stem(dependency.id):
            return FINE
        return Verdict(
            "review",
            "it is made for texts and data: whether it covers a part of the program, people must see",  # noqa: E501
        )
    if kind == "field_of_use":
        if gnu_of(project.id) is not None:
            return Verdict(
                "incompatible",
                "it restricts for what the work may be used, which the GPL does not allow",
            )
        return Verdict("review", "it restricts for what the work may be used")
    if kind in CLOSED:
        if own_kind in CLOSED:
            return Verdict("review", "its terms restrict use or redistribution; read them")
        return Verdict(
            "incompatible", "it restricts use or redistribution, so the whole is not open source"
        )
    return Verdict("review", "it is not classified")


def _stem(name: str) -> str:
    return re.sub(r"-(?:only|or-later)$", "", name)
