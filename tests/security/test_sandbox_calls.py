"""An agent in bubblewrap that makes calls it should not, and looks for privileges."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bubblewrap.identity import HOST_UIDS
from penstock_runtime.ports.sandbox import ExitReason
from penstock_testkit.sandbox_probes import WAIT_S
from tests.security.inside import BuildSpec, Inside

pytestmark = pytest.mark.real


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


async def test_the_environment_does_not_reach_what_gives_up_root(
    sandbox: BubblewrapSandbox, spec: BuildSpec
):
    lines: list[str] = []
    task = replace(spec("give(os.environ['LD_PRELOAD'])"), env={"LD_PRELOAD": "/penstock/none.so"})
    result = await asyncio.wait_for(sandbox.run(task, lambda line: lines.append(line.text)), WAIT_S)
    assert result.output == b'"/penstock/none.so"'
    # The loader complains once, for the agent itself; it would for setpriv and the shell too.
    assert sum("none.so" in line for line in lines) == 1
