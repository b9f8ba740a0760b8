"""The group `licenses`: the project's own licence, its files' headers, its dependencies."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.compatibility import verdict
from penstock_agent_compliance_checker.declared import declared_in, is_manifest
from penstock_agent_compliance_checker.dependencies import (
    LINKING,
    Dependency,
    Ecosystem,
    dependencies_in,
    is_dependency_file,
)
from penstock_agent_compliance_checker.dependency_verdicts import (
    broken_by,
    told_of,
    told_of_unknown,
)
from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.headers import Headers
from penstock_agent_compliance_checker.installed import Installed, Packages
from penstock_agent_compliance_checker.licence_files import LicenceReader, is_licence_file
from penstock_agent_compliance_checker.models import (
    CheckInput,
    LicenseFile,
    LicenseSummary,
)
from penstock_agent_compliance_checker.project import Project, judged, overridden
from penstock_agent_compliance_checker.trees import (
    AllOf,
    AnyOf,
    One,
    Tree,
    Unclear,
    Unknown,
)
from penstock_agent_compliance_checker.verdicts import Linking
from penstock_agent_sdk.repository import SourceFile

MAX_TEXTS = 400
MAX_TOLD_TEXTS = 20
MAX_TOLD_LICENCES = 20
# Folders of other people's source text: a licence file in one is that of what lies there.
_FOREIGN = ("vendor/", "third_party/", "third-party/", "thirdparty/", "external/", "extern/")
# Not the licence of the folder they lie in.
_SAMPLES = (
    "test",
    "tests",
    "testdata",
    "fixtures",
    "examples",
    "example",
    "samples",
    "docs",
    "LICENSES",
)


def is_about_licences(name: str) -> bool:
    """Whether a change of that file can change what this group says of others."""
    base = name.rpartition("/")[2]
    suffix = "." + base.rpartition(".")[2].lower() if "." in base else ""
    return is_licence_file(base) or is_manifest(base, suffix) or is_dependency_file(base)


@dataclass
class LicenceRules:
    """Collects files and judges them together."""

    task: CheckInput
    headers: Headers = field(default_factory=Headers)
    truncated: bool = False
    reader: LicenceReader = field(default_factory=LicenceReader)
    _projects: dict[str, Project] = field(default_factory=dict[str, Project])
    _dependencies: list[Dependency] = field(default_factory=list["Dependency"])
    _copied: list[tuple[str, Tree]] = field(default_factory=list["tuple[str, Tree]"])
    _texts: int = 0
    _seen: int = 0
    _counted: Counter[str] = field(default_factory=Counter[str])
    _unknown: int = 0

    def look_at(self, source: SourceFile) -> None:
        """Take what a file says."""
        self._seen += 1
        folder = source.name[: len(source.name) - len(source.base)]
        if is_licence_file(source.base):
            self._licence_file(source, folder)
            return
        if is_manifest(source.base, source.suffix) and not _foreign(folder) and not _sample(folder):
            declared = declared_in(source)
            if declared:
                self._project(folder).declared += declared
        if is_dependency_file(source.base) and not _sample(folder):
            self._dependencies += dependencies_in(source)
        self.headers.look_at(source)

    def _licence_file(self, source: SourceFile, folder: str) -> None:
        if self._texts >= MAX_TEXTS:
            self.truncated = True
            return
        if _sample(folder):
            return
        self._texts += 1
        read = self.reader.read(source.name, source.text)
        if _foreign(folder):
            if read.tree is not None:
                self._copied.append((source.name, read.tree))
            return
        self._project(folder).texts.append(read)

    def _project(self, folder: str) -> Project:
        known = self._projects.get(folder)
        if known is None:
            override = overridden(self.task.project_license)
            known = self._projects[folder] = Project(folder, override=override)
        return known

    def finish(self, root: Path, late: Callable[[], bool]) -> list[Broken]:
        """Judge what was taken."""
        top = self._project("")
        found: list[Broken] = []
        if self._seen:
            for project in self._projects.values():
                found += judged(project)
        found += self.headers.judged(top.licence, self.task.require_license_headers)
        found += self._judge_dependencies(root, late)
        found += self._judge_copied()
        return found

    def _judge_dependencies(self, root: Path, late: Callable[[], bool]) -> Iterator[Broken]:
        packages = Packages(root, late, reader=self.reader)
        installed: dict[tuple[Ecosystem, str], Installed] = {}
        for one in packages:
            installed.setdefault((one.ecosystem, one.name), one)
        self.truncated |= packages.truncated
        named = self._merged()
        unknown: dict[str, list[Dependency]] = {}
        for dependency in named:
            there = installed.pop((dependency.ecosystem, dependency.name), None)
            licence = there.licence if there is not None and there.licence else dependency.licence
            if licence is None or isinstance(licence, Unknown):
                self._unknown += 1
                unknown.setdefault(dependency.file, []).append(dependency)
                continue
            self._counted[str(licence)] += 1
            yield from self._dependency(dependency, licence)
        if named:
            # What lies there without being named came along with what is named.
            for one in installed.values():
                if one.licence is not None and not isinstance(one.licence, Unknown):
                    dependency = Dependency(one.ecosystem, one.name, one.file, 1)
                    for broken in self._dependency(dependency, one.licence):
                        # It may be a tool of a tool: whether it is shipped, nothing says.
                        if broken.severity == "critical":
                            yield replace(broken, severity="warning")
        yield from told_of_unknown(unknown)

    def _merged(self) -> list[Dependency]:
        """Each package once: a lock file's licence, a manifest's purpose."""
        found: dict[tuple[Ecosystem, str], Dependency] = {}
        for one in self._dependencies:
            known = found.get((one.ecosystem, one.name))
            if known is None:
                found[one.ecosystem, one.name] = one
                continue
            found[one.ecosystem, one.name] = Dependency(
                one.ecosystem,
                one.name,
                known.file,
                known.line,
                known.development and one.development,
                known.licence or one.licence,
            )
        return list(found.values())

    def _dependency(self, dependency: Dependency, licence: Tree) -> Iterator[Broken]:
        project = self._nearest(dependency.file)
        linking: Linking = LINKING[dependency.ecosystem]
        if self.task.linking != "auto":
            linking = self.task.linking
        if dependency.development:
            linking = "separate"
        what = f"{dependency.name} ({licence})"
        policy = self._policy(licence)
        if policy:
            yield broken_by(policy[0], dependency, f"{what}: {policy[1]}.")
            return
        if self.task.allowed_licenses is not None:
            return
        judged_as = verdict(project.licence, licence, linking)
        yield from told_of(judged_as, project, dependency, what, linking)

    def _policy(self, licence: Tree) -> tuple[str, str] | None:
        """What the task's own lists say, as rule and sentence; None if they allow it."""
        denied = [parse(text) for text in self.task.denied_licenses]
        if denied and not _satisfied(licence, lambda leaf: leaf not in denied):
            return "license-denied", "its licence is on the task's list of denied ones"
        if self.task.allowed_licenses is not None:
            allowed = [parse(text) for text in self.task.allowed_licenses]
            if not _satisfied(licence, lambda leaf: leaf in allowed):
                return (
                    "license-not-allowed",
                    "its licence is not on the task's list of allowed ones",
                )
        return None

    def _nearest(self, file: str) -> Project:
        folder = file[: file.rfind("/") + 1]
        while folder:
            project = self._projects.get(folder)
            if project is not None and not isinstance(project.licence, Unknown):
                return project
            folder = folder[: folder[:-1].rfind("/") + 1]
        return self._project("")

    def _judge_copied(self) -> Iterator[Broken]:
        for file, licence in self._copied:
            project = self._project("")
            dependency = Dependency("go", file.rpartition("/")[0], file, 1)
            policy = self._policy(licence)
            if policy:
                yield broken_by(
                    policy[0], dependency, f"{dependency.name} ({licence}): {policy[1]}."
                )
                continue
            what = f"the source text in {dependency.name} ({licence})"
            yield from told_of(
                verdict(project.licence, licence, "copied"), project, dependency, what, "copied"
            )

    def summary(self, base: LicenseSummary) -> LicenseSummary:
        """Add what was found out to how the group ended."""
        top = self._project("")
        texts = [text for project in self._projects.values() for text in project.texts]
        licence = top.licence
        return base.model_copy(
            update={
                "project": None if isinstance(licence, Unknown) else str(licence)[:200],
                "texts": [
                    LicenseFile(
                        file=text.file[-300:],
                        license=None if text.tree is None or text.changed else str(text.tree)[:200],
                    )
                    for text in texts[:MAX_TOLD_TEXTS]
                ],
                "dependencies": len(self._merged()),
                "unknown": self._unknown,
                "by_license": {
                    name[:100]: count
                    for name, count in self._counted.most_common(MAX_TOLD_LICENCES)
                },
            }
        )


def _satisfied(licence: Tree, accepts: Callable[[One], bool]) -> bool:
    """Whether a licensee can keep to accepted licences: one of `OR`, all of `AND`."""
    match licence:
        case One():
            return accepts(licence)
        case AnyOf(parts=parts):
            return any(_satisfied(part, accepts) for part in parts)
        case AllOf(parts=parts) | Unclear(candidates=parts):
            return all(_satisfied(part, accepts) for part in parts)
        case Unknown():
            return False


def _foreign(folder: str) -> bool:
    return any(f"/{folder}".find("/" + name) >= 0 for name in _FOREIGN)


def _sample(folder: str) -> bool:
    return not _foreign(folder) and not set(folder.split("/")[:-1]).isdisjoint(_SAMPLES)
