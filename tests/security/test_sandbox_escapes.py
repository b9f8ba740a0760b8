"""An agent that tries to get out of bubblewrap, one way at a time."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bubblewrap.identity import HOST_UIDS
from penstock_runtime.ports.sandbox import ExitReason, Mount, SandboxResult, SandboxSpec
from penstock_testkit.escapes import PRELUDE
from penstock_testkit.sandbox_probes import LIMITS, MIB, WAIT_S
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

BuildSpec = Callable[..., SandboxSpec]
Inside = Callable[..., Awaitable[object]]


@pytest.fixture
async def sandbox(tmp_path: Path):
    async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
        yield sandbox


@pytest.fixture
def spec(tmp_path: Path) -> BuildSpec:
    bundle = tmp_path / "bundle"
    bundle.mkdir()

    def build(code: str, *arguments: str) -> SandboxSpec:
        command = ("python", "-S", "-c", PRELUDE + code, *arguments)
        return SandboxSpec("escape", bundle, command, b"{}", LIMITS)

    return build


@pytest.fixture
def inside(sandbox: BubblewrapSandbox, spec: BuildSpec) -> Inside:
    async def run(code: str, *arguments: str) -> object:
        lines: list[str] = []
        task = spec(code, *arguments)
        running = sandbox.run(task, lambda line: lines.append(line.text))
        result: SandboxResult = await asyncio.wait_for(running, WAIT_S)
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), (result, lines)
        return json.loads(result.output or b"null")

    return run


REFUSED = ("EPERM", "ENOSYS", "EACCES")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
@pytest.mark.parametrize(
    ("name", "number", "arguments"),
    [
        ("ptrace", 101, (0, 0, 0, 0)),
        ("process_vm_readv", 310, (1, 0, 0, 0, 0, 0)),
        ("mount", 165, (0, 0, 0, 0, 0)),
        ("umount2", 166, (0, 2)),
        ("fsopen", 430, (0, 0)),
        ("pivot_root", 155, (0, 0)),
        ("chroot", 161, (0,)),
        ("unshare user", 272, (0x10000000,)),
        ("unshare nothing", 272, (0,)),
        ("setns", 308, (0, 0)),
        ("clone new user", 56, (0x10000000 | 17, 0, 0, 0, 0)),
        ("clone new mount", 56, (0x00020000 | 17, 0, 0, 0, 0)),
        ("clone3", 435, (0, 0)),
        ("keyctl", 250, (0, 0xFFFFFFFD, 0, 0, 0)),
        ("add_key", 248, (0, 0, 0, 0, 0)),
        ("request_key", 249, (0, 0, 0, 0)),
        ("bpf", 321, (0, 0, 0)),
        ("perf_event_open", 298, (0, 0, 0, 0, 0)),
        ("io_uring_setup", 425, (1, 0)),
        ("userfaultfd", 323, (0,)),
        ("kexec_load", 246, (0, 0, 0, 0)),
        ("init_module", 175, (0, 0, 0)),
        ("open_by_handle_at", 304, (0, 0, 0)),
        ("personality", 135, (0x0400000,)),
        ("reboot", 169, (0, 0, 0, 0)),
        ("TIOCSTI", 16, (0, 0x5412, 0)),
        ("TIOCSTI in disguise", 16, (0, 0x1_0000_5412, 0)),
        ("TIOCLINUX", 16, (0, 0x541C, 0)),
        ("a call of the future", 470, ()),
        ("sethostname", 170, (0, 0)),
        ("setuid", 105, (0,)),
        ("setgid", 106, (0,)),
    ],
)
async def test_a_dangerous_call_is_refused(
    inside: Inside, name: str, number: int, arguments: tuple[int, ...]
):
    answer = await inside("give(call(*map(int, sys.argv[1:])))", *map(str, (number, *arguments)))
    # In a namespace that maps one id only, root is not even a valid one.
    assert answer in ("EPERM", "ENOSYS", "EINVAL" if name.startswith("set") else ""), name


@pytest.mark.parametrize(
    ("family", "number"),
    [("vsock", 40), ("packet", 17), ("alg", 38), ("key", 15), ("bluetooth", 31), ("rds", 21)],
)
async def test_only_ordinary_sockets_are_made(inside: Inside, family: str, number: int):
    code = "give(attempt(lambda: bool(socket.socket(int(sys.argv[1]), socket.SOCK_RAW))))"
    assert await inside(code, str(number)) == "EAFNOSUPPORT", family


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the x32 ABI is one of x86_64")
async def test_another_abi_ends_the_agent(sandbox: BubblewrapSandbox, spec: BuildSpec):
    task = spec("call(0x40000000 + 39); give('survived')")
    result = await asyncio.wait_for(sandbox.run(task, lambda _: None), WAIT_S)
    assert (result.reason, result.signal, result.output) == (ExitReason.SIGNALLED, 31, None)


async def test_the_agent_has_no_privilege_at_all(inside: Inside):
    status = await inside("give(open('/proc/self/status').read())")
    fields = dict(line.split(":", 1) for line in str(status).splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"].strip() == "1"
    assert fields["Seccomp"].strip() == "2"


async def test_the_agent_is_not_root_on_the_host(sandbox: BubblewrapSandbox, spec: BuildSpec):
    up = asyncio.Event()
    task = spec("import time; print('up', flush=True); time.sleep(60)", f"uid-{os.getpid()}")
    running = asyncio.create_task(sandbox.run(task, lambda _: up.set()))
    await asyncio.wait_for(up.wait(), WAIT_S)
    owners = _agent_uids()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    expected = HOST_UIDS if os.geteuid() == 0 else (os.geteuid(),)
    assert owners
    assert set(owners) <= set(expected)


def _agent_uids() -> list[int]:
    return [uid for uid in map(_agent_uid, Path("/proc").iterdir()) if uid is not None]


def _agent_uid(process: Path) -> int | None:
    """The uid of a process that is our agent (bwrap's own processes have the word too)."""
    try:
        line = (process / "cmdline").read_bytes().split(b"\0")
        if f"uid-{os.getpid()}".encode() not in line or line[1] != b"-S":
            return None
        return process.stat().st_uid
    except (OSError, IndexError):
        return None


async def test_each_namespace_is_its_own(inside: Inside):
    kinds = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
    code = "give({kind: os.readlink(f'/proc/self/ns/{kind}') for kind in sys.argv[1:]})"
    seen = await inside(code, *kinds)
    host = {kind: _own_namespace(kind) for kind in kinds}
    assert isinstance(seen, dict)
    assert [kind for kind in kinds if seen[kind] == host[kind]] == []


def _own_namespace(kind: str) -> str:
    return str(Path(f"/proc/self/ns/{kind}").readlink())


async def test_no_descriptor_of_ours_is_open(inside: Inside):
    code = (
        "names = sorted(os.listdir('/proc/self/fd'), key=int)\n"
        "give({name: attempt(lambda: os.readlink(f'/proc/self/fd/{name}')) for name in names})"
    )
    seen = await inside(code)
    assert isinstance(seen, dict)
    kinds = {name: where.split(":")[0] for name, where in seen.items() if where != "ENOENT"}
    assert kinds == {"0": "/dev/null", "1": "pipe", "2": "pipe"}


async def test_files_of_the_host_are_not_there(inside: Inside, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("of the host")
    home = Path.home()
    paths = [
        str(secret),
        str(Path(__file__)),
        "/etc/shadow",
        "/etc/hostname",
        "/etc/machine-id",
        "/var/lib",
        "/var/run/docker.sock",
        "/run",
        "/sys",
        "/boot",
        "/srv",
        "/mnt",
        str(home / ".ssh"),
        str(home / ".bashrc"),
        f"/proc/{os.getpid()}",
        "/dev/kmsg",
        "/dev/mem",
        "/dev/fuse",
        "/dev/vda",
    ]
    code = "give([path for path in sys.argv[1:] if os.path.lexists(path)])"
    assert await inside(code, *paths) == []


async def test_the_system_files_say_nothing_of_the_host(inside: Inside):
    code = (
        "give([sorted(os.listdir('/etc')), sorted(os.listdir('/')), open('/etc/passwd').read(), "
        "os.uname().nodename])"
    )
    etc, root, passwd, name = await inside(code)  # type: ignore[misc]
    assert set(etc) <= {"group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd", "ssl"}
    assert {"home", "srv", "boot", "run", "sys"}.isdisjoint(root) or _in_view(root)
    assert passwd.count("\n") == 1
    assert name == "penstock"


def _in_view(root: list[str]) -> bool:
    """Folders at the top that are there only because an interpreter lies below."""
    tops = {Path(path).parts[1] for path in (sys.prefix, sys.base_prefix)}
    return {"home", "srv", "boot", "run", "sys"} & set(root) <= tops


async def test_a_home_shows_only_the_interpreter(inside: Inside):
    shown = (sys.prefix, sys.base_prefix)
    homes = {str(Path(*Path(path).parts[:2])) for path in shown} - {"/usr", "/opt"}
    code = (
        "found = []\n"
        "for top in sys.argv[1:]:\n"
        "  for folder, _, files in os.walk(top):\n"
        "    found += [folder + '/' + name for name in files[:3]]\n"
        "    if len(found) > 4000: break\n"
        "give([sorted({'/'.join(path.split('/')[:4]) for path in found}), bool(found)])"
    )
    tops, some = await inside(code, *sorted(homes))  # type: ignore[misc]
    assert some or not homes
    assert all(any(path.startswith(top) for path in shown) for top in tops)


async def test_other_processes_are_out_of_sight(inside: Inside):
    code = (
        "pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]\n"
        "give([len(pids), attempt(lambda: open('/proc/1/environ').read()), "
        "attempt(lambda: os.listdir('/proc/1/fd')), attempt(lambda: os.listdir('/proc/1/root')),"
        "attempt(lambda: os.kill(1, 9))])"
    )
    count, environ, *rest = await inside(code)  # type: ignore[misc]
    assert count <= 3
    if os.geteuid() == 0:
        assert [environ, *rest] == ["EACCES", "EACCES", "EACCES", "EPERM"]
    else:
        assert "PENSTOCK" not in environ.replace("PENSTOCK_", "")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/user/max_user_namespaces",
        "/proc/sysrq-trigger",
        "/proc/self/uid_map",
    ],
)
async def test_kernel_settings_cannot_be_written(inside: Inside, path: str):
    code = "give(attempt(lambda: os.write(os.open(sys.argv[1], os.O_WRONLY), b'1')))"
    assert await inside(code, path) in (*REFUSED, "EROFS", "ENOENT")


