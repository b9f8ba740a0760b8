"""Who may say what on the bus: one table, from which every server's configuration is generated.

Each connection has its own user and inbox prefix. A stream is created, configured, purged and
read by its owner alone; others get the few subjects below. Two kinds of command are kept apart
even from the owner of the stream they travel on: only the approval service publishes decisions,
only the gateway publishes votes. And only the gateway publishes below its own token of TRIGGERS,
where a trigger is believed when it says who asked for it.

A limit of the server that shapes this table: the subject to which a request asks to be answered is
not checked against the requester's permissions. So whoever may request anything can put the
server's answer (an acknowledgement, a status) on any subject, where it is no CloudEvent and is
parked; and whoever pulls can put the pulled message there unchanged. Therefore nobody but an owner
pulls from a stream it writes to, nobody has direct reads of such a stream, and a consumer believes
a command's own type, never the subject it came by.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from penstock_contracts.approval import v1 as approval_v1
from penstock_contracts.executor import v1 as executor_v1
from penstock_contracts.partition import v1 as partition_v1
from penstock_contracts.run import v1 as run_v1
from penstock_contracts.subjects import (
    APPROVAL_PARTITION,
    ARTIFACT_CHUNKS,
    ARTIFACT_HEADS,
    ARTIFACT_STREAM,
    HEARTBEAT_BUCKET,
    ROOT,
    Stream,
    gateway_triggers,
    relay_marker,
)
from penstock_contracts.values import DEFAULT_TENANT, SYSTEM_TENANT

API = "$JS.API"
ANY = ">"
HEARTBEAT_STREAM = f"KV_{HEARTBEAT_BUCKET}"
HEARTBEAT_KEYS = f"$KV.{HEARTBEAT_BUCKET}.>"
ARTIFACT_OBJECTS = (f"{ARTIFACT_CHUNKS}>", f"{ARTIFACT_HEADS}>")


class BusUser(StrEnum):
    """The users of the bus; services first."""

    SCHEDULER = "scheduler"
    EXECUTOR = "executor"
    APPROVAL = "approval"
    GATEWAY = "gateway"
    TRIGGER = "trigger"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects one user may publish to and subscribe to; what is not listed is refused.

    Attributes:
        publish: patterns allowed for publishing, requests to JetStream included.
        publish_deny: patterns taken out of `publish` again.
        subscribe: patterns allowed for subscribing.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    publish_deny: tuple[str, ...] = field(default=())


OWNED_STREAMS: dict[BusUser, tuple[Stream, ...]] = {
    BusUser.SCHEDULER: (
        Stream.TRIGGERS,
        Stream.CATALOG,
        Stream.RUNS,
        Stream.TASKS,
        Stream.EVENTS,
        Stream.LOGS,
        Stream.DEAD,
    ),
    BusUser.APPROVAL: (Stream.APPROVALS,),
}
SCHEDULER_EVENT_KINDS = ("run", "workflow", "agent", "trigger", "token", "executor", "partition")
APPROVAL_EVENT_KINDS = ("approval", "partition")


def inbox_prefix(user: BusUser) -> str:
    """Prefix of the inboxes of `user`; nobody else may listen there."""
    return f"_INBOX_{user.value}"


def inbox(user: BusUser) -> str:
    """Pattern of all inboxes of `user`."""
    return f"{inbox_prefix(user)}.>"


def command_token(message_type: str) -> str:
    """Last token of a command's subject: `claim_task` for `run.claim_task.v1`."""
    return message_type.split(".")[1]


def _to_runs(*message_types: str) -> tuple[str, ...]:
    return tuple(f"{ROOT}.*.run.*.*.{command_token(name)}" for name in message_types)


def _to_approvals(*message_types: str) -> tuple[str, ...]:
    return tuple(f"{ROOT}.*.approval.*.{command_token(name)}" for name in message_types)


def _to_executors(*message_types: str) -> tuple[str, ...]:
    """Commands to the catalog about executors, and about nothing else it keeps."""
    return tuple(f"{ROOT}.*.catalog.executor.*.{command_token(name)}" for name in message_types)


def _events(*kinds: str) -> tuple[str, ...]:
    return tuple(f"{ROOT}.*.event.{kind}.>" for kind in kinds)


