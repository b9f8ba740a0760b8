"""The project's own licence: what its files declare, and whether they agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.declared import Declared
from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.licence_files import LicenceText
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_compliance_checker.trees import (
    AllOf,
    AnyOf,
    One,
    Tree,
    Unclear,
    Unknown,
    leaves,
)


@dataclass
class Project:
    """One folder with a licence of its own: the repository, or a part with its own manifest.

    Attributes:
        folder: Relative, with a slash at its end; empty for the top.
        declared: What manifests there say.
        texts: Licence files there.
        override: What the task says its licence is.
    """

    folder: str
    declared: list[Declared] = field(default_factory=list["Declared"])
    texts: list[LicenceText] = field(default_factory=list["LicenceText"])
    override: Tree | None = None

    @property
    def licence(self) -> Tree:
        """Override, else declaration, else text; Unknown if there is none."""
        if self.override is not None:
            return self.override
        clear = [one.tree for one in self.declared if not isinstance(one.tree, Unknown)]
        exact = [tree for tree in clear if not isinstance(tree, Unclear)]
        of_texts = text_licence(self.texts)
        if exact:
            return exact[0]
        if of_texts is not None:
            return of_texts
        return clear[0] if clear else Unknown("")


def text_licence(texts: Sequence[LicenceText]) -> Tree | None:
    """What several licence files say together; alternatives if each names itself."""
    trees = tuple(dict.fromkeys(text.tree for text in texts if text.tree is not None))
    if not trees:
        return None
    if len(trees) == 1:
        return trees[0]
    ids = {str(tree) for tree in trees}
    if ids <= {"LGPL-3.0-only", "LGPL-3.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"}:
        # COPYING and COPYING.LESSER: the LGPL 3 is an addition to the GPL 3.
        lesser = [tree for tree in trees if str(tree).startswith("LGPL")]
        if lesser:
            return lesser[0]
    named = [text for text in texts if text.tree is not None]
    bases = [text.file.rpartition("/")[2] for text in named]
    if any(text.choice for text in texts) or all("-" in base or "." in base for base in bases):
        return AnyOf(trees)
    return AllOf(trees)


def judged(project: Project) -> Iterator[Broken]:
    """Faults of the project's own licensing."""
    for one in project.declared:
        yield from _spelling(one)
    yield from _absence(project)
    for text in project.texts:
        yield from _text(text, project)
    yield from _agreement(project)


def _spelling(one: Declared) -> Iterator[Broken]:
    for fault in one.faults:
        withdrawn = fault.startswith("uses the withdrawn")
        severity: Severity = "info" if withdrawn else "warning"
        rule = "license-id-withdrawn" if withdrawn else "license-expression"
        yield _broken(
            rule, severity, one.file, one.line, f"The declared licence {one.text[:80]!r} {fault}."
        )
    if isinstance(one.tree, Unknown) and not one.faults and not one.points_at_file:
        yield _broken(
            "license-expression",
            "warning",
            one.file,
            one.line,
            f"The declared licence {one.text[:80]!r} is not one that is known.",
        )
    if isinstance(one.tree, Unclear) and not one.text.startswith("License ::"):
        yield _broken(
            "license-unclear",
            "warning",
            one.file,
            one.line,
            f"{one.text[:80]!r} does not say which licence is meant ({', '.join(str(leaf) for leaf in leaves(one.tree)[:4])}).",  # noqa: E501
        )


def _absence(project: Project) -> Iterator[Broken]:
    if project.folder or project.texts:
        return
    licence = project.licence
    if isinstance(licence, One) and licence.id == "LicenseRef-proprietary":
        return
    file, line = (
        (project.declared[0].file, project.declared[0].line) if project.declared else ("LICENSE", 1)
    )
    severity: Severity = "critical" if isinstance(licence, Unknown) else "warning"
    what = "and none is declared" if severity == "critical" else f"though {licence} is declared"
    yield _broken(
        "license-missing",
        severity,
        file,
        line,
        f"There is no licence file at the top of the repository, {what}.",
    )


