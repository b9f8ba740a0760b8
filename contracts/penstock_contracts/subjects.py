"""Every subject and stream name, built and parsed here and nowhere else.

The table of streams with owners and settings is in `docs/architecture`; a literal subject in
any other module fails the architecture tests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from penstock_contracts.values import SYSTEM_TENANT

ROOT = "penstock"
SHARD_CHARS = 3  # of a hexadecimal id: 4,096 shards
_TOKEN_BREAKERS = frozenset(" \t\r\n.*>")


class Stream(StrEnum):
    """The JetStream streams."""

    TRIGGERS = "TRIGGERS"
    CATALOG = "CATALOG"
    RUNS = "RUNS"
    TASKS = "TASKS"
    APPROVALS = "APPROVALS"
    EVENTS = "EVENTS"
    LOGS = "LOGS"
    DEAD = "DEAD"


STREAM_SUBJECTS: dict[Stream, tuple[str, ...]] = {
    Stream.TRIGGERS: (f"{ROOT}.*.trigger.>",),
    Stream.CATALOG: (f"{ROOT}.*.catalog.*.*.*",),
    Stream.RUNS: (f"{ROOT}.*.run.*.*.*",),
    Stream.TASKS: (f"{ROOT}.*.task.*.*.*",),
    Stream.APPROVALS: (f"{ROOT}.*.approval.*.*",),
    Stream.EVENTS: (f"{ROOT}.*.event.*.*.*", f"{ROOT}.{SYSTEM_TENANT}.relay.*"),
    Stream.LOGS: (f"{ROOT}.*.log.*.*",),
    Stream.DEAD: (f"{ROOT}.*.dead.>",),
}
HEARTBEAT_BUCKET = "heartbeats"  # KV: executor name -> capacity and health
ARTIFACT_BUCKET = "artifacts"  # object store: transport and cache of artifacts
ARTIFACT_STREAM = f"OBJ_{ARTIFACT_BUCKET}"
ARTIFACT_CHUNKS = f"$O.{ARTIFACT_BUCKET}.C."  # and the object's own number
ARTIFACT_HEADS = f"$O.{ARTIFACT_BUCKET}.M."  # and the object's name in base64
CATALOG_PARTITION = "catalog"
APPROVAL_PARTITION = "approval"
GATEWAY_PARTITION = "projection-gateway"
GATEWAY_SOURCE = "gateway"  # first token of triggers that only the gateway may publish


def run_partition(number: int) -> str:
    """Name of run partition `number`, counted from 0."""
    return f"run-{number}"


def run_partition_count(names: Iterable[str]) -> int:
    """Give how many run partitions there must be for all of `names` to be among them."""
    prefix = run_partition(0)[:-1]
    numbers = [int(name[len(prefix) :]) for name in names if name.startswith(prefix)]
    return max(numbers, default=-1) + 1


def token(text: str) -> str:
    """Check that `text` may stand as one subject token.

    Raises:
        ValueError: it is empty or has a dot, a wildcard or white space.
    """
    if not text or not _TOKEN_BREAKERS.isdisjoint(text):
        raise ValueError(f"not a subject token: {text!r}")
    return text


def trigger(tenant: str, path: str) -> str:
    """Subject for a trigger; `path` is the source and further tokens, as in `nats.push.main`."""
    for part in path.split("."):
        token(part)
    return f"{ROOT}.{token(tenant)}.trigger.{path}"


def gateway_trigger(tenant: str, path: str) -> str:
    """Subject for a trigger from the gateway, which says who asked; `path` as in `trigger`.

    Rules and start by name see the path alone.
    """
    return trigger(tenant, f"{GATEWAY_SOURCE}.{path}")


def gateway_triggers(tenant: str) -> tuple[str, ...]:
    """Patterns of everything under the gateway's own token."""
    mine = trigger(tenant, GATEWAY_SOURCE)
    return (mine, f"{mine}.>")


def catalog(tenant: str, kind: str, name: str, command: str) -> str:
    """Subject for a command to the catalog about the `kind` called `name`."""
    return f"{ROOT}.{token(tenant)}.catalog.{token(kind)}.{token(name)}.{token(command)}"


def executor_token(name: str) -> str:
    """Give an executor's name as one token: host names have dots."""
    return token(name.replace(".", "-"))


def breaker_report(tenant: str, executor: str) -> str:
    """Subject by which `executor` says how its breaker stands: a command to the catalog."""
    return catalog(tenant, "executor", executor_token(executor), "report_breaker")


