"""Spans: what a service reports of one piece of work, and the port they go to.

A span's place in its trace is derived from facts (message, task, event) or drawn where there is
none; nothing of the protocol depends on it. Attributes hold ids, names and numbers, never payload.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from penstock_runtime.telemetry.trace import TraceContext

AttributeValue = str | int | float | bool

RUN_ID = "penstock.run_id"
NODE = "penstock.node"
TASK = "penstock.task"
ATTEMPT = "penstock.attempt"
AGENT = "penstock.agent"
APPROVAL_ID = "penstock.approval_id"
PARTITION = "penstock.partition"
TENANT = "penstock.tenant"
WORKFLOW = "penstock.workflow"
EVENTS = "penstock.events"
SYSTEM = "messaging.system"
OPERATION = "messaging.operation.type"
OPERATION_NAME = "messaging.operation.name"
DESTINATION = "messaging.destination.name"
MESSAGES = "messaging.batch.message_count"
NATS = "nats"  # no value of the conventions: they list none for it
LINKS_MAX = 32  # of one span
NO_ATTRIBUTES: Final[Mapping[str, AttributeValue]] = MappingProxyType({})


class SpanKind(StrEnum):
    """How a span stands to those beside it."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(NamedTuple):
    """A piece of work that has ended; a tuple, since a step makes several.

    Attributes:
        place: its own place in its trace.
        parent: span id of its parent; "" for the root.
        start_us: microseconds since the epoch; so is `end_us`.
        attributes: never changed once reported: spans of one piece of work may share them.
        links: places in other traces, or in this one, that it goes back to.
        fault: code of what went wrong; "" for nothing.
    """

    name: str
    place: TraceContext
    start_us: int
    end_us: int
    parent: str = ""
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, AttributeValue] = NO_ATTRIBUTES
    links: tuple[TraceContext, ...] = ()
    fault: str = ""


class Spans(Protocol):
    """Where spans go."""

    def wants(self, place: TraceContext) -> bool:
        """Tell whether spans of this trace are kept; the answer is the same in every service."""
        ...

    def place(self, header: str | None) -> TraceContext | None:
        """Give the place that a `traceparent` names, if it is valid and its trace is kept."""
        ...

    def report(self, span: Span) -> None:
        """Take a span of a trace that is wanted; never waits, and drops what finds no room."""
        ...


class NoSpans:
    """Wants none."""

    def wants(self, place: TraceContext) -> bool:
        """Say no."""
        del place
        return False

    def place(self, header: str | None) -> TraceContext | None:
        """Give none."""
        del header
        return None

    def report(self, span: Span) -> None:
        """Do nothing."""
