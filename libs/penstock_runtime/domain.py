"""What an owner of partitions supplies: how its messages are read and its states made."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from penstock_contracts.codes import Code
from penstock_contracts.partition.v1 import MessageParked
from penstock_contracts.values import DEFAULT_TENANT, Wire
from penstock_core.catalog.library import Library
from penstock_core.decider import Decider
from penstock_core.decision import Rejection
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.ledger import EventReader


class Aggregate(Protocol):
    """What the runtime needs to know of any state."""

    @property
    def version(self) -> int:
        """Events applied so far."""
        ...

    @property
    def frozen(self) -> tuple[MessageParked, ...]:
        """Parked messages."""
        ...

    @property
    def rejected(self) -> tuple[str, ...]:
        """Ids of commands refused last, so that a copy is not told twice."""
        ...


AnyState = TypeVar("AnyState", bound=Aggregate)


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message understood: which aggregate it is for and what it asks.

    Attributes:
        founds: the command can be the first of its aggregate and says what that refers to.
    """

    aggregate_id: str
    command: Wire
    command_id: str
    actor: str = ""
    tenant: str = DEFAULT_TENANT
    traceparent: str | None = None
    founds: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """What every event of an aggregate is marked with."""

    tenant: str = DEFAULT_TENANT
    correlation_id: str = ""
    traceparent: str | None = None


class Refused(Exception):
    """A message that is not worth an event: forged, or not for this door. Only counted.

    Attributes:
        code: why.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class Domain(Protocol[AnyState]):
    """One kind of partition."""

    @property
    def decider(self) -> Decider[AnyState]:
        """Its pure functions."""
        ...

    @property
    def timer(self) -> Wire:
        """The command that says: the time of the context has come."""
        ...

    @property
    def service(self) -> str:
        """Name of the owning service, for the actor of its messages."""
        ...

    def read(self, message: Received) -> Addressed:
        """Understand a message.

        Raises:
            MalformedMessage: it cannot be decoded; it is parked.
            Refused: it is dropped and counted.
        """
        ...

    async def blank(self, aggregate_id: str, hint: Wire | None) -> AnyState:
        """Make the state before the first event; `hint` is that event, or a first command.

        Raises:
            BrokenInvariant: what the hint refers to does not exist.
            TransientFault: the store does not answer.
        """
        ...

    def labels(self, state: AnyState) -> Labels:
        """Say how events of this state are marked."""
        ...

    def refusal(self, command: Wire, command_id: str, rejection: Rejection) -> Wire | None:
        """Give the event that tells the sender of its refusal; None: nobody waits for it."""
        ...

    async def open_library(self, reader: EventReader) -> Library:
        """Read what decisions need to know of other aggregates; empty for most kinds."""
        ...

    def fold_library(self, library: Library, event: Wire) -> Library:
        """Keep it current."""
        ...


class TaskCodes(Protocol):
    """The secret codes of tasks."""

    def code(self, task_id: str) -> str:
        """Give the code that the result of `task_id` must carry."""
        ...
