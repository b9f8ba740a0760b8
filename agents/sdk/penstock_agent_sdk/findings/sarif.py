"""Findings as SARIF 2.1.0 (OASIS), the format code hosts and editors read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT_KEY = "penstock/v1"

Level = Literal["error", "warning", "note", "none"]
SuppressedBy = Literal["inSource", "external"]


@dataclass(frozen=True, slots=True)
class Tool:
    """The agent that speaks."""

    name: str
    version: str
    information_uri: str | None = None


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule looks for.

    Attributes:
        name: Its stable name.
        text: One sentence.
        help: What to do about it.
        tags: Such as `external/cwe/cwe-89`.
        security_severity: 0 to 10 as text, where code hosts rank by it.
    """

    name: str
    text: str
    help: str = ""
    tags: tuple[str, ...] = ()
    security_severity: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One finding.

    Attributes:
        rule: Name of its rule.
        level: How bad it is.
        message: For a person; no secret.
        file: Relative to the repository, with slashes.
        line: From 1; 0 for the file as a whole.
        fingerprint: As `fingerprints` gives it.
        suppressed_by: `inSource` by a comment, `external` by a baseline; None: it is reported.
        reason: Why it is suppressed.
        properties: Whatever else there is to say.
    """

    rule: str
    level: Level
    message: str
    file: str
    line: int
    fingerprint: str
    suppressed_by: SuppressedBy | None = None
    reason: str = ""
    properties: Mapping[str, object] = field(default_factory=dict[str, object])


def sarif_document(
    tool: Tool, rules: Iterable[RuleText], results: Sequence[Result]
) -> dict[str, object]:
    """Build the document of one run.

    Args:
        tool: Who found it.
        rules: Texts; one that no result names is left out, and a result may name a rule without.
        results: Suppressed ones too: they are marked, not hidden.
    """
    texts = {rule.name: rule for rule in rules}
    names = list(dict.fromkeys(result.rule for result in results))
    index = {name: at for at, name in enumerate(names)}
    driver: dict[str, object] = {
        "name": tool.name,
        "semanticVersion": tool.version,
        "rules": [_rule(name, texts.get(name)) for name in names],
    }
    if tool.information_uri is not None:
        driver["informationUri"] = tool.information_uri
    run: dict[str, object] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(result, index[result.rule]) for result in results],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str, text: RuleText | None) -> dict[str, object]:
    built: dict[str, object] = {"id": name}
    if text is None:
        return built
    built["shortDescription"] = {"text": text.text}
    if text.help:
        built["help"] = {"text": text.help}
    properties: dict[str, object] = {}
    if text.tags:
        properties["tags"] = list(text.tags)
    if text.security_severity is not None:
        properties["security-severity"] = text.security_severity
    if properties:
        built["properties"] = properties
    return built


def _result(result: Result, rule_index: int) -> dict[str, object]:
    place: dict[str, object] = {"artifactLocation": {"uri": quote(result.file)}}
    if result.line > 0:
        place["region"] = {"startLine": result.line}
    built: dict[str, object] = {
        "ruleId": result.rule,
        "ruleIndex": rule_index,
        "level": result.level,
        "message": {"text": result.message},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {FINGERPRINT_KEY: result.fingerprint},
        # Said of every result: of one without the property it would be unknown (3.27.23).
        "suppressions": _suppressions(result),
    }
    if result.properties:
        built["properties"] = dict(result.properties)
    return built


def _suppressions(result: Result) -> list[dict[str, str]]:
    if result.suppressed_by is None:
        return []
    return [{"kind": result.suppressed_by, "justification": result.reason}]
