"""Every channel of the bus, who may publish there and who reads it: from the code's own tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock_contracts import subjects
from penstock_contracts.partition.v1 import Marker, RedriveMessages
from penstock_contracts.permissions import (
    API,
    OWNED_STREAMS,
    BusUser,
    Permissions,
    permission_table,
)
from penstock_contracts.registry import COMMANDS, EVENTS, kind_of, name_of
from penstock_contracts.subjects import Stream, matches
from penstock_contracts.task import v1 as task

DURABLE = "tasks-default"
SAMPLE_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Channel:
    """A family of subjects that carry the same kind of message.

    Attributes:
        key: name within the document.
        stream: JetStream stream that holds it; None for a core subject.
        address: the subject with `{parameter}` tokens.
        parameters: what each parameter is.
        messages: message type -> a sample of the subject that carries it. Empty: any JSON.
        more_samples: further subjects that carry all of them, where a permission tells them apart.
    """

    key: str
    stream: Stream | None
    address: str
    summary: str
    parameters: dict[str, str]
    messages: dict[str, str]
    more_samples: tuple[str, ...] = ()


TENANT = "the isolation boundary"
RUN_COMMANDS = [name for name in COMMANDS if kind_of(name) == "run"]
APPROVAL_COMMANDS = [name for name in COMMANDS if kind_of(name) == "approval"]
CATALOG_COMMANDS = [
    name for name in COMMANDS if kind_of(name) not in ("run", "approval", "partition")
]
REDRIVE = RedriveMessages.TYPE


def _commands(types: list[str], subject: Callable[[str, str], str]) -> dict[str, str]:
    return {name: subject(kind_of(name), name_of(name)) for name in types}


def channels() -> list[Channel]:
    """Gives all channels, those of streams in the order of `Stream` first."""
    return [
        *_triggers(),
        *_inputs(),
        _tasks(),
        _events(),
        _markers(),
        _logs(),
        _dead(),
        *_control(),
    ]


def _triggers() -> list[Channel]:
    return [
        Channel(
            "triggers",
            Stream.TRIGGERS,
            subjects.trigger("{tenant}", "{path}"),
            "Asks for work: any JSON, or a CloudEvent 1.0 in structured or binary mode.",
            {"tenant": TENANT, "path": "the source and further tokens, as in `ci.build.failed`"},
            {},
        ),
        Channel(
            "gateway-triggers",
            Stream.TRIGGERS,
            subjects.gateway_trigger("{tenant}", "{path}"),
            "Triggers that came over HTTP. The gateway alone may publish here, so their `actor` is "
            "who asked; of every other trigger it is `trigger:` and the source.",
            {"tenant": TENANT, "path": "as of other triggers; rules see it without `gateway`"},
            {},
        ),
    ]


def _inputs() -> list[Channel]:
    return [
        Channel(
            "catalog",
            Stream.CATALOG,
            subjects.catalog("{tenant}", "{kind}", "{name}", "{command}"),
            "Commands about agents, workflows, tokens, triggers and executors.",
            {
                "tenant": TENANT,
                "kind": "`agent`, `workflow`, `token`, `trigger`, `executor`, or `parked`",
                "name": "the entry's name; of a trigger or parked message its aggregate id",
                "command": "middle token of the message's type",
            },
            _commands(
                [*CATALOG_COMMANDS, REDRIVE],
                lambda kind, name: subjects.catalog(SAMPLE_TENANT, kind, "x", name),
            ),
        ),
        Channel(
            "runs",
            Stream.RUNS,
            subjects.run("{tenant}", "{partition}", "{run_id}", "{command}"),
            "Commands to runs.",
            {
                "tenant": TENANT,
                "partition": "the run's partition, as in `run-0`",
                "run_id": "id of the run",
                "command": "middle token of the message's type",
            },
            _commands(
                [*RUN_COMMANDS, REDRIVE],
                lambda _, name: subjects.run(SAMPLE_TENANT, "run-0", "x", name),
            ),
        ),
        Channel(
            "approvals",
            Stream.APPROVALS,
            subjects.approval("{tenant}", "{approval_id}", "{command}"),
            "Commands to approvals.",
            {
                "tenant": TENANT,
                "approval_id": "id of the approval",
                "command": "middle token of the message's type",
            },
            _commands(
                [*APPROVAL_COMMANDS, REDRIVE],
                lambda _, name: subjects.approval(SAMPLE_TENANT, "x", name),
            ),
        ),
    ]


def _tasks() -> Channel:
    return Channel(
        "tasks",
        Stream.TASKS,
        subjects.task("{tenant}", "{pool}", "{agent}", "{task_id}"),
        "The work queue: a subject holds one task, and purging it cancels the task.",
        {
            "tenant": TENANT,
            "pool": "executors that may take it",
            "agent": "the agent's name",
            "task_id": "id of the task",
        },
        {task.TASK_TYPE: subjects.task(SAMPLE_TENANT, "default", "x", "x")},
    )


def _events() -> Channel:
    return Channel(
        "events",
        Stream.EVENTS,
        subjects.event("{tenant}", "{kind}", "ids", "{type}").replace(".ids.", ".{shard}."),
        "Every fact, in store order for each partition; subscribe live or from any past sequence.",
        {
            "tenant": TENANT,
            "kind": "first token of the event's type",
            "shard": f"the first {subjects.SHARD_CHARS} characters of the aggregate's id",
            "type": "middle token of the event's type",
        },
        {name: subjects.event(SAMPLE_TENANT, kind_of(name), "x", name_of(name)) for name in EVENTS},
    )


def _markers() -> Channel:
    return Channel(
        "markers",
        Stream.EVENTS,
        subjects.relay_marker("{partition}"),
        "Ends of relayed units: how far a partition's events have been published.",
        {"partition": "the partition that was relayed"},
        {Marker.TYPE: subjects.relay_marker("run-0")},
        (subjects.relay_marker(subjects.APPROVAL_PARTITION),),
    )


def _logs() -> Channel:
    return Channel(
        "logs",
        Stream.LOGS,
        subjects.log("{tenant}", "{run_id}", "{node}"),
        "Redacted output of agents.",
        {"tenant": TENANT, "run_id": "id of the run", "node": "name of the node"},
        {task.LOG_TYPE: subjects.log(SAMPLE_TENANT, "x", "x")},
    )


def _dead() -> Channel:
    return Channel(
        "dead",
        Stream.DEAD,
        subjects.dead("{tenant}", Stream.RUNS, "{rest}").replace(Stream.RUNS, "{stream}"),
        "What could not be processed, with its reason: data of `partition.message_parked.v1`.",
        {
            "tenant": TENANT,
            "stream": "the stream it was on",
            "rest": "its subject there, or what names it",
        },
        {},
    )


def _control() -> list[Channel]:
    types = {"cancel": task.CANCEL_TYPE, "claim": task.CLAIM_ANSWER_TYPE}
    texts = {
        "cancel": "Stop a task's sandbox.",
        "claim": "The answer to a claim: granted to one nonce for ever.",
    }
    return [
        Channel(
            f"control_{verb}",
            None,
            subjects.control("{tenant}", "{task_id}", verb),
            texts[verb],
            {"tenant": TENANT, "task_id": "id of the task"},
            {message: subjects.control(SAMPLE_TENANT, "x", verb)},
        )
        for verb, message in types.items()
    ]


def services() -> dict[BusUser, Permissions]:
    """Gives the permissions of everyone but the administrator."""
    table = permission_table(durable=DURABLE)
    return {user: given for user, given in table.items() if user is not BusUser.ADMIN}


def sample_subject(channel: Channel) -> str:
    """Gives a subject of the channel, for one that carries any message."""
    if channel.messages:
        return next(iter(channel.messages.values()))
    filled = channel.address.replace("{tenant}", SAMPLE_TENANT)
    filled = filled.replace("{stream}", Stream.RUNS.value)
    for name in channel.parameters:
        filled = filled.replace(f"{{{name}}}", "x")
    return filled


def may_publish(given: Permissions, subject: str) -> bool:
    """Tells whether permissions allow a subject."""
    allowed = any(matches(pattern, subject) for pattern in given.publish)
    return allowed and not any(matches(pattern, subject) for pattern in given.publish_deny)


def sends(given: Permissions, channel: Channel) -> list[str] | None:
    """Gives the message types somebody may publish on a channel; None: nothing at all."""
    if not channel.messages:
        return [] if may_publish(given, sample_subject(channel)) else None
    if any(may_publish(given, subject) for subject in channel.more_samples):
        return list(channel.messages)
    types = [name for name, subject in channel.messages.items() if may_publish(given, subject)]
    return types or None


def reads(given: Permissions, channel: Channel) -> bool:
    """Tells whether somebody may read a channel: by a consumer, or by subscribing."""
    if channel.stream is None:
        return any(matches(pattern, sample_subject(channel)) for pattern in given.subscribe)
    pull = f"{API}.CONSUMER.MSG.NEXT.{channel.stream.value}.{DURABLE}"
    return any(matches(pattern, pull) for pattern in given.publish)


def owner_of(stream: Stream) -> BusUser:
    """Gives who creates a stream and may purge it."""
    return next(user for user, owned in OWNED_STREAMS.items() if stream in owned)
