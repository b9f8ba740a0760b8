"""Puts each agent's manifest, which stands beside its README, into the agent's package.

Only in a real wheel: an editable install would make a copy that goes stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManifestHook(BuildHookInterface[Any]):
    """Maps agents/<name>/agent.yaml to penstock_agent_<name>/agent.yaml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the manifests that exist to the files of the wheel."""
        if version == "editable":
            return
        for manifest in sorted(Path(self.root).glob("agents/*/agent.yaml")):
            package = "penstock_agent_" + manifest.parent.name.replace("-", "_")
            build_data["force_include"][str(manifest)] = f"{package}/agent.yaml"
