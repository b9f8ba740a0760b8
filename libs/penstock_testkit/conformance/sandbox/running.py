"""How tasks begin and end, and what is left of them."""

# ruff: noqa: D102  (the name of a test is its documentation)
from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from penstock_runtime.ports.sandbox import (
    LOG_LINE_BYTES,
    ExitReason,
    Sandbox,
)
from penstock_testkit.conformance.sandbox.tasks import BuildSpec, SandboxTasks
from penstock_testkit.sandbox_probes import (
    WAIT_S,
    Log,
    processes_marked,
)


class Running(SandboxTasks):
    """How tasks begin and end, and what is left of them."""

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

    async def test_who_is_cancelled_is_told_and_heard(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        # Printing there could meet the printing of `up`, which is still under way.
        code = "signal.signal(15, lambda *_: (os.write(1, b'bye\\n'), os._exit(0))); "
        task = spec(code + "print('up', flush=True); time.sleep(600)", mark)
        running = asyncio.create_task(sandbox.run(task, log))
        await log.saw("up")
        await self.cancelled(running)
        assert "bye" in log.text("stdout")

    async def test_who_is_cancelled_and_deaf_is_killed(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        log = Log()
        code = (
            "signal.signal(15, signal.SIG_IGN); print('up', flush=True)\nwhile True: time.sleep(1)"
        )
        running = asyncio.create_task(sandbox.run(spec(code, mark), log))
        await log.saw("up")
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

    async def test_no_output_is_no_output(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        result = await self.finished(sandbox, spec("pass"), Log())
        assert (result.reason, result.output) == (ExitReason.EXITED, None)

    async def test_many_tasks_at_once_do_not_meet(self, sandbox: Sandbox, spec: BuildSpec) -> None:
        tasks = [spec("give(given())", given=number) for number in range(6)]
        results = await asyncio.gather(*(self.finished(sandbox, task, Log()) for task in tasks))
        assert [result.output for result in results] == [b"%d" % number for number in range(6)]
