"""Findings in what approvers are shown: counts on a line, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from penstock_cli.client import Json
from penstock_cli.terminal import table
from penstock_cli.visible import one_line

SHOWN_FINDINGS = 50
MESSAGE_CHARS = 160
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def findings_in(value: object) -> list[Json]:
    """Give a list of findings, as scanners report them; none if it is something else."""
    if not isinstance(value, list) or not value:
        return []
    items = cast("list[object]", value)
    found = [cast("Json", item) for item in items if isinstance(item, dict)]
    return found if len(found) == len(items) and all("severity" in item for item in found) else []


def counts_in(value: Any) -> str:  # noqa: ANN401 - JSON
    """Give how many there are of each severity, of a scanner's summary; '' of anything else."""
    total = cast("Json", value).get("total") if isinstance(value, dict) else None
    if not isinstance(total, dict):
        return ""
    counts = cast("dict[str, object]", total).items()
    return ", ".join(f"{count} {name}" for name, count in counts if count) or "nothing found"


def findings_table(findings: Sequence[Json]) -> Table:
    """Draw the first of the findings."""
    drawn = table("severity", "where", "weakness", "what")
    for finding in findings[:SHOWN_FINDINGS]:
        severity = str(finding.get("severity"))
        drawn.add_row(
            one_line(severity, SEVERITY_STYLES.get(severity, "")),
            one_line(f"{finding.get('file', '-')}:{finding.get('line', '-')}"),
            one_line(finding.get("cwe") or finding.get("rule") or "-"),
            one_line(str(finding.get("message", ""))[:MESSAGE_CHARS]),
        )
    if len(findings) > SHOWN_FINDINGS:
        drawn.add_row(Text(f"and {len(findings) - SHOWN_FINDINGS} more", "dim"))
    return drawn
