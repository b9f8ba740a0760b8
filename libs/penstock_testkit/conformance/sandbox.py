"""What every sandbox adapter must do. Subclass `SandboxConformance` and give it a `sandbox`.

The agents are one-line Python programs that find input and output through the environment, as an
agent that is to run under every adapter does.
"""

# ruff: noqa: D102  (the name of a test is its documentation)
from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from penstock_runtime.ports.sandbox import (
    LOG_LINE_BYTES,
    EgressRule,
    ExitReason,
    Mount,
    Sandbox,
    SandboxResult,
    SandboxSpec,
)
from penstock_testkit.sandbox_probes import (
    ASK_PROXY,
    LIMITS,
    MIB,
    PRELUDE,
    WAIT_S,
    Log,
    processes_marked,
)

ARTIFACTS_BYTES = 16 * MIB
BuildSpec = Callable[..., SandboxSpec]


def with_artifacts(spec: SandboxSpec, folder: Path) -> SandboxSpec:
    """Let a task leave artifacts."""
    limits = replace(spec.limits, artifacts_bytes=ARTIFACTS_BYTES)
    return replace(spec, artifacts=folder, limits=limits)


class SandboxConformance:
    """The contract of the sandbox port.

    Attributes:
        isolates: Whether the adapter has mounts, a network of its own and an egress proxy.
        bounds_processes: Whether a fork bomb is held by the kernel.
        local: Whether its processes can be seen from here.
    """

    isolates = True
    bounds_processes = True
    local = True

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        """An agent's folder, in a place with a space in its name."""
        folder = tmp_path / "an agent"
        folder.mkdir()
        (folder / "shipped.txt").write_text("shipped")
        return folder

    @pytest.fixture
    def spec(self, bundle: Path) -> BuildSpec:
        """Build a task from a line of Python."""

        def build(code: str, *arguments: str, given: object = None) -> SandboxSpec:
            command = ("python", "-S", "-c", PRELUDE + code, *arguments)
            return SandboxSpec("task-1", bundle, command, json.dumps(given).encode(), LIMITS)

        return build

    @pytest.fixture
    def mark(self) -> Iterator[str]:
        """A word for command lines; whatever the test does, no process may keep it."""
        word = f"mark-{uuid4().hex}"
        yield word
        assert processes_marked(word) == []

    async def finished(self, sandbox: Sandbox, spec: SandboxSpec, log: Log) -> SandboxResult:
        """Run a task to its end."""
        return await asyncio.wait_for(sandbox.run(spec, log), WAIT_S)

    async def test_it_is_available(self, sandbox: Sandbox) -> None:
        health = await sandbox.check()
        assert health.available, health.obstacle

    async def test_input_reaches_the_agent_and_output_comes_back(
        self, sandbox: Sandbox, spec: BuildSpec
    ) -> None:
        task = spec("give({'heard': given()})", given={"words": "ä ö"})
        result = await self.finished(sandbox, task, Log())
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0)
        assert json.loads(result.output or b"") == {"heard": {"words": "ä ö"}}
        assert result.wall_s > 0
        assert result.max_rss_bytes > 0

    @pytest.mark.parametrize("code", [0, 3, 10])
    async def test_exit_codes_are_told(self, sandbox: Sandbox, spec: BuildSpec, code: int) -> None:
        result = await self.finished(sandbox, spec(f"give(1); sys.exit({code})"), Log())
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, code)
        assert result.output == b"1"

    @pytest.mark.parametrize("end", ["os._exit(137)", "os.kill(os.getpid(), signal.SIGKILL)"])
    async def test_137_is_a_signal_however_it_came_about(
        self, sandbox: Sandbox, spec: BuildSpec, end: str
    ) -> None:
        result = await self.finished(sandbox, spec(end), Log())
        assert (result.reason, result.exit_code, result.signal) == (ExitReason.SIGNALLED, 137, 9)

    async def test_a_missing_program_is_told(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        task = replace(spec(""), command=("no-such-program",))
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.START_FAILED or result.exit_code == 127

    async def test_lines_arrive_while_the_agent_runs(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        code = "print('out'); print('err', file=sys.stderr, flush=True); sys.stdout.flush(); "
        running = asyncio.create_task(sandbox.run(spec(code + "time.sleep(60)", mark), log))
        await asyncio.gather(log.saw("out"), log.saw("err"))
        assert not running.done()
        assert {(line.stream, line.text) for line in log.lines} == {
            ("stdout", "out"),
            ("stderr", "err"),
        }
        await self.cancelled(running)

    async def test_a_long_line_comes_in_pieces(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        log = Log()
        await self.finished(sandbox, spec("print('ä' * 10000); print('end', end='')"), log)
        assert all(len(line.text.encode()) <= LOG_LINE_BYTES for line in log.lines)
        assert "".join(line.text for line in log.lines) == "ä" * 10000 + "end"

    async def test_printing_too_much_is_cut(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        log = Log()
        limits = replace(LIMITS, log_bytes=10_000)
        task = replace(spec("sys.stdout.write('0123456789\\n' * 3000)"), limits=limits)
        result = await self.finished(sandbox, task, log)
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0)
        assert result.log_truncated
        assert 9_000 <= sum(len(line.text) for line in log.lines) <= 10_000

    async def test_printing_a_gigabyte_is_ended(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        flood = "piece = b'x' * 65536\nfor _ in range(16384): os.write(1, piece)\ngive('done')"
        result = await self.finished(sandbox, spec(flood, mark), log)
        assert result.reason is ExitReason.LOG_LIMIT
        assert result.log_truncated
        assert sum(len(line.text) for line in log.lines) <= LIMITS.log_bytes

    async def test_time_runs_out_politely(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        log = Log()
        code = "signal.signal(15, lambda *_: (print('bye', flush=True), os._exit(0))); "
        limits = replace(LIMITS, wall_s=0.7)
        task = replace(spec(code + "print('up', flush=True); time.sleep(60)"), limits=limits)
        result = await self.finished(sandbox, task, log)
        assert result.reason is ExitReason.TIMEOUT
        assert "bye" in log.text("stdout")

    async def test_time_runs_out_for_the_deaf(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        limits = replace(LIMITS, wall_s=0.5)
        code = "signal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)"
        result = await self.finished(sandbox, replace(spec(code, mark), limits=limits), Log())
        assert result.reason is ExitReason.TIMEOUT

    async def test_processor_time_is_limited(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        limits = replace(LIMITS, cpu_s=1)
        task = replace(spec("while True: pass", mark), limits=limits)
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.TIMEOUT
        assert "CPU" in result.detail

    async def cancelled(self, running: asyncio.Task[SandboxResult]) -> None:
        """Cancel a task and see that the cancellation arrives."""
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_S)

    async def test_cancelling_kills_the_whole_tree(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        code = (
            "import subprocess; [subprocess.Popen(['sleep', '600', '0.'+'0'*9]) for _ in '123']; "
            "os.fork() or os.setsid(); print('up', flush=True); time.sleep(600)"
        )
        running = asyncio.create_task(sandbox.run(spec(code, mark), log))
        await log.saw("up")
        assert processes_marked(mark) or not self.local
        await self.cancelled(running)

    async def test_a_daemon_does_not_outlive_its_task(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        code = (
            "\nif os.fork() == 0:\n os.setsid()\n"
            " if os.fork() == 0:\n  signal.signal(15, signal.SIG_IGN)\n  time.sleep(600)\n"
            " os._exit(0)\nos.wait(); give('left')"
        )
        result = await self.finished(sandbox, spec(code, mark), Log())
        assert (result.reason, result.output) == (ExitReason.EXITED, b'"left"')

    async def test_closing_ends_what_runs(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        running = asyncio.create_task(
            sandbox.run(spec("print('up', flush=True); time.sleep(600)", mark), log)
        )
        await log.saw("up")
        await asyncio.wait_for(sandbox.close(), WAIT_S)
        with pytest.raises(asyncio.CancelledError):
            await running

    async def test_memory_is_limited(self, sandbox: Sandbox, spec: BuildSpec, mark: str) -> None:
        code = "held = [bytearray(os.urandom(1 << 20)) for _ in range(1200)]; time.sleep(60)"
        limits = replace(LIMITS, memory_bytes=64 * MIB)
        result = await self.finished(sandbox, replace(spec(code, mark), limits=limits), Log())
        assert result.reason is ExitReason.MEMORY
        assert result.exit_code == 137
        assert "64 MiB" in result.detail

    async def test_a_fork_bomb_is_bounded(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        if not self.bounds_processes:
            pytest.skip("without isolation a fork bomb is only noticed, not bounded")
        code = (
            "\nwhile True:\n try:\n  os.fork()\n except OSError:\n"
            "  print('refused', flush=True); time.sleep(60)"
        )
        limits = replace(LIMITS, wall_s=3, processes=16)
        log = Log()
        running = asyncio.create_task(sandbox.run(replace(spec(code, mark), limits=limits), log))
        await log.saw("refused")
        assert len(processes_marked(mark)) <= 16
        await self.cancelled(running)

    async def test_no_output_is_no_output(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        result = await self.finished(sandbox, spec("pass"), Log())
        assert (result.reason, result.output) == (ExitReason.EXITED, None)

    @pytest.mark.parametrize(
        "plant",
        [
            "os.symlink('/etc/passwd', path)",
            "os.symlink('/proc/self/environ', path)",
            "os.mkfifo(path)",
            "os.mkdir(path)",
        ],
    )
    async def test_an_output_that_is_no_file_is_refused(
        self, sandbox: Sandbox, spec: BuildSpec, plant: str
    ) -> None:
        code = (
            "path = os.environ['PENSTOCK_OUTPUT']\n"
            f"try: os.path.exists(path) and os.unlink(path); {plant}\nexcept OSError: pass"
        )
        result = await self.finished(sandbox, spec(code), Log())
        assert (result.reason, result.output) == (ExitReason.EXITED, None)

    async def test_a_large_output_is_refused(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        result = await self.finished(sandbox, spec("give('x' * 70000)"), Log())
        assert (result.reason, result.output) == (ExitReason.OUTPUT_TOO_LARGE, None)

    async def test_a_file_cannot_grow_without_end(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        code = (
            "\ntry:\n with open(os.environ['PENSTOCK_WORK'] + '/big', 'wb') as file:\n"
            "  for _ in range(64): file.write(b'x' * (1 << 20))\n"
            "except OSError as error: give(error.errno)"
        )
        result = await self.finished(sandbox, spec(code), Log())
        assert json.loads(result.output or b"0") in (27, 28)  # EFBIG, ENOSPC

    async def test_the_environment_is_clean(
        self, sandbox: Sandbox, spec: BuildSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PENSTOCK_TEST_HOST_SECRET", "of the host")
        task = replace(
            spec("give(dict(os.environ))"), env={"PLAIN": "a b"}, secrets={"TOKEN": "s3cr3t\n'x"}
        )
        result = await self.finished(sandbox, task, Log())
        seen = json.loads(result.output or b"{}")
        assert "PENSTOCK_TEST_HOST_SECRET" not in seen
        assert (seen["PLAIN"], seen["TOKEN"]) == ("a b", "s3cr3t\n'x")
        assert seen["PYTHONDONTWRITEBYTECODE"] == "1"
        assert "s3cr3t" not in repr(task)

    async def test_secrets_are_on_no_command_line(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        log, secret = Log(), f"secret-{uuid4().hex}"
        task = replace(spec("print('up', flush=True); time.sleep(600)"), secrets={"TOKEN": secret})
        running = asyncio.create_task(sandbox.run(task, log))
        await log.saw("up")
        assert processes_marked(secret) == []
        await self.cancelled(running)

    async def test_many_tasks_at_once_do_not_meet(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        tasks = [spec("give(given())", given=number) for number in range(6)]
        results = await asyncio.gather(*(self.finished(sandbox, task, Log()) for task in tasks))
        assert [result.output for result in results] == [b"%d" % number for number in range(6)]

    async def test_mounts_are_shown_as_asked_for(
        self, sandbox: Sandbox, spec: BuildSpec, tmp_path: Path
    ) -> None:
        self.needs_isolation()
        for name in ("read", "write"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "there.txt").write_text(name)
        code = (
            "seen = [open(f'/penstock/{n}/there.txt').read() for n in ('src', 'out/deep')]\n"
            "open('/penstock/out/deep/made.txt', 'w').write('made')\n"
            "open('/penstock/out/deep/there.txt', 'a').write(' more')\n"
            "seen.append(open('/penstock/agent/shipped.txt').read())\n"
            "for path in ('/penstock/src/made.txt', '/penstock/agent/made.txt',\n"
            "             '/penstock/input.json', '/usr/made.txt', '/etc/made.txt'):\n"
            "  try: open(path, 'w'); seen.append(path)\n  except OSError: pass\n"
            "give(seen)"
        )
        mounts = (
            Mount(tmp_path / "read", "/penstock/src"),
            Mount(tmp_path / "write", "/penstock/out/deep", writable=True),
        )
        result = await self.finished(sandbox, replace(spec(code), mounts=mounts), Log())
        assert json.loads(result.output or b"null") == ["read", "write", "shipped"]
        made = tmp_path / "write" / "made.txt"
        assert made.read_text() == "made"
        assert made.stat().st_uid == os.geteuid()
        assert (tmp_path / "write" / "there.txt").read_text() == "write more"

    @pytest.mark.parametrize(
        "target", ["/etc/x", "/penstock/../etc", "/penstock/work", "/penstock/"]
    )
    async def test_a_mount_elsewhere_is_refused(
        self, sandbox: Sandbox, spec: BuildSpec, tmp_path: Path, target: str
    ) -> None:
        self.needs_isolation()
        task = replace(spec("pass"), mounts=(Mount(tmp_path, target),))
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.START_FAILED

    @pytest.mark.parametrize("form", ["plain", "connect"])
    async def test_egress_goes_where_it_is_allowed(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int, form: str
    ) -> None:
        self.needs_isolation()
        task = replace(
            spec(ASK_PROXY, form, "127.0.0.1", str(greeter)),
            egress=(EgressRule("127.0.0.1", greeter),),
        )
        result = await self.finished(sandbox, task, Log())
        assert "hello from outside" in json.loads(result.output or b'""')

    @pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "169.254.169.254", "::1", "0"])
    async def test_egress_goes_nowhere_else(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int, host: str
    ) -> None:
        self.needs_isolation()
        task = replace(
            spec(ASK_PROXY, "connect", host, str(greeter)),
            egress=(EgressRule("127.0.0.1", greeter),),
        )
        result = await self.finished(sandbox, task, Log())
        assert json.loads(result.output or b'""').startswith("HTTP/1.1 403")

    async def test_without_egress_there_is_no_socket_and_no_network(
        self, sandbox: Sandbox, spec: BuildSpec, greeter: int
    ) -> None:
        self.needs_isolation()
        code = (
            "import socket; found = [os.path.exists('/penstock/egress.sock')]\n"
            f"try: socket.create_connection(('127.0.0.1', {greeter}), 2); found.append('host')\n"
            "except OSError: pass\n"
            "try: found.append(sorted(name for _, name in socket.if_nameindex()))\n"
            "except OSError: found.append(['lo'])\n"
            "give(found)"
        )
        result = await self.finished(sandbox, spec(code), Log())
        assert json.loads(result.output or b"null") == [False, ["lo"]]

    async def test_artifacts_are_left_in_their_own_folder(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path
    ) -> None:
        code = (
            "folder = os.environ['PENSTOCK_ARTIFACTS']\n"
            "os.makedirs(folder + '/deep/er')\n"
            "open(folder + '/deep/er/large.bin', 'wb').write(b'x' * (12 << 20))\n"
            "open(folder + '/small.txt', 'w').write('small')\n"
            "os.chmod(folder + '/small.txt', 0)\n"
            "give(folder)"
        )
        result = await self.finished(sandbox, with_artifacts(spec(code), artifacts), Log())
        assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), result.detail
        if self.isolates:
            assert json.loads(result.output or b"null") == "/penstock/artifacts"
        assert (artifacts / "deep/er/large.bin").stat().st_size == 12 * MIB
        assert (artifacts / "small.txt").stat().st_uid == os.geteuid()

    async def test_without_a_folder_for_artifacts_there_is_none(
        self, sandbox: Sandbox, spec: BuildSpec
    ) -> None:
        code = "give(['PENSTOCK_ARTIFACTS' in os.environ, os.path.exists('/penstock/artifacts')])"
        result = await self.finished(sandbox, spec(code), Log())
        assert json.loads(result.output or b"null") == [False, False]

    @pytest.mark.parametrize(
        "flood",
        [
            "[open(f'{folder}/{n}', 'wb').write(b'x' * (4 << 20)) for n in range(64)]",
            "[os.truncate(os.open(f'{folder}/{n}', 65), 10 << 20) for n in range(8)]",
            "[os.mkdir(f'{folder}/{n}') for n in range(3000)]",
            "held = [hide(f'{folder}/{n}') for n in range(64)]",
            "os.mkdir(folder + '/locked'); os.chmod(folder + '/locked', 0)",
        ],
        ids=["bytes", "sparse", "entries", "deleted", "locked"],
    )
    async def test_artifacts_are_bounded_while_they_are_written(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path, mark: str, flood: str
    ) -> None:
        if os.geteuid() == 0 and "locked" in flood:
            pytest.skip("root looks into every folder")
        code = (
            "def hide(path):\n"
            " fd = os.open(path, os.O_CREAT | os.O_WRONLY); os.unlink(path)\n"
            " os.write(fd, b'x' * (1 << 20)); return fd\n"
            "folder = os.environ['PENSTOCK_ARTIFACTS']\n"
            f"{flood}\n"
            "time.sleep(60)"
        )
        task = with_artifacts(spec(code, mark), artifacts)
        result = await self.finished(sandbox, task, Log())
        assert result.reason is ExitReason.ARTIFACTS_TOO_LARGE, result.detail
        assert "artifacts" in result.detail
        assert result.wall_s < 10

    async def test_one_artifact_cannot_grow_without_end(
        self, sandbox: Sandbox, spec: BuildSpec, artifacts: Path
    ) -> None:
        code = (
            "\ntry:\n with open(os.environ['PENSTOCK_ARTIFACTS'] + '/big', 'wb', 0) as file:\n"
            "  for _ in range(64): file.write(b'x' * (1 << 20))\n"
            "except OSError as error: give(error.errno)"
        )
        result = await self.finished(sandbox, with_artifacts(spec(code), artifacts), Log())
        assert result.output == b"27"  # EFBIG
        assert (artifacts / "big").stat().st_size <= ARTIFACTS_BYTES

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Path:
        """An empty folder, private as an executor's."""
        folder = tmp_path / "left here"
        folder.mkdir(mode=0o700)
        return folder

    def needs_isolation(self) -> None:
        """Skip what an adapter without isolation cannot do."""
        if not self.isolates:
            pytest.skip("this adapter isolates nothing")

    @pytest.fixture
    async def greeter(self) -> AsyncIterator[int]:
        """A port of the host's loopback on which an HTTP server says hello."""
        async with greeting() as port:
            yield port


@asynccontextmanager
async def greeting() -> AsyncGenerator[int]:
    """An HTTP server on the host's loopback that says hello; gives its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"hello from outside"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