def _text(text: LicenceText, project: Project) -> Iterator[Broken]:
    if text.changed is not None:
        claimed = text.changed.id in {leaf.id for leaf in leaves(project.licence)}
        severity: Severity = "critical" if claimed and project.declared else "warning"
        yield _broken(
            "license-modified",
            severity,
            text.file,
            text.line,
            f"The text resembles {text.changed.id} ({text.changed.coverage:.0%}) but was changed, so it is another licence: {text.changed.why[:160]}.",  # noqa: E501
        )
    elif text.tree is None and not (
        text.choice and any(one.tree is not None for one in project.texts)
    ):
        yield _broken(
            "license-unrecognized",
            "warning",
            text.file,
            1,
            "The text is no licence that is known; people must read it.",
        )
    if text.terms:
        yield _broken(
            "license-terms",
            "warning",
            text.file,
            text.line,
            f"Terms beside the licence may restrict it: “{text.terms[:160]}”.",
        )


def _agreement(project: Project) -> Iterator[Broken]:
    """Declarations among each other, and with the texts."""
    named = [one for one in project.declared if not isinstance(one.tree, Unknown)]
    first = next((one for one in named if not isinstance(one.tree, Unclear)), None)
    if first is not None:
        for one in named:
            if one is not first and not _agrees(first.tree, one.tree):
                yield _broken(
                    "license-mismatch",
                    "warning",
                    one.file,
                    one.line,
                    f"{one.text[:80]!r} disagrees with {first.tree} in {first.file}.",
                )
    wanted = project.override if project.override is not None else first.tree if first else None
    if wanted is None or not project.texts:
        return
    texts = [text for text in project.texts if text.tree is not None]
    found = [leaf for text in texts for leaf in leaves(text.tree or Unknown(""))]
    if not found:
        return
    for leaf in leaves(wanted):
        if not any(_same_text(leaf, other) for other in found) and leaf.id in _listed(leaf):
            severity: Severity = "warning" if isinstance(wanted, AnyOf | AllOf) else "critical"
            names = ", ".join(sorted({str(one) for one in found})[:4])
            yield _broken(
                "license-mismatch",
                severity,
                texts[0].file,
                texts[0].line,
                f"The text is {names}, but {leaf} is declared"
                + (f" in {first.file}." if first else " for the project."),
            )


def _listed(leaf: One) -> tuple[str, ...]:
    return () if leaf.id.startswith(("LicenseRef-", "DocumentRef-")) else (leaf.id,)


def _same_text(one: One, other: One) -> bool:
    """Whether two identifiers have one text (`only` and `or later` do)."""
    return _stem(one.id) == _stem(other.id)


def _stem(name: str) -> str:
    for suffix in ("-only", "-or-later"):
        name = name.removesuffix(suffix)
    return {"LGPL-3.0": "GPL-3.0+LGPL"}.get(name, name)


def _agrees(one: Tree, other: Tree) -> bool:
    """Whether two declarations may mean the same; `BSD` and `BSD-3-Clause` do."""
    if isinstance(other, Unclear):
        return bool({leaf.id for leaf in leaves(other)} & {leaf.id for leaf in leaves(one)})
    mine, theirs = {leaf.id for leaf in leaves(one)}, {leaf.id for leaf in leaves(other)}
    if isinstance(other, One) and len(mine) > 1:
        return theirs <= mine
    return mine == theirs or _lax(mine) == _lax(theirs)


def _lax(ids: set[str]) -> set[str]:
    return {
        _stem(name) if name.startswith(("LicenseRef-", "Python-", "PSF-")) else name for name in ids
    }


def overridden(text: str | None) -> Tree | None:
    """The licence a task gives; None without one."""
    return None if text is None else parse(text)


def _broken(rule: str, severity: Severity, file: str, line: int, message: str) -> Broken:
    return Broken("licenses", rule, severity, file, line, message)
