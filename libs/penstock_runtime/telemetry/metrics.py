"""Every metric of Penstock: its name with its unit, its labels, its buckets; and the port.

A metric is declared here and nowhere else. Labels are few and bounded: never an id, never text
that a user wrote freely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a metric does."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` ends in its unit, a counter's in `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Metrics(Protocol):
    """Where measurements go. Labels are given in the order of `Metric.labels`."""

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        ...

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a histogram."""
        ...


class NoMetrics:
    """Drops every measurement."""

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Do nothing."""

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Do nothing."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Do nothing."""


FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
SLOW_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
WAITS_S = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 604800.0)
BATCH = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


def unit_of(metric: Metric) -> str:
    """Name what is measured: the unit in the name, or else the thing that is counted."""
    name = metric.name.removeprefix("penstock_").removesuffix("_total")
    return next((unit for unit in UNITS if name.endswith(f"_{unit}")), COUNTED_OR_STATE)


UNITS = ("timestamp_seconds", "seconds", "bytes", "messages", "events", "tasks", "number")
COUNTED_OR_STATE = "1"


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"penstock_{name}_total", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"penstock_{name}", Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"penstock_{name}", Kind.HISTOGRAM, text, labels, buckets)


# Every service
UP = _gauge("service_ready", "1 while the service is ready")
LOOP_LAG = _histogram("event_loop_lag_seconds", "how late the event loop wakes", FAST_S)
NATS_CONNECTED = _gauge("nats_connected", "1 while the NATS connection stands")
NATS_ERRORS = _counter("nats_errors", "asynchronous errors of the NATS client", "kind")
PUBLISHED = _counter("bus_published", "messages published, by outcome", "stream", "outcome")
ACK_FAILURES = _counter("bus_ack_failures", "acknowledgements that did not arrive", "stream")
TELEMETRY_DROPPED = _counter(
    "telemetry_dropped", "spans and log records that no collector took", "signal"
)
SAMPLE_FAILURES = _counter("sample_failures", "gauges that could not be read just then", "kind")

# Partition owners: scheduler and approval
CONSUMED = _counter("inbox_messages", "messages taken from an inbox", "partition")
BATCH_MESSAGES = _histogram("inbox_batch_messages", "messages in one batch", BATCH, "partition")
INBOX_LAG = _gauge(
    "inbox_lag_messages", "messages behind the last one decided, as it was delivered", "partition"
)
INBOX_OLDEST = _gauge(
    "inbox_oldest_timestamp_seconds", "when the oldest undecided message came; 0: none", "partition"
)
DECIDE_SECONDS = _histogram("decide_seconds", "deciding one batch", FAST_S, "partition")
COMMIT_SECONDS = _histogram("commit_seconds", "one commit", FAST_S, "partition")
COMMIT_EVENTS = _histogram("commit_events", "events in one commit", BATCH, "partition")
COMMITTED = _counter("events_committed", "events committed", "partition")
REJECTED = _counter("commands_rejected", "commands refused, by code", "partition", "code")
PARKED = _counter("messages_parked", "messages parked", "partition", "code")
FENCED = _counter("fenced", "times an owner had to step down", "partition")
EPOCHS_ENDED = _counter("epochs_ended", "epochs that a fault ended, by fault", "partition", "fault")
OWNED = _gauge("partition_owned", "1 while this instance owns the partition", "partition")
EPOCH = _gauge("partition_epoch", "epoch of the partition", "partition")
EVENT_NUMBER = _gauge("partition_event_number", "last event n of the partition", "partition")
RELAYED_NUMBER = _gauge("relay_event_number", "last relayed event n", "partition")
RELAY_OLDEST = _gauge(
    "relay_oldest_timestamp_seconds", "when the oldest unrelayed event was committed; 0: none",
    "partition",
)  # fmt: skip
RELAY_SECONDS = _histogram("relay_unit_seconds", "relaying one unit", FAST_S, "partition")
EFFECTS = _counter("effects_published", "effects published, by kind", "partition", "kind")
OPEN_AGGREGATES = _gauge("open_aggregates", "aggregates that wait for something", "partition")
TIMERS_FIRED = _counter("timers_fired", "due times that were decided", "partition")
INCARNATIONS = _counter("stream_incarnations", "streams found to be another one", "stream")
TRIGGERS_DECIDED = _counter("triggers_decided", "triggers that were matched or ignored", "outcome")
RUNS_STARTED = _counter("runs_started", "runs that began")
RUNS_ENDED = _counter("runs_ended", "runs that ended, by outcome", "outcome")
RUN_SECONDS = _histogram("run_seconds", "start to end of a run", SLOW_S, "outcome")
ATTEMPTS_FAILED = _counter("attempts_failed", "attempts of nodes that failed, by code", "code")
OUTCOMES_UNKNOWN = _counter("outcomes_unknown", "attempts whose effect a person has to look up")
APPROVALS_REQUESTED = _counter("approvals_requested", "approvals that people were asked for")
APPROVALS_SETTLED = _counter("approvals_settled", "approvals settled, by outcome", "outcome")
APPROVAL_SECONDS = _histogram("approval_seconds", "request to outcome", WAITS_S, "outcome")
VOTES = _counter("approval_votes", "votes of people, by choice", "choice")

