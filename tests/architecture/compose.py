"""The Compose stack as its tests see it: defaults filled in, merges done."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.architecture.tree import ROOT

FOLDER = ROOT / "deploy/compose"
FILE = FOLDER / "compose.yaml"
EXAMPLE = FOLDER / ".env.production.example"
DOCKERFILE = ROOT / "deploy/images/Dockerfile"
ENGINES = ("engine", "engine-egress")
OURS = ("scheduler", "approval", "webhook-gateway", "executor", "executor-egress")
ONCE = ("prepare", "databases", "enroll", "cli", "tools")
SHELL_LESS = ("collector",)  # nothing in the image could ask
REQUIRED = re.compile(r"\$\{(\w+):\?([^}]+)\}")
DEFAULTED = re.compile(r"\$\{(\w+):-([^}]*)\}")
Yaml = dict[str, Any]


def loaded(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


@cache
def text() -> str:
    """The file as it stands."""
    return FILE.read_text(encoding="utf-8")


@cache
def stack() -> Yaml:
    """The file with merges done; a required variable is left as `<NAME>`."""
    filled = DEFAULTED.sub(r"\2", REQUIRED.sub(r"<\1>", text()))
    return YAML(typ="safe").load(filled)


def services() -> dict[str, Yaml]:
    return stack()["services"]


def mounts(service: str) -> list[tuple[str, str, bool]]:
    """Source, target, and whether it is read-only, of each mount."""
    found: list[tuple[str, str, bool]] = []
    for mount in services()[service].get("volumes", ()):
        source, target, *mode = mount.split(":")
        found.append((source, target, mode == ["ro"]))
    return found


def networks(service: str) -> set[str]:
    """Networks that a service is on."""
    return set(services()[service].get("networks", ()))


def names(service: str) -> set[str]:
    """Names under which others find a service."""
    aliases: set[str] = {service}
    on = services()[service].get("networks", ())
    if isinstance(on, dict):
        aliases.update(name for network in on.values() if network for name in network["aliases"])
    return aliases


def hears(service: str, caller: str, port: int) -> bool:
    """Tell whether something called `service` listens on `port` where `caller` can reach it."""
    return any(
        service in names(name) and networks(name) & networks(caller) and port in PORTS[name]
        for name in services()
    )


OPS, OTLP_GRPC = 9464, 4317
PORTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(services(), ()),
    **dict.fromkeys(OURS, (OPS,)),
    "webhook-gateway": (OPS, 8080),
    "nats": (4222,),
    "postgres": (5432,),
    "images": (5000,),
    "publish": (5000,),
    "collector": (OTLP_GRPC, 4318, 8888, 13133),
    "tempo": (3200, OTLP_GRPC),
    "loki": (3100,),
    "prometheus": (9090,),
    "alertmanager": (9093,),
    "grafana": (3000,),
}
"""On which ports of its container each service listens; their own tests hold some of it true."""
