"""Compose files."""

import re
from collections.abc import Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.secret_names import is_secret

Found = Iterator[tuple[Rule, int]]

_POWERS = re.compile(
    r"(?i)^(?:CAP_)?(?:ALL|SYS_ADMIN|NET_ADMIN|SYS_PTRACE|SYS_MODULE|SYS_RAWIO|DAC_READ_SEARCH|BPF|SYS_BOOT)$"
)
_SOCKET = re.compile(r"(?:docker|containerd|podman|crio)[\w.-]*\.sock(?::|$)")
_SENSITIVE = re.compile(
    r"^(?:/|/(?:etc|root|boot|dev|proc|sys|var/run|var/lib/docker|usr|lib|home)(?:/.*)?):"
)
# Services that are meant for inside.
_INSIDE = frozenset({"22", "2375", "3306", "5432", "6379", "27017", "9200", "11211", "1433", "1521",
                     "5984", "2379", "8500", "9042", "5672", "15672", "9092"})  # fmt: skip
_PUBLISHED = re.compile(
    r"^(?:(?P<address>\d+\.\d+\.\d+\.\d+|\[[^\]]*\]):)?(?:\d[\d-]*:)?(?P<port>\d+)(?:/\w+)?$"
)


def scan_compose(document: Part) -> Found:
    """Rule and line of every weakness."""
    for _, service in document.pairs("services"):
        if service.keys is not None:
            yield from _service(service)


def _service(service: Part) -> Found:
    if service.scalar("privileged") is True:
        yield rules.PRIVILEGED, service.line_of("privileged")
    for name in ("network_mode", "pid", "ipc", "userns_mode", "uts"):
        if service.text(name) == "host":
            yield rules.HOST_NAMESPACE, service.line_of(name)
    for power in service.each("cap_add"):
        if _POWERS.match(power.text()):
            yield rules.CAPABILITIES, power.line
    for option in service.each("security_opt"):
        if re.search(r"unconfined|label[:=]disable", option.text()):
            yield rules.UNCONFINED, option.line
        elif re.search(r"no-new-privileges[:=]false", option.text()):
            yield rules.ESCALATION, option.line
    if service.text("user").split(":")[0] in ("root", "0"):
        yield rules.ROOT_CONTAINER, service.line_of("user")
    image = service.text("image")
    if image and service.get("build") is None and _is_unpinned(image):
        yield rules.UNPINNED_IMAGE, service.line_of("image")
    yield from _mounts(service)
    yield from _environment(service)
    yield from _ports(service)
    if service.get("image") is not None and not _is_limited(service):
        yield rules.NO_LIMITS, service.line


def _is_limited(service: Part) -> bool:
    return any(
        service.get(*path) is not None
        for path in (("mem_limit",), ("deploy", "resources", "limits"), ("extends",), ("cpus",))
    )


def _is_unpinned(image: str) -> bool:
    if "@sha256:" in image or "$" in image:
        return False
    return image.rsplit("/", 1)[-1].partition(":")[2] in ("", "latest")


def _mounts(service: Part) -> Found:
    for volume in service.each("volumes"):
        text = volume.text() or f"{volume.text('source')}:{volume.text('target')}"
        if _SOCKET.search(text.split(":")[0]) and ":" in text:
            yield rules.HOST_SOCKET, volume.line
        elif _SENSITIVE.match(text):
            yield rules.HOST_PATH, volume.line


def _environment(service: Part) -> Found:
    part = service.get("environment")
    if part is None:
        return
    for name, value in part.pairs():
        if is_secret(name, str(value.value) if value.value is not None else None):
            yield rules.SECRET_IN_CONFIG, part.line_of(name)
    for item in part.items or ():
        name, _, text = item.text().partition("=")
        if is_secret(name, text.strip("\"'")):
            yield rules.SECRET_IN_CONFIG, item.line


def _ports(service: Part) -> Found:
    for port in service.each("ports"):
        found = _PUBLISHED.match(port.text())
        if found is None or ":" not in port.text():
            continue
        if found["port"] in _INSIDE and found["address"] not in ("127.0.0.1", "[::1]"):
            yield rules.EXPOSED_PORT, port.line
