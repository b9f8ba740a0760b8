"""What an executor says: claims, starts, results, log lines, its breaker, and the unreadable."""

from pydantic_core import to_json

from penstock_contracts import subjects
from penstock_contracts.executor.v1 import ReportBreaker
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.run.v1 import ClaimTask, ReportResult, ReportStarted, RestoreArtifact
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import LOG_TYPE, Outcome
from penstock_contracts.values import DEFAULT_TENANT, TimeUs, Wire
from penstock_executor.intake import Delivery
from penstock_executor.outcomes import Ending
from penstock_runtime.ports.bus import Outgoing
from penstock_runtime.telemetry.trace import handling_of

_CLAIM = "claim_task"
_STARTED = "report_started"
_RESULT = "report_result"
_RESTORE = "restore_artifact"


class Messages:
    """Builds the messages of one executor. An id is the task's with what is said about it."""

    def __init__(self, executor: str) -> None:
        self.executor = executor
        self._source = f"penstock/executor/{executor}"

    def claim(self, delivery: Delivery, nonce: str) -> Outgoing:
        """Ask for the exclusive right to begin."""
        task = delivery.task
        body = ClaimTask(
            task_id=task.task_id,
            node=task.node,
            attempt=task.attempt,
            executor=self.executor,
            nonce=nonce,
            token=task.token,
        )
        return self._command(delivery, _CLAIM, body, nonce)

    def started(self, delivery: Delivery) -> Outgoing:
        """Say that the task still runs."""
        task = delivery.task
        body = ReportStarted(
            task_id=task.task_id,
            node=task.node,
            attempt=task.attempt,
            executor=self.executor,
            token=task.token,
        )
        return self._command(delivery, _STARTED, body)

    def result(self, delivery: Delivery, nonce: str | None, ending: Ending) -> Outgoing:
        """Say how the task ended."""
        task = delivery.task
        body = ReportResult.model_construct(  # checked where its parts were made
            task_id=task.task_id,
            node=task.node,
            attempt=task.attempt,
            phase=task.phase,
            executor=self.executor,
            token=task.token,
            nonce=nonce,
            outcome=Outcome.SUCCEEDED if ending.error is None else Outcome.FAILED,
            output=ending.output,
            plan=ending.plan,
            error=ending.error,
            usage=ending.usage,
            artifacts=ending.artifacts,
        )
        return self._command(delivery, _RESULT, body, nonce)

    def restore(self, delivery: Delivery, digest: str) -> Outgoing:
        """Ask for an artifact of the task's run that is missing."""
        body = RestoreArtifact(run_id=delivery.task.run_id, digest=digest)
        return self._command(delivery, _RESTORE, body, digest)

    def log(
        self, delivery: Delivery, first: int, at_us: TimeUs, lines: tuple[tuple[str, str], ...]
    ) -> Outgoing:
        """Pass on lines of the agent, already redacted."""
        task = delivery.task
        body = {
            "task_id": task.task_id,
            "node": task.node,
            "attempt": task.attempt,
            "first": first,
            "at_us": at_us,
            "lines": lines,
        }
        message_id = f"{task.task_id}/log/{first}"
        payload = self._encode(delivery, message_id, LOG_TYPE, task.run_id, body, None)
        return Outgoing(Stream.LOGS, subjects.log(delivery.tenant, task.run_id, task.node), payload)

    def dead(self, subject: str, parked: MessageParked) -> Outgoing:
        """Keep what could not be read."""
        envelope = {
            "specversion": "1.0",
            "id": parked.subject,
            "source": self._source,
            "type": MessageParked.TYPE,
            "actor": "service:executor",
            "tenant": subjects.parse(subject).tenant,
            "data": parked.to_data(),
        }
        return Outgoing(Stream.DEAD, subject, to_json(envelope))

    def breaker(self, report: ReportBreaker) -> Outgoing:
        """Tell the catalog how the breaker stands.

        Executors belong to the installation and not to a tenant of it: to the default one.
        """
        subject = subjects.breaker_report(DEFAULT_TENANT, self.executor)
        envelope = {
            "specversion": "1.0",
            "id": f"{self._source}/breaker/{report.since_us}",
            "source": self._source,
            "type": ReportBreaker.TYPE,
            "subject": self.executor,
            "tenant": DEFAULT_TENANT,
            "actor": "service:executor",
            "data": report.to_data(),
        }
        return Outgoing(Stream.CATALOG, subject, to_json(envelope))

    def _command(
        self, delivery: Delivery, command: str, body: Wire, nonce: str | None = None
    ) -> Outgoing:
        task = delivery.task
        message_id = f"{task.task_id}/{command}" + (f"/{nonce}" if nonce else "")
        kind: str = type(body).__dict__["TYPE"]
        handling = handling_of(delivery.traceparent)
        parent = None if handling is None else handling.header()
        trace = None if handling is None else handling.child("send", message_id).header()
        payload = self._encode(delivery, message_id, kind, task.run_id, body.to_data(), trace)
        subject = subjects.run(delivery.tenant, task.partition, task.run_id, command)
        return Outgoing(Stream.RUNS, subject, payload, None, trace, parent)

    def _encode(
        self,
        delivery: Delivery,
        message_id: str,
        kind: str,
        about: str,
        data: object,
        trace: str | None,
    ) -> bytes:
        envelope: dict[str, object] = {
            "specversion": "1.0",
            "id": message_id,
            "source": self._source,
            "type": kind,
            "subject": about,
            "tenant": delivery.tenant,
            "causationid": delivery.message_id,
            "correlationid": delivery.task.run_id,
            "actor": "service:executor",
        }
        if trace is not None:
            envelope["traceparent"] = trace
        return to_json({**envelope, "data": data})
