"""What becomes of a task in its sandbox is what the executor reports."""

import pytest
from pydantic_core import to_json

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ReportResult, ReportStarted
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import Outcome
from penstock_runtime.ports.bus import Published
from penstock_runtime.ports.sandbox import ExitReason, LogLine
from penstock_runtime.telemetry import metrics as m
from penstock_runtime.telemetry.trace import parse_traceparent
from penstock_testkit.fakes.executor import PROBE, TRACE, ExecutorWorld


async def test_a_good_end_is_reported_before_the_task_is_acknowledged() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.ends(exit_code=0, output=b'{"passed": true}')

        result = await world.result()

    assert (result.outcome, result.output, result.error) == (
        Outcome.SUCCEEDED,
        {"passed": True},
        None,
    )
    assert (result.token, result.nonce, result.attempt) == ("code-of-the-task", None, 1)
    assert (result.usage.wall_s, result.usage.cpu_s, result.usage.max_rss_bytes) == (
        0.5,
        0.25,
        1024,
    )
    assert world.metrics.of(m.TASKS_ENDED, "default", "probe", "succeeded") == 1


async def test_the_result_goes_to_the_runs_partition_within_its_trace() -> None:
    async with ExecutorWorld() as world:
        task = world.task()
        await world.result(task)

    (message,) = world.publisher.sent
    assert message.stream == Stream.RUNS
    assert message.subject == subjects.run("default", "run-0", task.run_id, "report_result")
    assert message.message_id is None
    (envelope,) = world.publisher.of_type(ReportResult.TYPE)
    assert (envelope["causationid"], envelope["correlationid"]) == (task.task_id, task.run_id)
    ours, given = parse_traceparent(str(envelope["traceparent"])), parse_traceparent(TRACE)
    assert ours is not None
    assert given is not None
    assert ours.trace_id == given.trace_id
    assert ours.span_id != given.span_id


@pytest.mark.parametrize(
    ("reason", "code", "retryable"),
    [
        (ExitReason.TIMEOUT, Code.TIMEOUT_RUNNING, True),
        (ExitReason.MEMORY, Code.OUT_OF_MEMORY, False),
        (ExitReason.OUTPUT_TOO_LARGE, Code.OUTPUT_TOO_LARGE, False),
        (ExitReason.LOG_LIMIT, Code.OUTPUT_TOO_LARGE, False),
        (ExitReason.START_FAILED, Code.SANDBOX_FAILED, True),
        (ExitReason.CANCELLED, Code.SANDBOX_FAILED, True),
    ],
)
async def test_reasons_become_codes(reason: ExitReason, code: Code, retryable: bool) -> None:
    async with ExecutorWorld() as world:
        world.sandbox.ends(reason, detail="what the adapter says")

        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, retryable)
    assert result.error.message == "what the adapter says"


@pytest.mark.parametrize(
    ("exit_code", "signal", "said"),
    [
        (1, None, "the agent ended with exit code 1; its last line: boom"),
        (137, None, "the agent ended with exit code 137 (SIGKILL); its last line: boom"),
        (139, None, "the agent ended with exit code 139 (SIGSEGV); its last line: boom"),
        (None, 11, "the agent was killed by SIGSEGV; its last line: boom"),
    ],
)
async def test_a_crash_says_how_and_the_last_line(
    exit_code: int | None, signal: int | None, said: str
) -> None:
    async with ExecutorWorld() as world:
        reason = ExitReason.SIGNALLED if exit_code is None else ExitReason.EXITED
        world.sandbox.lines = [LogLine("stderr", "boom", 1), LogLine("stderr", " ", 2)]
        world.sandbox.ends(reason, exit_code=exit_code, signal=signal)

        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.AGENT_CRASHED, True)
    assert result.error.message == said


@pytest.mark.parametrize("retryable", [True, False])
async def test_exit_10_is_the_agents_own_word(retryable: bool) -> None:
    error = {"code": "refused", "message": "connection refused", "retryable": retryable}
    async with ExecutorWorld() as world:
        world.sandbox.ends(exit_code=10, output=to_json({"error": error}))

        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.message, result.error.retryable) == (
        Code.AGENT_FAILED,
        "refused: connection refused",
        retryable,
    )