@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/etc/x", "/dev/x", "/penstock/x", "/penstock/agent/x", "/home/x"]
)
async def test_nothing_outside_the_work_folders_can_be_written(inside: Inside, path: str):
    code = "give(attempt(lambda: open(sys.argv[1], 'w').write('x')))"
    assert await inside(code, path) in (*REFUSED, "EROFS", "ENOENT")


async def test_programs_that_raise_privileges_do_not(inside: Inside):
    code = (
        "import subprocess, shutil\n"
        "found = [path for path in ('/usr/bin/su', '/usr/bin/sudo', '/usr/bin/passwd',"
        " '/usr/bin/mount', '/usr/bin/newuidmap') if os.path.exists(path)]\n"
        "copy = shutil.copy('/usr/bin/id', '/penstock/work/id')\n"
        "attempt(lambda: os.chmod(copy, 0o6755))\n"
        "ids = subprocess.run([copy, '-u'], capture_output=True, text=True).stdout\n"
        "subprocess.run(['/usr/bin/mount', '-t', 'tmpfs', 'x', '/penstock/work'],"
        " capture_output=True)\n"
        "give([found, ids.strip(), os.path.exists(copy)])"
    )
    _, uid, kept = await inside(code)  # type: ignore[misc]
    assert uid != "0"
    assert kept


