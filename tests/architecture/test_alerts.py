"""Alerts ask for metrics that exist, have a page for whoever is woken, and are tried both ways."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from penstock_runtime.telemetry.metrics import ALL, Kind
from penstock_testkit.dashboards import DASHBOARDS
from penstock_testkit.prometheus import program
from tests.architecture.tree import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
OURS = re.compile(r"\bpenstock_[a-z0-9_]+")
PROMTOOL_S = 60
needs_promtool = pytest.mark.skipif(program("promtool") is None, reason="no promtool here")


def loaded(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


def alerts() -> dict[str, Any]:
    return {
        rule["alert"]: rule
        for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in loaded(file)["groups"]
        for rule in group["rules"]
    }


def series_names() -> set[str]:
    """Every name under which a declared metric can be asked for."""
    plain = {metric.name for metric in ALL if metric.kind is not Kind.HISTOGRAM}
    parts = ("_bucket", "_count", "_sum")
    spread = {m.name + part for m in ALL if m.kind is Kind.HISTOGRAM for part in parts}
    return plain | spread


def cases() -> list[str]:
    files = sorted((PROMETHEUS / "tests").glob("*.yml"))
    return [case["name"] for file in files for case in loaded(file)["tests"]]


@pytest.mark.parametrize("name", alerts())
def test_an_alert_asks_for_declared_metrics_and_names_its_page(name: str):
    rule = alerts()[name]
    assert set(OURS.findall(rule["expr"])) <= series_names()
    assert rule["labels"]["severity"] in ("critical", "warning")
    page = ROOT / rule["annotations"]["runbook"]
    assert page == RUNBOOKS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert f"Severity: {rule['labels']['severity']}." in text
    assert f"[{name}]({name}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_tried_both_ways(name: str):
    tried = [case.partition(": ")[2] for case in cases() if case.startswith(f"{name}: ")]
    assert any(what == "fires" for what in tried)
    assert any(what.startswith("silent") for what in tried)


def test_no_page_is_of_an_alert_that_is_gone():
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(alerts())


def test_panels_ask_for_declared_metrics():
    asked = {
        name
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
        for name in OURS.findall(query.expr)
    }
    assert asked <= series_names()


def test_every_metric_is_on_a_dashboard():
    shown = " ".join(q.expr for d in DASHBOARDS for panel in d.panels for q in panel.queries)
    unseen = {metric.name for metric in ALL if not re.search(rf"\b{metric.name}", shown)}
    # An epoch is a number without a meaning of its own.
    assert unseen <= {"penstock_partition_epoch"}


def test_data_sources_are_linked_to_each_other():
    found = loaded(ROOT / "deploy/grafana/provisioning/datasources/penstock.yml")["datasources"]
    sources = {source["uid"]: source["jsonData"] for source in found}
    assert set(sources) == {"prometheus", "tempo", "loki"}
    exemplars = sources["prometheus"]["exemplarTraceIdDestinations"]
    assert {one["name"]: one["datasourceUid"] for one in exemplars} == dict.fromkeys(
        ("trace_id", "traceID"), "tempo"
    )
    assert sources["tempo"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert sources["tempo"]["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert sources["loki"]["derivedFields"][0]["datasourceUid"] == "tempo"


@pytest.mark.skipif(program("amtool") is None, reason="no amtool here")
def test_the_receivers_are_valid():
    checked("amtool", "check-config", str(ROOT / "deploy/alertmanager/alertmanager.yml"))


def checked(name: str, *words: str) -> None:
    binary = program(name)
    assert binary is not None
    done = subprocess.run(
        [binary, *words],
        check=False,
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        timeout=PROMTOOL_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_configuration_is_valid():
    checked("promtool", "check", "config", "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda f: f.name)
def test_alerts_fire_and_stay_silent(file: Path):
    checked("promtool", "test", "rules", str(file))
