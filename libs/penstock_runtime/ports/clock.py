"""Time as the runtime sees it, so that a simulation can own it."""

from typing import Protocol


class Clock(Protocol):
    """Wall clock and waiting."""

    def now_us(self) -> int:
        """Give microseconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
