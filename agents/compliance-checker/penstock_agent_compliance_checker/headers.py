"""SPDX-License-Identifier lines at the head of files, as REUSE wants them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.compatibility import verdict
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_compliance_checker.notices import Tag, tags
from penstock_agent_compliance_checker.trees import Tree, Unknown, leaves
from penstock_agent_sdk.repository import SourceFile

MAX_TOLD = 200
# Files that can hold a comment and are somebody's work.
_SOURCE = frozenset(
    {
        ".c", ".cc", ".cpp", ".cs", ".css", ".cxx", ".dart", ".ex", ".exs", ".go", ".groovy", ".h",
        ".hpp", ".hs", ".java", ".jl", ".js", ".jsx", ".kt", ".kts", ".lua", ".m", ".mjs", ".ml",
        ".php", ".pl", ".proto", ".ps1", ".py", ".pyi", ".r", ".rb", ".rs", ".scala", ".scss", ".sh",  # noqa: E501
        ".sql", ".swift", ".tf", ".ts", ".tsx", ".vue", ".zig",
    }
)  # fmt: skip
# A repository in which most sources have the line means all of them to have it.
CUSTOM_SHARE = 0.8
CUSTOM_FILES = 5


@dataclass
class Headers:
    """Collects the lines of a repository's files."""

    _found: list[tuple[str, Tag]] = field(default_factory=list["tuple[str, Tag]"])
    _without: list[str] = field(default_factory=list[str])
    _with: int = 0
    _texts: set[str] = field(default_factory=set[str])
    _reuse: str = ""

    def look_at(self, source: SourceFile) -> None:
        """Take the lines at the head of a file."""
        if source.name.startswith("LICENSES/"):
            self._texts.add(source.base.rpartition(".")[0] or source.base)
            return
        if source.name in ("REUSE.toml", ".reuse/dep5"):
            self._reuse = source.name
            return
        is_source = source.suffix in _SOURCE and bool(source.data.strip())
        if b"SPDX-License-Identifier" not in source.data[:20_000]:
            if is_source:
                self._without.append(source.name)
            return
        found = tags(source.lines) if is_source or _may_hold(source) else []
        if found:
            self._with += 1
            self._found += [(source.name, tag) for tag in found]
        elif is_source:
            self._without.append(source.name)

    def judged(self, project: Tree, required: bool) -> Iterator[Broken]:
        """Wrong lines, lines that do not go with the project's licence, missing lines."""
        for file, tag in self._found[:MAX_TOLD]:
            yield from _faults(file, tag)
            yield from _against(file, tag, project)
        yield from self._missing_texts()
        sources = self._with + len(self._without)
        usual = self._with >= CUSTOM_FILES and self._with >= CUSTOM_SHARE * sources
        if required or (usual and not self._reuse):
            severity: Severity = "warning" if required else "info"
            for file in self._without[:MAX_TOLD]:
                text = "The file has no SPDX-License-Identifier line."
                yield Broken("licenses", "license-header-missing", severity, file, 1, text)

    def _missing_texts(self) -> Iterator[Broken]:
        """REUSE: each licence that is named has its text in LICENSES/."""
        if not self._texts:
            return
        told: set[str] = set()
        for file, tag in self._found:
            for leaf in leaves(tag.tree):
                names = {leaf.id, leaf.id.removesuffix("-only"), leaf.id.replace("-or-later", "+")}
                for name in filter(None, (leaf.id, leaf.exception)):
                    if (
                        name in told
                        or name in self._texts
                        or (names & self._texts and name == leaf.id)
                    ):
                        continue
                    told.add(name)
                    text = f"LICENSES/ has no text of {name}, which this file names."
                    yield Broken(
                        "licenses", "license-text-missing", "warning", file, tag.line, text
                    )


def _may_hold(source: SourceFile) -> bool:
    """Whether a line there speaks for the file: documents also show such lines as examples."""
    if source.suffix in (".md", ".rst", ".txt", ".adoc", ".json", ".snap", ".lock", ".ipynb"):
        head = source.lines[:3]
        return any(line.lstrip().startswith(("<!--", "..", "//")) for line in head)
    return True


def _faults(file: str, tag: Tag) -> Iterator[Broken]:
    for fault in tag.faults:
        withdrawn = fault.startswith("uses the withdrawn")
        severity: Severity = "info" if withdrawn else "warning"
        rule = "license-id-withdrawn" if withdrawn else "license-header-invalid"
        yield Broken("licenses", rule, severity, file, tag.line, f"The header {fault}.")


def _against(file: str, tag: Tag, project: Tree) -> Iterator[Broken]:
    if isinstance(tag.tree, Unknown) or isinstance(project, Unknown):
        return
    judged = verdict(project, tag.tree, "copied")
    if judged.outcome == "incompatible":
        text = f"The file is under {tag.tree}, which cannot be part of a work under {project}: {judged.reason}."  # noqa: E501
        yield Broken("licenses", "license-conflict", "critical", file, tag.line, text)
    elif judged.outcome == "review":
        text = f"The file is under {tag.tree}; in a work under {project} that needs a person's look: {judged.reason}."  # noqa: E501
        yield Broken("licenses", "license-review", "warning", file, tag.line, text)
