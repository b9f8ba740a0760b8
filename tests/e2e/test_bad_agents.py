"""Agents that misbehave, as real processes in the real sandbox, and what the run says of each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_testkit.sandbox_probes import processes_marked
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.bundles import LIMITS, open_place, write_agent

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

MARK = f"--mark-{uuid.uuid4()}"  # finds our own processes, nobody else's
KB = 1024
GONE_WITHIN_S = 2.0


class Sandboxed:
    """A stack whose executor runs one agent, `doer`, in bubblewrap."""

    def __init__(self, stack: RunningStack, place: Path) -> None:
        self.stack = stack
        self.place = place
        self._count = 0

    async def begin(self, code: str, node: Json | None = None, **given: object) -> str:
        """Start a run of one node that does `code`."""
        self._count += 1
        name = f"one-{self._count}"
        only = {"agent": "doer", "with": {"do": code, **given}, **(node or {})}
        await self.stack.apply(name, {"only": only})
        return await self.stack.trigger(name)

    async def error(self, code: str, node: Json | None = None, **given: object) -> Json:
        """Give the error that such a run fails with."""
        run = await self.begin(code, node, **given)
        shown = await self.stack.ended(run)
        assert shown["run"]["status"] == "failed", shown
        assert shown["run"]["cause"]["node"] == "only"
        assert shown["run"]["cause"]["error"] == shown["nodes"]["only"]["error"]
        return shown["run"]["cause"]["error"]

    async def running(self, mark: str = MARK) -> None:
        """Wait until a process of the agent lives."""

        async def lives() -> bool:
            return bool(processes_marked(mark))

        await self.stack.until(lives)

    async def gone(self, mark: str = MARK, within_s: float = GONE_WITHIN_S) -> None:
        """Wait until no process of the agent is left on the host."""

        async def over() -> bool:
            return not processes_marked(mark)

        await self.stack.until(over, within_s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Sandboxed]:
    home = tmp_path_factory.mktemp("stack") / "state"
    with open_place() as name:
        place = Path(name)
        (place / "work").mkdir()
        folder = write_agent(
            place / "agents", "doer", MARK,
            workspaces=[{"input": "repository_path", "optional": True}],
        )  # fmt: skip
        async with RunningStack.started(
            home,
            PENSTOCK_AGENT_ROOTS=str(place / "agents"),
            PENSTOCK_WORKSPACE_ROOTS=str(place / "work"),
        ) as stack:
            await stack.register_bundle(folder)
            yield Sandboxed(stack, place)


async def test_an_honest_agent_succeeds(sandboxed: Sandboxed) -> None:
    shown = await sandboxed.stack.ended(await sandboxed.begin("answer({'said': 42})"))
    assert shown["run"]["status"] == "succeeded"
    assert shown["nodes"]["only"]["output"] == {"said": 42}


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        (
            "sys.exit(137)",
            "agent_crashed",
            "the agent ended with exit code 137 (SIGKILL)",
        ),
        (
            "os.kill(os.getpid(), 9)",
            "agent_crashed",
            "the agent ended with exit code 137 (SIGKILL)",
        ),
        (
            "x = bytearray(512 * 2**20)",
            "out_of_memory",
            "needed more than 128 MiB of memory",
        ),
        (
            "raise RuntimeError('boom')",
            "agent_crashed",
            "the agent ended with exit code 1; its last line: RuntimeError: boom",
        ),
        (
            "answer({'said': 'no number'})",
            "invalid_output",
            "the output does not fit: $.said: is not of type integer",
        ),
        (
            "answer({'wrong': 1})",
            "invalid_output",
            "the output does not fit: $: 'said' is a required property",
        ),
        (
            "pathlib.Path('/penstock/output.json').write_text('{')",
            "invalid_output",
            "the output is not a JSON object",
        ),
        (
            "pass",
            "invalid_output",
            "the agent ended well but wrote no output",
        ),
        (
            "answer({'said': 1, 'more': 'x' * 2_000_000})",
            "output_too_large",
            "output is larger than 1048576 bytes",
        ),
        (
            "answer({'error': {'code': 'no', 'message': 'way'}}); sys.exit(10)",
            "agent_failed",
            "no: way",
        ),
    ],
)
async def test_what_an_agent_does_wrong_is_named(
    sandboxed: Sandboxed, code: str, expected: str, said: str
) -> None:
    error = await sandboxed.error(code)
    assert (error["code"], error["message"]) == (expected, said)


async def test_an_agent_that_hangs_is_ended(sandboxed: Sandboxed) -> None:
    error = await sandboxed.error("time.sleep(600)", {"timeout": {"running": "1s"}})
    assert (error["code"], error["message"]) == ("timeout_running", "ran longer than 1 s")
    await sandboxed.gone()


async def test_an_agent_that_prints_1_gb_is_stopped_and_its_log_is_bounded(
    sandboxed: Sandboxed,
) -> None:
    code = "line = 'x' * 1023\nfor _ in range(2**20): print(line)\nanswer({'said': 1})"
    run = await sandboxed.begin(code)
    shown = await sandboxed.stack.ended(run)
    error = shown["run"]["cause"]["error"]
    assert error["code"] == "output_too_large"
    assert error["message"] == "printed far more than its log limit"
    assert 0 < await logged(sandboxed.stack, run) <= LIMITS["log_kb"] * KB


async def logged(stack: RunningStack, run: str) -> int:
    """Count the bytes that were kept of what a run has printed."""
    frames = [frame async for frame in stack.frames(f"/api/runs/{run}/logs")]
    assert frames[-1]["event"] == "end"
    return sum(len(frame["data"]["text"]) + 1 for frame in frames if frame["event"] == "log")


async def test_an_agent_that_prints_too_much_succeeds_with_a_shorter_log(
    sandboxed: Sandboxed,
) -> None:
    code = "line = 'x' * 1023\nfor _ in range(200): print(line)\nanswer({'said': 1})"
    run = await sandboxed.begin(code)
    assert (await sandboxed.stack.ended(run))["run"]["status"] == "succeeded"
    assert 0 < await logged(sandboxed.stack, run) <= LIMITS["log_kb"] * KB


async def test_an_agent_that_forks_without_end_is_bounded_and_ended(sandboxed: Sandboxed) -> None:
    code = "while True:\n    try: os.fork()\n    except OSError: pass"
    run = await sandboxed.begin(code, {"timeout": {"running": "2s"}})
    await sandboxed.running()
    most = 0

    async def over() -> bool:
        nonlocal most
        most = max(most, len(processes_marked(MARK)))
        return await sandboxed.stack.run_status(run) == "failed"

    await sandboxed.stack.until(over)
    assert 1 < most <= LIMITS["processes"] + 8  # the sandbox's own few count as well
    error = (await sandboxed.stack.get(f"/api/runs/{run}"))["run"]["cause"]["error"]
    # Where no cgroup may be made, the watchdog sums the memory of all copies, and may be first.
    assert error["code"] in ("timeout_running", "agent_crashed", "out_of_memory")
    await sandboxed.gone()
    shown = await sandboxed.stack.ended(await sandboxed.begin("answer({'said': 1})"))
    assert shown["run"]["status"] == "succeeded"


async def test_a_workspace_outside_the_roots_is_refused(sandboxed: Sandboxed) -> None:
    error = await sandboxed.error("answer({'said': 1})", repository_path="/etc")
    assert error["code"] == "workspace_refused"
    assert error["message"] == (
        f"repository_path: /etc is outside the allowed roots ({sandboxed.place}/work); "
        "PENSTOCK_WORKSPACE_ROOTS of the executor names them"
    )


async def test_a_link_out_of_the_roots_is_refused(sandboxed: Sandboxed) -> None:
    link = sandboxed.place / "work" / "link"
    link.symlink_to("/etc")
    error = await sandboxed.error("answer({'said': 1})", repository_path=str(link))
    assert error["code"] == "workspace_refused"
    assert f"repository_path: {link} (really /etc) is outside the allowed" in error["message"]


async def test_cancelling_a_run_ends_its_processes_within_two_seconds(
    sandboxed: Sandboxed,
) -> None:
    run = await sandboxed.begin("subprocess.run(['sleep', '600'])")
    await sandboxed.running()
    path, body = f"/api/runs/{run}/cancel", {"reason": "changed my mind"}
    status, shown = await sandboxed.stack.call("POST", path, body)
    assert (status, shown["status"]) == (200, "cancelled")
    await sandboxed.gone()
    (cancelled,) = [e for e in sandboxed.stack.stored(run) if e.topic == "run.run_cancelled.v1"]
    assert (cancelled.data["by"], cancelled.data["reason"]) == ("token:admin", "changed my mind")
    assert sandboxed.stack.stored(run)[-1] == cancelled