async def test_ports_of_the_host_are_out_of_reach(inside: Inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "def reach(host):\n"
            "  there = (host, int(sys.argv[1]))\n"
            "  return attempt(lambda: bool(socket.create_connection(there, 2)))\n"
            "give([reach(host) for host in ('127.0.0.1', '169.254.169.254', '10.0.2.2',"
            " '192.168.0.1', '8.8.8.8')])"
        )
        answers = await inside(code, str(port))
    assert answers == ["ECONNREFUSED", *["ENETUNREACH"] * 4]


async def test_unix_sockets_of_the_host_are_out_of_reach(inside: Inside, tmp_path: Path):
    name = f"penstock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as in_file, socket.socket(socket.AF_UNIX) as abstract:
        in_file.bind(str(tmp_path / "s"))
        in_file.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        code = (
            "def reach(address):\n"
            "  there = socket.socket(socket.AF_UNIX)\n"
            "  return attempt(lambda: there.connect(address) or 'reached')\n"
            "give([reach(sys.argv[1]), reach('\\0' + sys.argv[2])])"
        )
        answers = await inside(code, str(tmp_path / "s"), name)
    assert answers == ["ENOENT", "ECONNREFUSED"]


@pytest.mark.parametrize("folder", ["/tmp", "/penstock/work", "/dev/shm"])  # noqa: S108
async def test_scratch_space_is_bounded(inside: Inside, folder: str):
    code = (
        "def fill():\n"
        "  for number in range(64):\n"
        "    with open(f'{sys.argv[1]}/{number}', 'wb') as file: file.write(b'x' * (1 << 20))\n"
        "give(attempt(fill))"
    )
    assert await inside(code, folder) == "ENOSPC"