async def test_exit_10_without_a_word_is_a_failure_all_the_same() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.ends(exit_code=10, output=b"[]")

        result = await world.result()

    assert result.error is not None
    assert result.error.code == Code.AGENT_FAILED
    assert not result.error.retryable


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (None, "the agent ended well but wrote no output"),
        (b"nonsense", "the output is not a JSON object"),
        (b"[1]", "the output is not a JSON object"),
        (b'{"score": NaN}', "the output is not a JSON object"),
        (b"{}", "the output does not fit: $: 'findings' is a required property"),
        (
            b'{"findings": [{"line": "hunter2"}]}',
            "the output does not fit: $.findings[0].line: is not of type integer",
        ),
    ],
)
async def test_output_is_believed_only_if_it_fits(output: bytes | None, said: str) -> None:
    finding = {"type": "object", "properties": {"line": {"type": "integer"}}}
    schema = {
        "type": "object",
        "required": ["findings"],
        "properties": {"findings": {"type": "array", "items": finding}},
    }
    async with ExecutorWorld(PROBE.model_copy(update={"output": schema})) as world:
        world.sandbox.ends(exit_code=0, output=output)

        result = await world.result()

    assert result.error is not None
    assert (result.error.code, result.error.message) == (Code.INVALID_OUTPUT, said)
    assert not result.error.retryable


async def test_output_over_the_inline_limit_becomes_an_artifact() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.ends(exit_code=0, output=to_json({"text": "x" * 70_000}))

        result = await world.result()

    assert result.error is None
    assert [artifact.name for artifact in result.artifacts] == ["output.json"]


async def test_white_space_does_not_count_towards_the_limit() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.ends(exit_code=0, output=b"{" + b" " * 70_000 + b"}")

        assert (await world.result()).outcome is Outcome.SUCCEEDED


async def test_a_result_that_cannot_be_published_gives_the_task_back() -> None:
    async with ExecutorWorld() as world:
        world.publisher.outcomes.append(Published.FULL)

        assert await world.settled(world.deliver()) == "back 5"

    assert world.metrics.of(m.TASKS_GIVEN_BACK, "default", "unpublished") == 1


async def test_a_defect_ends_its_own_task_only_and_says_no_more_than_its_kind() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.error = RuntimeError("hunter2")
        result = await world.result()
        world.sandbox.error = None
        assert await world.settled(world.deliver(world.task("other"))) == "ack"

    assert result.error is not None
    assert result.error.message == "the sandbox failed: RuntimeError"
    assert (result.error.code, result.error.retryable) == (Code.SANDBOX_FAILED, True)


async def test_a_start_is_reported_only_when_the_task_still_runs_after_a_second() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        await world.clock.advance(0.9)
        assert world.data_of(ReportStarted.TYPE) == []
        await world.clock.advance(0.3)
        await world.clock.advance(5.0)
        assert len(world.data_of(ReportStarted.TYPE)) == 1
        world.sandbox.hold.set()
        assert await world.settled(item) == "ack"


async def test_a_running_task_shows_signs_of_life() -> None:
    async with ExecutorWorld() as world:
        world.sandbox.hold.clear()
        item = world.deliver()
        await world.until(lambda: world.sandbox.ran)
        await world.clock.advance(31.0)
        assert item.fates == ["in_progress"] * 3
        world.sandbox.hold.set()
        assert await world.settled(item) == "ack"


async def test_results_of_one_turn_leave_in_one_batch() -> None:
    async with ExecutorWorld(capacity=50) as world:
        items = [world.item(world.task(f"node_{number}")) for number in range(50)]
        world.queue.put(*items)
        await world.until(lambda: all(item.fates == ["ack"] for item in items))

    assert world.publisher.batches == [50]


async def test_no_more_than_the_capacity_runs_at_once() -> None:
    async with ExecutorWorld(capacity=2) as world:
        world.sandbox.hold.clear()
        items = [world.item(world.task(f"node_{number}")) for number in range(5)]
        world.queue.put(*items)
        await world.until(lambda: len(world.sandbox.ran) == 2)
        await world.clock.advance(0.5)
        assert len(world.sandbox.ran) == 2
        world.sandbox.hold.set()
        await world.until(lambda: all(item.fates[-1:] == ["ack"] for item in items))
