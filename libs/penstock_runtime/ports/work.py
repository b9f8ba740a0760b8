"""The work queue of tasks, and the core subjects between scheduler and executors."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

ControlHandler = Callable[[str, bytes], Awaitable[None]]
"""Receives (subject, payload)."""


class WorkItem(Protocol):
    """A task in flight to this executor."""

    @property
    def subject(self) -> str:
        """Subject it came on."""
        ...

    @property
    def payload(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def queued_us(self) -> int:
        """When the server took it in: microseconds since the epoch."""
        ...

    async def in_progress(self) -> None:
        """Tell the server that work goes on, so that it is not delivered again."""
        ...

    async def ack_sync(self) -> None:
        """Acknowledge and wait until the server has it.

        Raises:
            TransientFault: no answer; the task may be delivered again.
        """
        ...

    async def give_back(self, delay_s: float) -> None:
        """Let it be delivered again after `delay_s`."""
        ...


class WorkQueue(Protocol):
    """Tasks of one pool, shared by all its executors."""

    async def take(self, limit: int, timeout_s: float) -> Sequence[WorkItem]:
        """Give up to `limit` tasks, waiting up to `timeout_s` for a first one."""
        ...

    async def close(self) -> None:
        """Stop pulling."""
        ...


class ControlChannel(Protocol):
    """Core subjects: cancellations and claim answers."""

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """Call `handler` for each message on `subject`; the result ends the subscription."""
        ...

    async def send(self, subject: str, payload: bytes) -> None:
        """Send without acknowledgement; dropped while disconnected."""
        ...
