"""Following a stream live from a sequence on, for readers without a position to keep."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from penstock_runtime.ports.inbox import Received


class StreamTail(Protocol):
    """Ordered, gap-free following of a filter."""

    def follow(
        self, stream: str, subject_filter: str, from_sequence: int = 1, since_us: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Received]]:
        """Give messages from `from_sequence` on, then live ones, until the context is left.

        With `since_us`, begin at the first message that the server stored then or later instead.
        """
        ...