def _own(stream: str) -> tuple[str, ...]:
    """What the owner of `stream` asks JetStream for."""
    return (
        *(f"{API}.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "PURGE")),
        *_read(stream),
    )


def _read(stream: str) -> tuple[str, ...]:
    """Look at `stream` and read it through consumers of one's own."""
    return (
        f"{API}.STREAM.INFO.{stream}",
        f"{API}.STREAM.MSG.GET.{stream}",
        f"{API}.CONSUMER.CREATE.{stream}",
        f"{API}.CONSUMER.CREATE.{stream}.>",
        f"{API}.CONSUMER.DURABLE.CREATE.{stream}.*",
        f"{API}.CONSUMER.INFO.{stream}.*",
        f"{API}.CONSUMER.DELETE.{stream}.*",
        f"{API}.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.ACK.{stream}.>",
    )


def _look(stream: str) -> tuple[str, ...]:
    """Look at `stream` and at single messages, without a consumer."""
    return (f"{API}.STREAM.INFO.{stream}", f"{API}.STREAM.MSG.GET.{stream}")


def _any_marker() -> str:
    return f"{ROOT}.{SYSTEM_TENANT}.relay.*"


def _scheduler() -> Permissions:
    owned = (s for stream in OWNED_STREAMS[BusUser.SCHEDULER] for s in _own(stream.value))
    return Permissions(
        publish=(
            *owned,
            *_own(HEARTBEAT_STREAM),
            *_own(ARTIFACT_STREAM),
            *ARTIFACT_OBJECTS,
            f"{API}.DIRECT.GET.{HEARTBEAT_STREAM}.>",
            f"$JS.FC.{HEARTBEAT_STREAM}.>",
            f"{ROOT}.*.task.>",
            f"{ROOT}.*.trigger.>",  # redrive puts parked triggers back
            f"{ROOT}.*.run.>",
            f"{ROOT}.*.catalog.>",
            *_to_approvals(
                approval_v1.RequestApproval.TYPE,
                approval_v1.WithdrawApproval.TYPE,
            ),
            *_events(*SCHEDULER_EVENT_KINDS),
            _any_marker(),
            f"{ROOT}.*.dead.>",
            f"{ROOT}.*.control.>",
        ),
        publish_deny=(
            *_to_runs(run_v1.ApplyDecision.TYPE),
            relay_marker(APPROVAL_PARTITION),
        ),
        subscribe=(inbox(BusUser.SCHEDULER),),
    )


def _executor(durable: str) -> Permissions:
    return Permissions(
        publish=(
            f"{API}.CONSUMER.MSG.NEXT.{Stream.TASKS.value}.{durable}",
            f"{API}.CONSUMER.INFO.{Stream.TASKS.value}.{durable}",
            f"$JS.ACK.{Stream.TASKS.value}.{durable}.>",
            *_to_runs(
                run_v1.ClaimTask.TYPE,
                run_v1.ReportStarted.TYPE,
                run_v1.ReportResult.TYPE,
                run_v1.RestoreArtifact.TYPE,
            ),
            *_look(ARTIFACT_STREAM),
            *ARTIFACT_OBJECTS,
            *_to_executors(executor_v1.ReportBreaker.TYPE),
            f"{ROOT}.*.log.>",
            f"{ROOT}.*.dead.{Stream.TASKS.value}.>",
            f"{API}.STREAM.INFO.{HEARTBEAT_STREAM}",
            HEARTBEAT_KEYS,
        ),
        subscribe=(inbox(BusUser.EXECUTOR), f"{ROOT}.*.control.>"),
    )


def _approval() -> Permissions:
    owned = (s for stream in OWNED_STREAMS[BusUser.APPROVAL] for s in _own(stream.value))
    return Permissions(
        publish=(
            *owned,
            *_look(Stream.EVENTS.value),
            *_to_runs(run_v1.ApplyDecision.TYPE),
            *_to_approvals(  # redrive puts parked requests back
                approval_v1.RequestApproval.TYPE,
                approval_v1.WithdrawApproval.TYPE,
            ),
            *_events(*APPROVAL_EVENT_KINDS),
            relay_marker(APPROVAL_PARTITION),
            f"{ROOT}.*.dead.>",
        ),
        subscribe=(inbox(BusUser.APPROVAL),),
    )


def _gateway() -> Permissions:
    redrive = partition_v1.RedriveMessages.TYPE
    return Permissions(
        publish=(
            *_read(Stream.EVENTS.value),
            *_read(Stream.LOGS.value),
            *_look(HEARTBEAT_STREAM),
            *_look(ARTIFACT_STREAM),
            f"{ROOT}.*.trigger.>",
            f"{ROOT}.*.catalog.>",
            *_to_runs(
                run_v1.CancelRun.TYPE,
                run_v1.SettleOutcome.TYPE,
                run_v1.RestoreArtifact.TYPE,
                redrive,
            ),
            *_to_approvals(approval_v1.CastVote.TYPE, redrive),
        ),
        subscribe=(inbox(BusUser.GATEWAY),),
    )


def _trigger(tenant: str) -> Permissions:
    return Permissions(
        publish=(f"{ROOT}.{tenant}.trigger.>",),
        publish_deny=gateway_triggers(tenant),
        subscribe=(inbox(BusUser.TRIGGER),),
    )


def permission_table(
    tenant: str = DEFAULT_TENANT, durable: str = "*"
) -> dict[BusUser, Permissions]:
    """The whole table.

    Args:
        tenant: the one tenant whose triggers the trigger user may publish.
        durable: consumer of TASKS the executor may pull from: its pool's, or `*` on one machine.
    """
    return {
        BusUser.SCHEDULER: _scheduler(),
        BusUser.EXECUTOR: _executor(durable),
        BusUser.APPROVAL: _approval(),
        BusUser.GATEWAY: _gateway(),
        BusUser.TRIGGER: _trigger(tenant),
        BusUser.ADMIN: Permissions(publish=(ANY,), subscribe=(ANY,)),
    }
