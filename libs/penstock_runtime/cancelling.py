"""A wish to end that is not lost among faults."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """Do something as a task of its own, so that whoever is told to end meanwhile does end.

    When a fault and a cancellation come at the same moment, a task group raises the fault alone
    (until Python 3.13), and a task cannot ask for it either: a group counts its own cancellations
    as the task's. Whoever caught the fault to begin again would go on for ever.

    Raises:
        CancelledError: the caller is to end; the work has ended before.
        BaseException: whatever the work raises.
    """
    inner = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(inner)
    except asyncio.CancelledError:
        inner.cancel()
        await asyncio.wait((inner,))
        if not inner.cancelled():
            inner.exception()  # looked at: it is of no more interest
        raise
