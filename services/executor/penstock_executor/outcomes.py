"""From what became of a sandbox to what is reported."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from signal import Signals
from typing import cast

from pydantic_core import from_json

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.codes import Code
from penstock_contracts.task.v1 import PlannedChange, Usage
from penstock_contracts.values import Failure, JsonObject
from penstock_executor.redaction import Redactor
from penstock_executor.shapes import Shape
from penstock_runtime.ports.sandbox import ExitReason, SandboxResult

EXIT_DONE = 0
EXIT_FAILED = 10
MAX_MESSAGE_CHARS = 2_000
MAX_LAST_LINE_CHARS = 300
_SIGNAL_EXIT = 128  # a shell's exit code for a child that was killed is this and the signal


@dataclass(frozen=True, slots=True)
class Ending:
    """What is reported: an output, a failure, or a plan that waits for approval."""

    output: JsonObject | None
    error: Failure | None
    usage: Usage = field(default_factory=Usage)
    plan: PlannedChange | None = None
    artifacts: tuple[Artifact, ...] = ()


Judge = Callable[[bytes | None], Ending]
"""Judges the raw output of an agent that ended well; None: it wrote none."""


def failed(code: Code, message: str, *, retryable: bool = False) -> Failure:
    """Make a failure of bounded length."""
    return Failure(code=code, message=message[:MAX_MESSAGE_CHARS], retryable=retryable)


def ending_of(result: SandboxResult, judge: Judge, redact: Redactor, last_line: str) -> Ending:
    """Judge a result; `last_line` is the last one the agent printed, redacted."""
    usage = Usage.model_construct(
        wall_s=round(result.wall_s, 6),
        cpu_s=round(result.cpu_s, 6),
        max_rss_bytes=result.max_rss_bytes,
    )
    match result.reason:
        case ExitReason.EXITED if result.exit_code == EXIT_DONE:
            return replace(judge(result.output), usage=usage)
        case ExitReason.EXITED if result.exit_code == EXIT_FAILED:
            return Ending(None, _declared(result.output, redact), usage)
        case _:
            return Ending(None, _broken(result, redact, last_line), usage)


def judged(raw: bytes | None, shape: Shape, redact: Redactor) -> Ending:
    """Judge the output of an agent that ended well: it is what its manifest says, or refused."""
    read = read_output(raw)
    if isinstance(read, Failure):
        return Ending(None, read)
    output = accepted(read, shape, redact)
    return Ending(None, output) if isinstance(output, Failure) else Ending(output, None)


def read_output(raw: bytes | None) -> JsonObject | Failure:
    """Read the output document."""
    if raw is None:
        return failed(Code.INVALID_OUTPUT, "the agent ended well but wrote no output")
    value = _parsed(raw)
    if value is None:
        return failed(Code.INVALID_OUTPUT, "the output is not a JSON object")
    return value


def accepted(value: JsonObject, shape: Shape, redact: Redactor) -> JsonObject | Failure:
    """Give an output as it may be reported: redacted, of its manifest's shape.

    One that is too large for a message becomes an artifact later.

    Args:
        value: the output as the agent wrote it.
        shape: of the manifest.
        redact: takes out the secrets that the agent was given.
    """
    value = cast("JsonObject", redact.value(value))
    fault = shape.fault(value)
    if fault is not None:
        return failed(Code.INVALID_OUTPUT, redact.text(f"the output does not fit: {fault}"))
    return value


def _parsed(raw: bytes) -> JsonObject | None:
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None


def _declared(raw: bytes | None, redact: Redactor) -> Failure:
    value = None if raw is None else _parsed(raw)
    error = None if value is None else value.get("error")
    if not isinstance(error, dict):
        return failed(Code.AGENT_FAILED, "the agent declared a failure and gave no reason")
    parts = [str(error[name]) for name in ("code", "message") if error.get(name)]
    message = redact.text(": ".join(parts)) or "the agent declared a failure"
    return failed(Code.AGENT_FAILED, message, retryable=error.get("retryable") is True)


def _broken(result: SandboxResult, redact: Redactor, last_line: str) -> Failure:
    detail = redact.text(result.detail)
    match result.reason:
        case ExitReason.TIMEOUT:
            return failed(Code.TIMEOUT_RUNNING, detail or "ran too long", retryable=True)
        case ExitReason.MEMORY:
            return failed(Code.OUT_OF_MEMORY, detail or "needed more memory than it may have")
        case ExitReason.OUTPUT_TOO_LARGE:
            return failed(Code.OUTPUT_TOO_LARGE, detail or "the output is too large")
        case ExitReason.ARTIFACTS_TOO_LARGE:
            return failed(Code.ARTIFACT_REFUSED, detail or "left more artifacts than it may")
        case ExitReason.LOG_LIMIT:
            return failed(Code.OUTPUT_TOO_LARGE, detail or "printed far more than it may")
        case ExitReason.START_FAILED:
            return failed(Code.SANDBOX_FAILED, detail or "could not start", retryable=True)
        case ExitReason.CANCELLED:
            return failed(Code.SANDBOX_FAILED, detail or "was stopped", retryable=True)
        case ExitReason.UNAVAILABLE | ExitReason.LOST:
            return failed(Code.SANDBOX_FAILED, detail or "went away", retryable=True)
        case ExitReason.EXITED | ExitReason.SIGNALLED:
            said = f"; its last line: {last_line[:MAX_LAST_LINE_CHARS]}" if last_line else ""
            return failed(Code.AGENT_CRASHED, f"the agent {_how(result)}{said}", retryable=True)


def _how(result: SandboxResult) -> str:
    code = result.exit_code
    number = result.signal
    if number is None and code is not None and code > _SIGNAL_EXIT:
        number = code - _SIGNAL_EXIT
    signal = ""
    if number is not None:
        try:
            signal = Signals(number).name
        except ValueError:
            signal = f"signal {number}"
    if code is None:
        return f"was killed by {signal}" if signal else "ended without an exit code"
    return f"ended with exit code {code}" + (f" ({signal})" if signal else "")
