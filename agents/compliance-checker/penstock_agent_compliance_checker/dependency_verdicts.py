"""What is told of a dependency once it is judged."""

from collections.abc import Iterator

from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.dependencies import Dependency
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_compliance_checker.project import Project
from penstock_agent_compliance_checker.trees import Unknown, leaves
from penstock_agent_compliance_checker.verdicts import Linking, Verdict


def told_of(
    judged_as: Verdict, project: Project, dependency: Dependency, what: str, linking: Linking
) -> Iterator[Broken]:
    """Say what a verdict means for the project that takes the dependency."""
    own = project.licence
    match judged_as.outcome:
        case "incompatible":
            text = f"{what} cannot be part of a work under {own}: {judged_as.reason}."
            yield broken_by("license-conflict", dependency, text)
        case "review":
            text = (
                f"{what} as part of a work under {own} needs a person's look: {judged_as.reason}."
            )
            yield broken_by("license-review", dependency, text, "warning")
        case "unknown" if not isinstance(own, Unknown):
            text = f"{what}: {judged_as.reason}."
            yield broken_by("license-unknown", dependency, text, "info")
        case "conditional" if linking != "separate" and leaves(own):
            text = f"{what}: allowed, and {judged_as.reason}."
            yield broken_by("license-condition", dependency, text, "info")
        case _:
            return


def told_of_unknown(unknown: dict[str, list[Dependency]]) -> Iterator[Broken]:
    """Name those without a known licence, once for each file that asks for them."""
    for file, missing in unknown.items():
        names = ", ".join(one.name for one in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        text = f"Nothing in the repository says under which licence these are: {names}{more}."
        yield Broken("licenses", "license-unknown", "info", file, missing[0].line, text, "all")


def broken_by(
    rule: str, dependency: Dependency, message: str, severity: Severity = "critical"
) -> Broken:
    """A rule that a dependency breaks, where the dependency is named."""
    name = f"{dependency.ecosystem}:{dependency.name}"
    return Broken("licenses", rule, severity, dependency.file, dependency.line, message, name)
