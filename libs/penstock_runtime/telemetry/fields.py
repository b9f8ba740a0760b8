"""Fields that every log line of a piece of work carries: run, node, task, trace.

Services log with the standard library: `logging.getLogger(__name__).info("task done",
extra={"exit_code": 0})`. Fields bound here are added to each line written inside the `with`.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from penstock_runtime.telemetry.trace import TraceContext

FieldValue = str | int | float | bool | None

_NONE: Mapping[str, FieldValue] = {}
_place: ContextVar[TraceContext | None] = ContextVar("penstock_place", default=None)
_bound: ContextVar[Mapping[str, FieldValue]] = ContextVar("penstock_log_fields", default=_NONE)


@contextmanager
def bound(**fields: FieldValue) -> Generator[None]:
    """Add `fields` to every log line written inside; asyncio tasks started inside inherit them.

    The names used everywhere: `run`, `node`, `task`, `attempt`, `agent`, `tenant`, `partition`,
    `workflow`, `approval`; and `trace` and `span`, which `placed` and `bind_place` add.
    """
    reset = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(reset)


def bind(**fields: FieldValue) -> None:
    """Add `fields` for the rest of the current asyncio task (each task has its own copy)."""
    _ = _bound.set({**_bound.get(), **fields})


@contextmanager
def placed(place: TraceContext | None) -> Generator[None]:
    """Say that what happens inside belongs to a span: log lines name it, exemplars its trace."""
    reset = _place.set(place)
    try:
        if place is None:
            yield
        else:
            with bound(trace=place.trace_id, span=place.span_id):
                yield
    finally:
        _place.reset(reset)


def bind_place(place: TraceContext | None) -> None:
    """Say the same for the rest of the current asyncio task."""
    _ = _place.set(place)
    if place is not None:
        bind(trace=place.trace_id, span=place.span_id)


def bound_place() -> TraceContext | None:
    """Give the span that what happens here and now belongs to."""
    return _place.get()


def bound_fields() -> Mapping[str, FieldValue]:
    """Give what is bound here and now."""
    return _bound.get()