async def test_a_bomb_of_empty_files_ends_at_the_memory_limit(
    sandbox: BubblewrapSandbox, spec: BuildSpec
):
    health = await sandbox.check()
    if health.degraded:
        pytest.skip(f"only a cgroup counts inodes: {health.degraded}")
    code = (
        "count = 0\n"
        "def fill():\n"
        "  global count\n"
        "  while count < 300_000:\n"
        "    os.close(os.open(f'/penstock/work/{count}', os.O_CREAT)); count += 1\n"
        "give([attempt(fill), count])"
    )
    task = replace(spec(code), limits=replace(LIMITS, memory_bytes=48 * MIB))
    result = await asyncio.wait_for(sandbox.run(task, lambda _: None), WAIT_S)
    if result.reason is ExitReason.EXITED:
        answer, count = json.loads(result.output or b"null")
        assert answer in ("ENOMEM", "ENOSPC")
        assert count < 300_000
    else:
        assert result.reason is ExitReason.MEMORY


async def test_the_output_cannot_become_a_link(inside: Inside):
    code = (
        "path = os.environ['PENSTOCK_OUTPUT']\n"
        "open('/penstock/work/o', 'w').close()\n"
        "give([attempt(lambda: os.unlink(path)), attempt(lambda: os.symlink('/etc/passwd', path)),"
        " attempt(lambda: os.rename('/penstock/work/o', path))])"
    )
    unlink, link, rename = await inside(code)  # type: ignore[misc]
    assert unlink in ("EBUSY", "EROFS", "EACCES")
    assert link == "EEXIST"
    assert rename in ("EXDEV", "EBUSY", "EROFS")


async def test_agents_do_not_see_each_other(
    sandbox: BubblewrapSandbox, spec: BuildSpec, inside: Inside
):
    up = asyncio.Event()
    hold = spec(
        "import time; open('/tmp/mine', 'w').write('mine'); print(os.getpid(), flush=True);"
        "time.sleep(60)"
    )
    running = asyncio.create_task(sandbox.run(hold, lambda _: up.set()))
    await asyncio.wait_for(up.wait(), WAIT_S)
    code = "give([os.listdir('/tmp'), [n for n in os.listdir('/proc') if n.isdigit()]])"
    files, processes = await inside(code)  # type: ignore[misc]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "mine" not in files
    assert len(processes) <= 3


async def test_private_files_that_are_shown_can_be_read_and_only_they(
    sandbox: BubblewrapSandbox, spec: BuildSpec, tmp_path: Path
):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / ".env").write_text("KEY=1")
    (private / ".env").chmod(0o600)
    code = (
        "give([open('/penstock/repo/.env').read(),"
        " attempt(lambda: open('/penstock/repo/.env', 'w')),"
        " attempt(lambda: open('/proc/1/environ').read()), call(105, 0), call(304, 0, 0, 0)])"
    )
    task = replace(spec(code), mounts=(Mount(private, "/penstock/repo"),))
    result = await asyncio.wait_for(sandbox.run(task, lambda _: None), WAIT_S)
    text, write, environ, *calls = json.loads(result.output or b"null")
    assert (text, write) == ("KEY=1", "EROFS")
    assert calls in (["EPERM", "EPERM"], ["EINVAL", "EPERM"])
    assert environ == "EACCES" or os.geteuid() != 0


async def test_the_environment_does_not_reach_what_gives_up_root(
    sandbox: BubblewrapSandbox, spec: BuildSpec
):
    lines: list[str] = []
    task = replace(spec("give(os.environ['LD_PRELOAD'])"), env={"LD_PRELOAD": "/penstock/none.so"})
    result = await asyncio.wait_for(sandbox.run(task, lambda line: lines.append(line.text)), WAIT_S)
    assert result.output == b'"/penstock/none.so"'
    # The loader complains once, for the agent itself; it would for setpriv and the shell too.
    assert sum("none.so" in line for line in lines) == 1
