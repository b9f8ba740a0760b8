"""Faults of machine, state folder and settings: seeded, explained, mended as the doctor says.

Facts of the machine come through its port; what is in the state folder and in the environment is
really broken, and where the mend is a command, it is run.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.embedded.grant_key import ensure_grant_key
from penstock_adapters.embedded.home import StateFolder, write_private
from penstock_adapters.embedded.status import StatusBook
from penstock_cli.doctor.catalogue import CATALOG
from penstock_cli.doctor.codes import Code, Grade
from penstock_cli.doctor.machine import Disk, disk_of
from penstock_runtime.ports.sandbox import SandboxHealth
from tests.integration.doctor_scene import (
    GIB,
    Report,
    commands,
    isolated,
    machine,
    report,
    scene,
)

WITHIN_S = 60.0
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs/runbooks"
BLOCKED = SandboxHealth("bubblewrap", "none", False, (), "bwrap cannot start: EPERM", "see bwrap")


async def blocked() -> SandboxHealth:
    return BLOCKED


async def weaker() -> SandboxHealth:
    return SandboxHealth("bubblewrap", "namespaces", True, ("no cgroup here",), None, None)


async def plain_processes() -> SandboxHealth:
    return SandboxHealth("process", "none", True, (), None, None)


def disk(free: int = 100 * GIB, inodes: int | None = 10**6, kind: str = "ext4") -> Any:
    return lambda _: Disk(free, inodes, kind)


def sysctl(root: Path, name: str, value: str) -> Path:
    file = root / "sysctl" / name
    file.parent.mkdir(parents=True)
    file.write_text(value)
    return root / "sysctl"


MACHINES: list[tuple[Code, dict[str, Any], str, str]] = [
    (Code.PYTHON_TOO_OLD, {"python": (3, 10)}, "3.10", "Python 3.11"),
    (Code.PLATFORM_UNSUPPORTED, {"system": "darwin"}, "darwin", "PENSTOCK_NATS_URL"),
    (Code.OPEN_FILES_FEW, {"open_files": 256}, "256", "ulimit -n"),
    (Code.MEMORY_LOW, {"memory_bytes": 100 * 2**20}, "100 MiB", "PENSTOCK_CAPACITY"),
    (Code.DISK_FULL, {"disk": disk(free=10 * 2**20)}, "0.0 GiB", "make room"),
    (Code.DISK_LOW, {"disk": disk(free=600 * 2**20)}, "0.6 GiB", "make room"),
    (Code.INODES_FEW, {"disk": disk(inodes=12)}, "12 inodes", "delete files"),
    (Code.STATE_VOLATILE, {"disk": disk(kind="tmpfs")}, "tmpfs", "PENSTOCK_HOME"),
    (Code.SANDBOX_UNAVAILABLE, {"sandbox": blocked}, "EPERM", "see bwrap"),
    (Code.SANDBOX_DEGRADED, {"sandbox": weaker}, "no cgroup", "cgroup of its own"),
    (Code.SANDBOX_NONE, {"sandbox": plain_processes}, "UNSANDBOXED", "unset PENSTOCK_SANDBOX"),
]


@pytest.mark.parametrize(("code", "facts", "seen", "mend"), MACHINES, ids=lambda it: str(it)[:24])
async def test_a_fault_of_the_machine_is_explained(
    tmp_path: Path, code: Code, facts: dict[str, Any], seen: str, mend: str
):
    found = await report(scene(tmp_path / "state", machine=machine(**facts)))
    assert found.codes == {code}
    finding = found.one(code)
    assert seen in finding.detail
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("code", "setting", "bad", "good"),
    [
        (Code.USERNS_OFF, "kernel/unprivileged_userns_clone", "0", "1"),
        (Code.USERNS_NONE, "user/max_user_namespaces", "0", "15000"),
        (Code.USERNS_APPARMOR, "kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ],
)
async def test_the_setting_that_refuses_namespaces_is_named(
    tmp_path: Path, code: Code, setting: str, bad: str, good: str
):
    root = sysctl(tmp_path, setting, f"{bad}\n")
    found = await report(scene(tmp_path / "state", machine=machine(sandbox=blocked, sysctl=root)))
    finding = found.one(code, setting.replace("/", "."))
    assert f"sysctl -w {setting.replace('/', '.')}={good}" in commands(finding.mend)


async def test_a_sandbox_that_nobody_needs_is_no_fault_but_said(tmp_path: Path):
    allowed = {"PENSTOCK_ALLOW_UNSANDBOXED": "1"}
    found = await report(scene(tmp_path, allowed, machine=machine(sandbox=blocked)))
    assert found.one(Code.SANDBOX_NONE).grade is Grade.WEAK


async def test_git_that_is_missing_is_explained(tmp_path: Path):
    found = await report(scene(tmp_path / "state", {"PATH": str(tmp_path)}))
    assert "install git" in found.one(Code.GIT_MISSING, "PATH").mend


async def test_a_port_that_another_process_took_is_named(tmp_path: Path):
    folder = made(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        write_private(folder.run / "ports.json", json.dumps({"nats": port}))
        finding = (await report(scene(tmp_path))).one(Code.PORT_TAKEN, f"127.0.0.1:{port}")
        assert f"sport = :{port}" in finding.mend
    assert Code.PORT_TAKEN not in (await report(scene(tmp_path))).codes


async def test_a_look_that_hangs_hides_no_other(tmp_path: Path):
    freed = threading.Event()

    def hangs(_: Path) -> Disk:
        freed.wait(WITHIN_S)
        return Disk(0, None, "")

    async def breaks() -> SandboxHealth:
        raise ZeroDivisionError

    try:
        given = machine(disk=hangs, sandbox=breaks, open_files=12)
        # Whatever else is slow here may be late as well; it is looked for by name.
        found = await report(scene(tmp_path / "state", machine=given, within_s=5.0))
    finally:
        freed.set()
    assert found.one(Code.LOOK_TIMED_OUT).subject == "disk"
    assert "ZeroDivisionError" in found.one(Code.LOOK_FAILED).detail
    assert Code.OPEN_FILES_FEW in found.codes


# --- the state folder ---------------------------------------------------------------------------


def made(home: Path) -> StateFolder:
    """A state folder that has been in use, and is well."""
    folder = StateFolder.at(home)
    folder.create()
    write_private(folder.secrets, json.dumps({"task": "0" * 64}))
    for file in (folder.admin_token, folder.trigger_creds, folder.auditor_url):
        write_private(file, "{}")
    ensure_grant_key(folder.grant_key)
    StatusBook(folder.status).end(None)
    return folder


def run(command: str, folder: Path) -> None:
    # penstock: ignore[command-injection] -- the mend that is tried, as a person would
    subprocess.run(command, shell=True, cwd=folder, check=True, timeout=WITHIN_S)  # noqa: S602


async def examined(home: Path) -> Report:
    return await report(scene(home))


async def test_a_folder_that_is_well_has_no_finding(tmp_path: Path):
    made(tmp_path)
    assert (await examined(tmp_path)).faults == []


def garble(path: Path) -> None:
    path.write_bytes(b"\xff{")


def forget(path: Path) -> None:
    path.unlink()


FOLDERS: list[tuple[Code, str, Callable[[Path], None], str]] = [
    (Code.STATE_GARBLED, "run/status.json", garble, "rm "),
    (Code.STATE_GARBLED, "run/ports.json", garble, "rm "),
    (Code.GRANT_KEY_GARBLED, "credentials/grant.key", garble, "rm "),
    (Code.STATE_OPEN, "credentials/admin.token", lambda path: path.chmod(0o644), "chmod go= "),
    (Code.STATE_OPEN, "credentials", lambda path: path.chmod(0o755), "chmod go= "),
]


@pytest.mark.parametrize(("code", "place", "seed", "mend"), FOLDERS)
async def test_a_fault_of_the_folder_is_mended_by_the_command_that_is_named(
    tmp_path: Path, code: Code, place: str, seed: Callable[[Path], None], mend: str
):
    made(tmp_path)
    seed(tmp_path / place)
    found = await examined(tmp_path)
    assert found.codes == {code}
    finding = found.one(code, place)
    (command,) = [one for one in commands(finding.mend) if one.startswith(mend)]
    run(command, Path.cwd())
    assert code not in (await examined(tmp_path)).codes


LOST: list[tuple[Code, str, Callable[[Path], None], str]] = [
    (Code.CREDENTIALS_MISSING, "credentials/secrets.json", forget, "from your copy"),
    (Code.CREDENTIALS_GARBLED, "credentials/secrets.json", garble, "from your copy"),
    (Code.CREDENTIAL_FILE_MISSING, "credentials/admin.token", forget, "penstock up"),
    (Code.CREDENTIAL_FILE_MISSING, "credentials/auditor.url", forget, "penstock up"),
]


@pytest.mark.parametrize(("code", "place", "seed", "mend"), LOST)
async def test_what_is_lost_is_named_with_where_it_comes_from(
    tmp_path: Path, code: Code, place: str, seed: Callable[[Path], None], mend: str
):
    folder = made(tmp_path)
    (folder.nats / "store").mkdir()
    kept = (tmp_path / place).read_text()
    seed(tmp_path / place)
    found = await examined(tmp_path)
    assert found.codes == {code}
    assert mend in found.one(code, place).mend
    write_private(tmp_path / place, kept)  # the backup
    assert (await examined(tmp_path)).faults == []


async def test_a_file_in_place_of_the_folder_is_moved_away(tmp_path: Path):
    home = tmp_path / "state"
    home.write_text("a file")
    finding = (await examined(home)).one(Code.STATE_NOT_A_FOLDER, str(home))
    run(commands(finding.mend)[0], Path.cwd())
    assert (await examined(home)).faults == []


async def test_a_folder_of_another_user_is_named(tmp_path: Path):
    made(tmp_path)
    other = os.geteuid() + 1
    found = await report(scene(tmp_path, machine=machine(uid=other)))
    assert f"chown -R {other} " in found.one(Code.STATE_FOREIGN, str(tmp_path)).mend


HOLDER = """
import sys
from pathlib import Path
from penstock_adapters.embedded.home import FolderLock, StateFolder
FolderLock(StateFolder.at(Path(sys.argv[1]))).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(script: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


async def test_who_holds_the_lock_of_a_stack_that_does_not_run_is_ended(tmp_path: Path):
    made(tmp_path)
    with another_process(HOLDER, tmp_path) as holder:
        found = await examined(tmp_path)
        assert found.codes == {Code.STATE_LOCKED}
        finding = found.one(Code.STATE_LOCKED, "supervisor.lock")
        assert f"kill {holder.pid}" in commands(finding.mend)
        run(f"kill {holder.pid}", tmp_path)
        holder.wait(WITHIN_S)
        assert (await examined(tmp_path)).faults == []


SUPERVISOR = """
import sys
from pathlib import Path
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.status import StatusBook
book = StatusBook(StateFolder.at(Path(sys.argv[1])).status)
book.begin()
book.ready("http://127.0.0.1:9")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_supervisor_that_died_is_noticed(tmp_path: Path):
    made(tmp_path)
    with another_process(SUPERVISOR, tmp_path) as supervisor:
        supervisor.kill()
        supervisor.wait(WITHIN_S)
        finding = (await examined(tmp_path)).one(Code.STACK_DEAD, str(tmp_path))
    assert commands(finding.mend) == ["penstock up --detach"]


async def test_a_start_that_failed_is_told_again(tmp_path: Path):
    StatusBook(made(tmp_path).status).end("initdb failed: no space left")
    finding = (await examined(tmp_path)).one(Code.STACK_FAILED)
    assert "no space left" in finding.detail
    assert "logs" in finding.mend


# --- settings -----------------------------------------------------------------------------------

SETTINGS: list[tuple[Code, dict[str, str], str, str]] = [
    (Code.SETTING_UNKNOWN, {"PENSTOCK_SANDBX": "dagger"}, "SANDBX", "mean PENSTOCK_SANDBOX?"),
    (Code.SETTING_UNKNOWN, {"PENSTOCK_ZZZ": "1"}, "ZZZ", "`unset PENSTOCK_ZZZ`"),
    (Code.SETTING_INVALID, {"PENSTOCK_TRACE_RATIO": "7"}, "TRACE_RATIO", "settings.md"),
    (Code.SETTING_INVALID, {"PENSTOCK_SANDBOX": "process"}, "PENSTOCK_ALLOW", "unset"),
    (Code.SETTING_INVALID, {"PENSTOCK_GRANT_KEYS": "hush"}, "GRANT_KEYS", "settings.md"),
    (Code.SETTING_INVALID, {"PENSTOCK_GRANT_KEY_FILE": "/no/key"}, "/no/key", "settings.md"),
    (
        Code.SETTINGS_CONTRADICT,
        {"PENSTOCK_LOG_LEVEL": "info", "PENSTOCK_LOG_LEVEL_FILE": "/dev/null"},
        "PENSTOCK_LOG_LEVEL is set", "unset PENSTOCK_LOG_LEVEL_FILE",
    ),
    (
        Code.SETTINGS_CONTRADICT,
        {"PENSTOCK_SANDBOX": "bubblewrap", "PENSTOCK_ALLOW_UNSANDBOXED": "1"},
        "do without", "unset PENSTOCK_ALLOW_UNSANDBOXED",
    ),
    (
        Code.SETTINGS_CONTRADICT,
        {"PENSTOCK_POOL": "gpu", "PENSTOCK_POOLS": "default,cpu"},
        "gpu", "PENSTOCK_POOLS=default,cpu,gpu",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "environ", "seen", "mend"), SETTINGS)
async def test_a_setting_that_cannot_be_meant_is_explained(
    tmp_path: Path, code: Code, environ: dict[str, str], seen: str, mend: str
):
    found = await report(scene(tmp_path / "state", environ))
    finding = found.one(code, "environment: PENSTOCK_")
    assert seen in finding.detail
    assert mend in finding.mend
    assert "hush" not in found.text()
    assert (await report(scene(tmp_path / "state"))).faults == []


# --- the codes themselves -----------------------------------------------------------------------


def test_every_code_is_explained():
    assert set(CATALOG) == set(Code)
    assert all(entry.meaning and entry.mend for entry in CATALOG.values())


def test_the_real_disk_is_looked_at(tmp_path: Path):
    real = disk_of(tmp_path)
    assert real.free_bytes > 0
    assert real.kind or real.free_inodes is None or real.free_inodes >= 0


async def test_the_real_sandbox_may_be_asked_twice():
    assert (await isolated()).available


def test_runbooks_name_codes_that_exist():
    pages = [page for page in RUNBOOKS.glob("*.md") if page.stem != "README"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        first = text.partition("## Where to look\n\n1. ")[2].partition("\n2. ")[0]
        named = re.findall(r"`([a-z]+_[a-z_]+[a-z])`", first)
        assert "`penstock doctor`" in first, page
        assert named, page
        assert set(named) <= {code.value for code in Code}, page
