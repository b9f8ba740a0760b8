"""The machine's clock."""

import asyncio
import time


class SystemClock:
    """Wall clock and event loop; fulfils the port `Clock`."""

    def now_us(self) -> int:
        """Give microseconds since the epoch."""
        return time.time_ns() // 1_000

    async def sleep(self, seconds: float) -> None:
        """Wait; `seconds` at or below zero only lets others run."""
        await asyncio.sleep(max(seconds, 0.0))
