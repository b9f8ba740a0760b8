"""Progress and partial results: told apart, put together, bounded, redacted, never believed."""

from __future__ import annotations

import json

import pytest
from pydantic import JsonValue
from pydantic_core import to_json

from penstock_contracts.codes import Code
from penstock_contracts.values import JsonObject
from penstock_core.redaction import SHOWN, Redactor
from penstock_executor.log_stream import LogStream
from penstock_executor.said import MAX_PARTIAL_BYTES
from penstock_runtime.ports.bus import Outgoing
from penstock_runtime.ports.sandbox import LOG_LINE_BYTES, ExitReason, LogLine
from penstock_testkit.fakes.executor import ExecutorWorld

SECRET = "canary-2f91-very-secret"


def spoken(*lines: str, stream: str = "stdout") -> tuple[LogStream, list[tuple[str, str]]]:
    """What becomes of the lines that an agent prints."""
    sent: list[tuple[str, str]] = []

    def compose(first: int, at_us: int, lines: tuple[tuple[str, str], ...]) -> Outgoing:
        del first, at_us
        sent.extend(lines)
        return Outgoing(None, "s", b"")

    logs = LogStream(compose, lambda _: True, Redactor([SECRET]))
    for line in lines:
        while line:
            piece, line = line[:LOG_LINE_BYTES], line[LOG_LINE_BYTES:]  # noqa: PLW2901 - its rest
            logs.write(LogLine("stderr" if stream == "stderr" else "stdout", piece, 1))
    logs.finish()
    return logs, sent


def partial_line(value: JsonObject) -> str:
    return f"::penstock-partial {json.dumps(value)}"


def test_progress_is_a_stream_of_its_own():
    logs, sent = spoken(
        "an ordinary line",
        '::penstock-progress {"fraction": 2, "text": "half", "more": 1}',
        '::penstock-progress {"text": 5}',
    )
    assert sent[0] == ("stdout", "an ordinary line")
    assert [stream for stream, _ in sent[1:]] == ["progress", "progress"]
    assert json.loads(sent[1][1]) == {"fraction": 1.0, "text": "half"}
    assert json.loads(sent[2][1]) == {"fraction": None, "text": ""}
    assert (logs.last_line, logs.printed) == ("an ordinary line", 3)


def test_a_partial_result_in_several_pieces_is_put_together_and_the_last_one_counts():
    many: list[JsonValue] = ["x" * 100] * 120
    large: JsonObject = {"findings": many}
    logs, sent = spoken(partial_line({"findings": []}), partial_line(large), "done")
    assert logs.partial == large
    assert [stream for stream, _ in sent] == ["partial", "partial", "stdout"]
    assert json.loads(sent[1][1]) == large


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (partial_line({"a": "x" * MAX_PARTIAL_BYTES}), "16384 are allowed"),
        ("::penstock-partial [1]", "no JSON object"),
        ("::penstock-partial {", "no JSON object"),
        ('::penstock-partial {"a": NaN}', "no JSON object"),
        ("::penstock-progress half", "no JSON object"),
    ],
)
def test_what_cannot_be_taken_is_dropped_with_a_word(line: str, why: str):
    logs, sent = spoken(partial_line({"kept": True}), line, "after")
    assert logs.partial == {"kept": True}
    assert why in sent[1][1]
    assert sent[1][0] == "stderr"
    assert sent[2] == ("stdout", "after")


@pytest.mark.parametrize("size", range(LOG_LINE_BYTES - 4, LOG_LINE_BYTES + 2))
def test_a_line_as_long_as_a_piece_takes_nothing_of_the_next(size: int):
    head, tail = '::penstock-partial {"a": "', '"}'
    line = head + "x" * (size - len(head) - len(tail)) + tail
    assert len(line) == size
    logs, sent = spoken(line, "the next")
    assert logs.partial is not None
    assert sent[1:] == [("stdout", "the next")]


def test_one_that_was_cut_off_is_none():
    logs, sent = spoken("::penstock-partial {" + '"a": "' + "x" * (LOG_LINE_BYTES - 26))
    assert (logs.partial, sent) == (None, [])


def test_secrets_are_taken_out_of_both_wherever_a_piece_ends():
    for before in range(LOG_LINE_BYTES - 60, LOG_LINE_BYTES - 20):
        logs, sent = spoken(
            partial_line({"a": "x" * before + SECRET, SECRET: "k"}),
            f'::penstock-progress {{"text": "{SECRET}"}}',
        )
        assert logs.partial == {"a": "x" * before + SHOWN, SHOWN: "k"}
        assert SECRET not in str(sent)


def test_standard_error_says_nothing_of_the_kind():
    logs, sent = spoken(partial_line({}), stream="stderr")
    assert (logs.partial, sent) == (None, [("stderr", "::penstock-partial {}")])


@pytest.mark.parametrize(
    ("reason", "exit_code", "output", "code", "beside"),
    [
        (ExitReason.TIMEOUT, None, None, Code.TIMEOUT_RUNNING, True),
        (ExitReason.MEMORY, None, None, Code.OUT_OF_MEMORY, True),
        (ExitReason.EXITED, 1, None, Code.AGENT_CRASHED, True),
        (ExitReason.EXITED, 10, to_json({"error": {}}), Code.AGENT_FAILED, False),
        (ExitReason.EXITED, 0, b"[]", Code.INVALID_OUTPUT, False),
        (ExitReason.EXITED, 0, b"{}", None, False),
    ],
)
async def test_it_stands_beside_the_failure_of_who_did_not_come_to_its_end(
    reason: ExitReason, exit_code: int | None, output: bytes | None, code: Code | None, beside: bool
):
    async with ExecutorWorld() as world:
        world.sandbox.lines = [LogLine("stdout", partial_line({"found": 3}), 1)]
        world.sandbox.ends(reason, exit_code=exit_code, output=output)
        result = await world.result()
    assert (result.error.code if result.error else None) == code
    assert result.output == ({} if code is None else None)
    assert (result.error.partial if result.error else None) == ({"found": 3} if beside else None)
