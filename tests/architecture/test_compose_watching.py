"""Collector, Tempo, Loki, Prometheus, Alertmanager and Grafana find each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.architecture.compose import OPS, OTLP_GRPC, OURS, PORTS, hears, loaded, mounts, services
from tests.architecture.tree import ROOT

DEPLOY = ROOT / "deploy"
COLLECTOR = loaded(DEPLOY / "otel/collector.yaml")
TEMPO = loaded(DEPLOY / "tempo/tempo.yaml")
LOKI = loaded(DEPLOY / "loki/loki.yaml")
PROMETHEUS = loaded(DEPLOY / "prometheus/prometheus.yml")
ALERTMANAGER = loaded(DEPLOY / "alertmanager/alertmanager.yml")
SOURCES: list[dict[str, Any]] = loaded(DEPLOY / "grafana/provisioning/datasources/penstock.yml")[
    "datasources"
]
VERIFY_S = 30


def place(url: str) -> tuple[str, int]:
    """Host and port of an address, with or without a scheme."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def port_of(listener: str) -> int:
    return int(listener.rpartition(":")[2])


def test_what_services_export_reaches_the_collector():
    for name in OURS:
        told = services()[name]["environment"]
        assert hears(*_of(told["PENSTOCK_OTLP_ENDPOINT"], name))
        assert told["PENSTOCK_OPS_PORT"] == str(OPS)
        assert told["PENSTOCK_OPS_HOST"] == "0.0.0.0"  # noqa: S104 - inside its container
    protocols = COLLECTOR["receivers"]["otlp"]["protocols"]
    assert {port_of(told["endpoint"]) for told in protocols.values()} <= set(PORTS["collector"])
    assert port_of(protocols["grpc"]["endpoint"]) == OTLP_GRPC


def _of(url: str, caller: str) -> tuple[str, str, int]:
    host, port = place(url)
    return host, caller, port


def test_the_collector_s_pipelines_are_made_of_what_it_has():
    service = COLLECTOR["service"]
    assert set(service["extensions"]) == set(COLLECTOR["extensions"])
    used: dict[str, set[str]] = {}
    for pipeline in service["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for kind in ("receivers", "processors", "exporters"):
            used.setdefault(kind, set()).update(pipeline[kind])
    assert used == {kind: set(COLLECTOR[kind]) for kind in used}
    assert service["pipelines"]["traces"]["exporters"] == ["otlp/tempo"]
    assert service["pipelines"]["logs"]["exporters"] == ["otlphttp/loki"]


def test_the_collector_reaches_tempo_and_loki():
    exporters = COLLECTOR["exporters"]
    assert hears(*_of(exporters["otlp/tempo"]["endpoint"], "collector"))
    assert hears(*_of(exporters["otlphttp/loki"]["endpoint"], "collector"))
    assert exporters["otlphttp/loki"]["endpoint"].endswith("/otlp")
    grpc = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]
    assert {port_of(grpc["endpoint"]), TEMPO["server"]["http_listen_port"]} == set(PORTS["tempo"])
    assert (LOKI["server"]["http_listen_port"],) == PORTS["loki"]
    assert LOKI["limits_config"]["allow_structured_metadata"] is True


def test_tempo_writes_its_service_graph_where_grafana_looks_for_it():
    (written,) = TEMPO["metrics_generator"]["storage"]["remote_write"]
    assert hears(*_of(written["url"], "tempo"))
    assert "--web.enable-remote-write-receiver" in services()["prometheus"]["command"]
    assert "service-graphs" in TEMPO["overrides"]["defaults"]["metrics_generator"]["processors"]


def test_every_target_of_prometheus_is_a_service_that_listens():
    found: set[str] = set()
    for job in PROMETHEUS["scrape_configs"]:
        for told in job["dns_sd_configs"]:
            for name in told["names"]:
                assert hears(name, "prometheus", told["port"]), name
                found.add(name)
    assert found >= {"scheduler", "executor", "approval", "webhook-gateway"}
    for told in PROMETHEUS["alerting"]["alertmanagers"]:
        (dns,) = told["dns_sd_configs"]
        assert all(hears(name, "prometheus", dns["port"]) for name in dns["names"])


def test_alertmanager_reaches_the_gateway_with_the_token_that_was_issued():
    for receiver in ALERTMANAGER["receivers"]:
        for hook in receiver["webhook_configs"]:
            assert hears(*_of(hook["url"], "alertmanager"))
            file = Path(hook["http_config"]["authorization"]["credentials_file"])
            (volume,) = (s for s, t, _ in mounts("alertmanager") if t == str(file.parent))
            (there,) = (t for s, t, _ in mounts("enroll") if s == volume)
            script = " ".join(services()["enroll"]["command"])
            assert f"cd {there}" in script
            assert f"mv new {file.name}" in script


def test_grafana_s_sources_are_linked_by_uids_that_exist():
    uids = {source["uid"]: source for source in SOURCES}
    assert set(uids) == {"prometheus", "tempo", "loki"}
    for source in SOURCES:
        assert hears(*_of(source["url"], "grafana"))
    prometheus, tempo, loki = (uids[name]["jsonData"] for name in ("prometheus", "tempo", "loki"))
    assert {told["datasourceUid"] for told in prometheus["exemplarTraceIdDestinations"]} == {
        "tempo"
    }
    assert tempo["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert tempo["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert tempo["serviceMap"]["datasourceUid"] == "prometheus"
    assert [told["datasourceUid"] for told in loki["derivedFields"]] == ["tempo"]
    (provider,) = loaded(DEPLOY / "grafana/provisioning/dashboards/penstock.yml")["providers"]
    shown = {target for _, target, _ in mounts("grafana")}
    assert {provider["options"]["path"], "/etc/grafana/provisioning"} <= shown
    for board in (DEPLOY / "grafana/dashboards").glob("*.json"):
        told = set(re.findall(r'"uid": "(prometheus|tempo|loki|\w*)",', board.read_text()))
        assert told <= {*uids, ""} | {_uid_of(board)}, board.name


def _uid_of(board: Path) -> str:
    return loaded(board)["uid"]


def test_tempo_takes_its_configuration():
    program = shutil.which("tempo")
    if program is None:
        pytest.skip("no tempo here")
    done = subprocess.run(
        [program, f"-config.file={DEPLOY / 'tempo/tempo.yaml'}", "-config.verify=true"],
        check=False, capture_output=True, text=True, timeout=VERIFY_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
