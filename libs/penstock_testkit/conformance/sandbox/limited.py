"""Where tasks are held, cut or ended."""

# ruff: noqa: D102  (the name of a test is its documentation)
from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from penstock_runtime.ports.sandbox import (
    ExitReason,
    Sandbox,
)
from penstock_testkit.conformance.sandbox.tasks import BuildSpec, SandboxTasks
from penstock_testkit.sandbox_probes import (
    LIMITS,
    MIB,
    Log,
    processes_marked,
)


class Limited(SandboxTasks):
    """Where tasks are held, cut or ended."""

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
