"""Effects: messages derived purely from committed events.

An effect holds everything its message needs except what only the runtime may add (the task's
secret code, a grant's signature, span ids). Publishing an effect twice is always harmless.
"""

from dataclasses import dataclass

from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.grant.v1 import Grant
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import Wire

REASK_FIRST_US = 60 * 1_000_000
REASK_CAP_US = 3_600 * 1_000_000
UNSIGNED = "unsigned"  # key id of a grant that has not been signed yet


@dataclass(frozen=True, slots=True)
class SendCommand:
    """A command to another owner.

    Attributes:
        key: names this request for ever; copies carry the same one.
        about: aggregate the command is for.
        seal: grant that the runtime signs and adds to the body as its field `grant`.
    """

    stream: Stream
    subject: str
    about: str
    key: str
    body: Wire
    tenant: str
    correlation_id: str
    traceparent: str | None = None
    seal: Grant | None = None


@dataclass(frozen=True, slots=True)
class QueueTask:
    """A task for the work queue; the runtime adds the token."""

    subject: str
    task: TaskMessage
    tenant: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class StopTask:
    """Purge the task's subject and stop its sandbox."""

    task_subject: str
    control_subject: str
    task_id: str
    tenant: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A core-subject reply."""

    subject: str
    body: Wire


@dataclass(frozen=True, slots=True)
class KeepDead:
    """A copy of an unprocessable message for the DEAD stream."""

    subject: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class PutBack:
    """A parked message goes back on its stream, as it was."""

    stream: str
    subject: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoreArtifacts:
    """Make what a result names durable, and say so.

    Attributes:
        answer: what is sent once all are; with its `lost` filled in where they cannot be.
    """

    artifacts: tuple[Artifact, ...]
    answer: SendCommand

    @property
    def subject(self) -> str:
        """Where the answer goes: it names run and task."""
        return f"{self.answer.subject}/{self.answer.key}"


@dataclass(frozen=True, slots=True)
class BringBack:
    """Put a durable artifact back into the object store, or its tombstone once it was pruned."""

    tenant: str
    digest: str


Effect = (
    SendCommand | QueueTask | StopTask | Answer | KeepDead | PutBack | StoreArtifacts | BringBack
)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An effect whose answer is still awaited, and when it was first asked."""

    effect: Effect
    asked_us: int


def reask_after(asked_us: int, after_us: int) -> int:
    """Give the first re-ask time beyond `after_us`: 1 min after asking, doubling to 1 h.

    The times are asked + 60 s, + 180 s, + 420 s, ... (gaps doubling), hourly once a gap is 1 h.
    """
    gap, point = REASK_FIRST_US, asked_us + REASK_FIRST_US
    while point <= after_us and gap < REASK_CAP_US:
        gap = min(gap * 2, REASK_CAP_US)
        point += gap
    if point <= after_us:
        point += ((after_us - point) // REASK_CAP_US + 1) * REASK_CAP_US
    return point
