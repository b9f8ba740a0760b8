"""The demo's proof: the commit as git tells it, and the findings that are gone."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from penstock_cli.client import Json
from penstock_cli.demo.repository import git
from penstock_cli.faults import CliFault
from penstock_cli.findings_picture import findings_in, findings_table
from penstock_cli.terminal import out, say
from penstock_cli.visible import visible

LOG_FORMAT = "%h %an: %s%n%n%w(0,2,2)%(trailers)"


def show_proof(run: Json, repository: Path) -> None:
    """Show what landed, and which findings of the first scan the second one has not.

    Raises:
        CliFault: the patch left all findings as they were, or git knows no such commit.
    """
    outputs = _outputs(run)
    commit = str(outputs["patch"].get("commit", ""))
    out.print(visible(git(repository, "log", "-1", f"--format={LOG_FORMAT}", commit)))
    say(f"  changed {', '.join(map(str, outputs['patch']['files_modified']))}")
    say(f"  backup  {outputs['patch']['backup_path']}\n")
    before = findings_in(outputs["scan_planted"].get("findings"))
    after = findings_in(outputs["rescan"].get("findings"))
    left = {_key(finding) for finding in after}
    gone = [finding for finding in before if _key(finding) not in left]
    if not gone:
        raise CliFault("the second scan still finds everything that the first one found")
    say(f"  {len(before)} findings before, {len(after)} after; these are gone:")
    out.print(findings_table(gone))


def _outputs(run: Json) -> dict[str, Json]:
    nodes = cast("dict[str, Json]", run["nodes"])
    return {name: cast("Json", node.get("output") or {}) for name, node in nodes.items()}


def _key(finding: Json) -> tuple[str, str, str]:
    return str(finding.get("rule")), str(finding.get("file")), str(finding.get("line"))
