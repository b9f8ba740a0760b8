"""What an agent in bubblewrap sees, and what it reaches."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_runtime.ports.sandbox import Mount
from penstock_testkit.sandbox_probes import WAIT_S
from tests.security.inside import BuildSpec, Inside

pytestmark = pytest.mark.real


REFUSED = ("EPERM", "ENOSYS", "EACCES")


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
        "os.uname().nodename, [os.readlink(link.path) for link in os.scandir('/etc/alternatives')] "
        "if os.path.isdir('/etc/alternatives') else []])"
    )
    etc, root, passwd, name, programs = await inside(code)  # type: ignore[misc]
    known = {"alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd", "ssl"}
    assert set(etc) <= known
    assert all(program.startswith("/usr/") for program in programs)
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