def run(tenant: str, partition: str, run_id: str, command: str) -> str:
    """Subject for a command to a run that lives in `partition`."""
    return f"{ROOT}.{token(tenant)}.run.{token(partition)}.{token(run_id)}.{token(command)}"


def task(tenant: str, pool: str, agent: str, task_id: str) -> str:
    """Subject that holds at most one message: the task itself."""
    return f"{ROOT}.{token(tenant)}.task.{token(pool)}.{token(agent)}.{token(task_id)}"


def approval(tenant: str, approval_id: str, command: str) -> str:
    """Subject for a command to an approval."""
    return f"{ROOT}.{token(tenant)}.approval.{token(approval_id)}.{token(command)}"


def event(tenant: str, kind: str, aggregate_id: str, event_type: str) -> str:
    """Subject of a published event; `event_type` is one token such as `node_failed`."""
    shard = shard_of(aggregate_id)
    return f"{ROOT}.{token(tenant)}.event.{token(kind)}.{shard}.{token(event_type)}"


def shard_of(aggregate_id: str) -> str:
    """Give the token that stands for an aggregate in the subjects of its events.

    A server keeps every subject of a stream in memory, and EVENTS keeps a year: one of its own for
    each run would cost it kilobytes a run (ADR 0035). Ids are derived by a hash, so their
    beginnings are even; whoever wants one aggregate asks for its shard and takes what is its own.
    """
    return token(aggregate_id)[:SHARD_CHARS]


def relay_marker(partition: str) -> str:
    """Subject of the markers that fence the relay of `partition`."""
    return f"{ROOT}.{SYSTEM_TENANT}.relay.{token(partition)}"


def log(tenant: str, run_id: str, node: str) -> str:
    """Subject of an agent's redacted output lines."""
    return f"{ROOT}.{token(tenant)}.log.{token(run_id)}.{token(node)}"


def dead(tenant: str, stream: Stream, rest: str) -> str:
    """Subject under which a message that could not be processed is kept."""
    return f"{ROOT}.{token(tenant)}.dead.{stream.value}.{rest}"


def control(tenant: str, task_id: str, verb: str) -> str:
    """Core subject (no stream) that reaches the executor of a task: `cancel` or `claim`."""
    return f"{ROOT}.{token(tenant)}.control.{token(task_id)}.{token(verb)}"


def runs_of_partition(partition: str) -> str:
    """Filter for all commands to the runs of `partition`, of every tenant."""
    return f"{ROOT}.*.run.{token(partition)}.*.*"


def tasks_of_pool(pool: str) -> str:
    """Filter for all tasks of `pool`, of every tenant."""
    return f"{ROOT}.*.task.{token(pool)}.*.*"


def events_of(tenant: str, kind: str = "*", aggregate_id: str = "", event_type: str = "*") -> str:
    """Filter for published events, by kind, by the shard of an aggregate, and by type."""
    shard = shard_of(aggregate_id) if aggregate_id else "*"
    return f"{ROOT}.{tenant}.event.{kind}.{shard}.{event_type}"


def logs_of(tenant: str, run_id: str) -> str:
    """Filter for all log lines of a run."""
    return f"{ROOT}.{token(tenant)}.log.{token(run_id)}.*"


def control_filter(tenant: str = "*", verb: str = "*") -> str:
    """Filter for control messages to executors."""
    return f"{ROOT}.{tenant}.control.*.{verb}"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed subject.

    Attributes:
        tenant: isolation boundary.
        kind: second token: trigger, catalog, run, task, approval, event, log, dead, control, relay.
        rest: the remaining tokens.
    """

    tenant: str
    kind: str
    rest: tuple[str, ...]


def parse(subject: str) -> Address:
    """Split a subject of ours.

    Raises:
        ValueError: it is not below the root, or too short.
    """
    tokens = subject.split(".")
    if len(tokens) < 4 or tokens[0] != ROOT:
        raise ValueError(f"not a Penstock subject: {subject!r}")
    return Address(tokens[1], tokens[2], tuple(tokens[3:]))


def matches(pattern: str, path: str) -> bool:
    """Tell whether `path` fits `pattern` with the wildcards `*` (one token) and `>` (the rest)."""
    wanted, given = pattern.split("."), path.split(".")
    for index, want in enumerate(wanted):
        if want == ">":
            return len(given) > index
        if index >= len(given) or want not in ("*", given[index]):
            return False
    return len(wanted) == len(given)
