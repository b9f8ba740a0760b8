"""Grafana's dashboards, from the panels in penstock_testkit.dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock_testkit.dashboards import DASHBOARDS
from penstock_testkit.dashboards.build import document

FOLDER = "deploy/grafana/dashboards"
OWNS = (f"{FOLDER}/*.json",)


def generate(_root: Path) -> Mapping[str, str]:
    """Writes one file a dashboard."""
    return {f"{FOLDER}/{made.uid}.json": document(made) for made in DASHBOARDS}
