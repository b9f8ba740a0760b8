"""Reads the input, calls the handler, writes the output, chooses the exit code."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from penstock_agent_sdk.errors import AgentError

DEFAULT_INPUT = "/penstock/input.json"
DEFAULT_OUTPUT = "/penstock/output.json"
EXIT_DONE = 0
EXIT_FAILED = 10
MAX_INPUT_BYTES = 16 * 1024 * 1024
MAX_REPORTED_ERRORS = 8

# A single bind-mounted file cannot be replaced by a rename; it can only be written in place.
_NO_RENAME = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})


class Model(Protocol):
    """What the runner needs of an input or output model; every pydantic model has it."""

    @classmethod
    def model_validate(cls, obj: object) -> Self:
        """Build the model from plain data, or raise ValueError."""
        ...

    def model_dump_json(self) -> str:
        """The model as JSON text."""
        ...


InputT = TypeVar("InputT", bound=Model)
OutputT = TypeVar("OutputT", bound=Model)


def run_agent(
    input_model: type[InputT],
    output_model: type[OutputT],
    handler: Callable[[InputT], OutputT],
    *,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run one task and return the exit code for `sys.exit`.

    A malformed input, or an `AgentError` from the handler, is written as a structured error and
    gives 10. Every other exception propagates: the traceback goes to the log and the interpreter
    ends with 1, which is a crash.

    Args:
        input_model: Validates the input; its errors are reported by field, never by value.
        output_model: What the handler must return an instance of.
        handler: The agent itself.
        environment: `PENSTOCK_INPUT` and `PENSTOCK_OUTPUT` override the two paths.

    Raises:
        TypeError: The handler returned something else than `output_model`.
    """
    settings = os.environ if environment is None else environment

    def call(payload: object) -> str:
        return dumped(handler(validated(input_model, payload)), output_model)

    return run_task(settings, call)


def run_task(settings: Mapping[str, str], call: Callable[[object], str]) -> int:
    """Read the input, call, write what `call` gives; an `AgentError` becomes the output.

    Args:
        settings: `PENSTOCK_INPUT` and `PENSTOCK_OUTPUT` override the two paths.
        call: From the parsed input document to the text of the output document.
    """
    target = settings.get("PENSTOCK_OUTPUT", DEFAULT_OUTPUT)
    try:
        text = call(_read_input(settings.get("PENSTOCK_INPUT", DEFAULT_INPUT)))
    except AgentError as failure:
        declare_failure(target, failure)
        return EXIT_FAILED
    write_atomically(target, text)
    return EXIT_DONE


def declare_failure(target: str, failure: AgentError) -> None:
    """Write a failure as the output document, and tell it to the log."""
    write_atomically(target, json.dumps(failure.as_output(), ensure_ascii=False))
    sys.stderr.write(f"failed: {failure}\n")


def dumped(result: object, output_model: type[OutputT]) -> str:
    """Give an output as JSON text.

    Raises:
        TypeError: It is something else than `output_model`.
    """
    if not isinstance(result, output_model):
        raise TypeError(f"handler returned {type(result).__name__}, not {output_model.__name__}")
    return result.model_dump_json()


def _read_input(path: str) -> object:
    try:
        with Path(path).open("rb") as source:
            raw = source.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise AgentError("input_unreadable", f"no input: {error.strerror}") from error
    if len(raw) > MAX_INPUT_BYTES:
        raise AgentError("input_too_large", f"input is over {MAX_INPUT_BYTES} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        # The decoder's own message names a position only; the text itself may hold a secret.
        where = f" at byte {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise AgentError("invalid_input", f"input is not JSON{where}") from error


def validated(input_model: type[InputT], payload: object) -> InputT:
    """Build the input model.

    Raises:
        AgentError: It does not fit; the message names fields and never values.
    """
    try:
        return input_model.model_validate(payload)
    except ValueError as error:
        raise AgentError("invalid_input", _described(error)) from error


def _described(error: ValueError) -> str:
    """Field and reason of each error, without the offending value."""
    details: Callable[..., list[dict[str, Any]]] | None = getattr(error, "errors", None)
    if details is None:
        return "input does not match the schema"
    found = details(include_url=False, include_input=False, include_context=False)
    lines = [
        f"{'.'.join(str(part) for part in item['loc']) or 'input'}: {item['msg']}"
        for item in found[:MAX_REPORTED_ERRORS]
    ]
    if len(found) > MAX_REPORTED_ERRORS:
        lines.append(f"and {len(found) - MAX_REPORTED_ERRORS} more")
    return "; ".join(lines)


def write_atomically(path: str, text: str) -> None:
    """Write a file so that a reader sees all of it or none.

    Falls back to writing in place where the target is itself a mount point.

    Raises:
        OSError: The target can be written in neither way.
    """
    data = text.encode()
    target = Path(path)
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno not in _NO_RENAME:
            raise
        target.write_bytes(data)