# What is owned, looked at now and then: the queue of tasks, streams, database
TASKS_QUEUED = _gauge("tasks_queued", "tasks that no executor has taken", "pool")
TASKS_IN_FLIGHT = _gauge("tasks_in_flight", "tasks delivered and not acknowledged", "pool")
STREAM_MESSAGES = _gauge("stream_messages", "messages a stream holds", "stream")
STREAM_BYTES = _gauge("stream_bytes", "bytes a stream holds", "stream")
STREAM_LIMIT = _gauge("stream_limit_bytes", "most bytes it may hold; 0: no bound", "stream")
DATABASE_BYTES = _gauge("database_bytes", "size of the service's database on disk")
STORE_CALLS = _gauge("store_calls", "calls to the database running or waiting", "pool")
STORE_CONNECTIONS = _gauge("store_connections", "connections that run those calls", "pool")

# Artifacts: what the scheduler has safe, and puts back
ARTIFACTS_KEPT = _counter("artifacts_kept", "artifacts of results, by what came of them", "outcome")
ARTIFACTS_KEPT_BYTES = _counter("artifacts_kept_bytes", "bytes of artifacts made durable")
ARTIFACT_KEEP_SECONDS = _histogram("artifact_keep_seconds", "keeping one result's artifacts", SLOW_S)  # fmt: skip  # noqa: E501
ARTIFACTS_BROUGHT_BACK = _counter("artifacts_brought_back", "artifacts put back, by outcome", "outcome")  # fmt: skip  # noqa: E501
ARTIFACTS_PRUNED = _counter("artifacts_pruned", "artifacts whose time was over")
ARTIFACT_QUEUE = _gauge("artifact_queue_number", "questions about artifacts that wait or are in work")  # fmt: skip  # noqa: E501

# Executor
TASKS_TAKEN = _counter("tasks_taken", "tasks taken from the queue", "pool")
TASKS_RUNNING = _gauge("tasks_running", "tasks in work", "pool")
TASKS_ENDED = _counter("tasks_ended", "tasks ended, by outcome or code", "pool", "agent", "outcome")
TASK_SECONDS = _histogram("task_seconds", "one task in its sandbox", SLOW_S, "pool", "agent")
TASK_QUEUE_SECONDS = _histogram("task_queue_seconds", "queueing of a task to its start", SLOW_S, "pool")  # fmt: skip  # noqa: E501
TASKS_GIVEN_BACK = _counter("tasks_given_back", "tasks given back to the queue", "pool", "reason")
TASKS_DEAD = _counter("tasks_dead", "tasks that could not be read", "pool")
CLAIMS = _counter("claims", "claims of `once` tasks, by answer", "answer")
LOG_LINES = _counter("task_log_lines", "lines that agents printed", "pool")
LOG_LINES_DROPPED = _counter("task_log_lines_dropped", "lines dropped at a bound", "pool")
SANDBOX_AVAILABLE = _gauge("sandbox_available", "1 while tasks can run here", "adapter")
SANDBOX_DEGRADED = _gauge("sandbox_degraded", "1 while it lacks some of its isolation", "adapter")
SANDBOX_FAILURES = _counter("sandbox_failures", "times it failed, by kind", "adapter", "kind")
BREAKER_STATE = _gauge(
    "sandbox_breaker_state", "1 for the state its circuit breaker is in", "adapter", "state"
)
BREAKER_OPENED = _counter("sandbox_breaker_opened", "times its breaker opened", "adapter")
ARTIFACTS_LEFT = _counter("artifacts_left", "artifacts that tasks left, by outcome", "pool", "outcome")  # fmt: skip  # noqa: E501
ARTIFACTS_LEFT_BYTES = _counter("artifacts_left_bytes", "bytes of them sent to the object store", "pool")  # fmt: skip  # noqa: E501
ARTIFACTS_FETCHED = _counter("artifacts_fetched", "artifacts that tasks were given, by outcome", "pool", "outcome")  # fmt: skip  # noqa: E501
CAPACITY = _gauge("executor_capacity_tasks", "tasks this executor runs at once", "pool")
DISK_FREE = _gauge("disk_free_bytes", "free on the file system of a folder", "folder")
DISK_SIZE = _gauge("disk_size_bytes", "size of the file system of a folder", "folder")

# Gateway
HTTP_REQUESTS = _counter("http_requests", "requests, by route and status", "method", "route", "status")  # fmt: skip  # noqa: E501
HTTP_SECONDS = _histogram("http_request_seconds", "one request", FAST_S, "method", "route")
HTTP_OPEN = _gauge("http_requests_open", "requests in work, live streams included", "route")
RATE_LIMITED = _counter("http_rate_limited", "requests refused by the rate limit")
PROJECTED_NUMBER = _gauge("projection_event_number", "last event n applied", "partition")
PROJECTION_LAG = _gauge("projection_lag_seconds", "age of the oldest marker not reached", "partition")  # fmt: skip  # noqa: E501
APPROVALS_WAITING = _gauge("approvals_waiting", "approvals that people have not settled")
APPROVAL_OLDEST = _gauge(
    "approval_oldest_timestamp_seconds", "when the longest waiting was asked for; 0: none"
)

ALL: Sequence[Metric] = tuple(value for value in globals().values() if isinstance(value, Metric))
