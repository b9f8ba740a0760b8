"""Fields that every log line of a piece of work carries: run, node, task, trace.

Services log with the standard library: `logging.getLogger(__name__).info("task done",
extra={"exit_code": 0})`. Fields bound here are added to each line written inside the `with`.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

FieldValue = str | int | float | bool | None

_NONE: Mapping[str, FieldValue] = {}
_bound: ContextVar[Mapping[str, FieldValue]] = ContextVar("penstock_log_fields", default=_NONE)


@contextmanager
def bound(**fields: FieldValue) -> Generator[None]:
    """Add `fields` to every log line written inside; asyncio tasks started inside inherit them.

    The names used everywhere: `run`, `node`, `task`, `attempt`, `agent`, `trace`, `tenant`,
    `partition`, `workflow`, `approval`.
    """
    reset = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(reset)


def bind(**fields: FieldValue) -> None:
    """Add `fields` for the rest of the current asyncio task (each task has its own copy)."""
    _ = _bound.set({**_bound.get(), **fields})


def bound_fields() -> Mapping[str, FieldValue]:
    """Give what is bound here and now."""
    return _bound.get()
