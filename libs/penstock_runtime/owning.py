"""A service that owns partitions: all its hosts at work until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from penstock_runtime.faults import TransientFault
from penstock_runtime.host import PartitionHost
from penstock_runtime.ports.health import Check


class Owning(Protocol):
    """What owns partitions for as long as it runs: a `Sharing`, or a single `PartitionHost`."""

    async def run(self) -> None:
        """Own until cancelled; leases are given up before this returns."""
        ...


async def own_until(
    stop: asyncio.Event, owning: Sequence[Owning], closed: Callable[[], Awaitable[None]]
) -> None:
    """Run until `stop` is set; leases are given up before this returns.

    Args:
        stop: the wish to end.
        owning: all that owns partitions here.
        closed: returns when the bus connection has ended for good.

    Raises:
        ExceptionGroup: of `TransientFault`: the connection was closed; start the process again.
        ExceptionGroup: of `StoreRolledBack`: an operator has to decide.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one.run()) for one in owning]
        running.append(tasks.create_task(fail_when(closed)))
        await stop.wait()
        for task in running:
            task.cancel()


async def fail_when(closed: Callable[[], Awaitable[None]]) -> None:
    """Turn the end of the bus connection into a fault.

    Raises:
        TransientFault: always, once `closed` returns.
    """
    await closed()
    raise TransientFault("the bus has closed the connection for good")


def ready_probe(
    hosts: Collection[PartitionHost], connected: Callable[[], bool]
) -> Callable[[], Awaitable[Sequence[Check]]]:
    """Give the checks of an owning service: the bus, and each partition.

    A partition that another instance owns is well: this one stands by for it.
    """

    async def probe() -> Sequence[Check]:
        up = connected()
        bus = Check("nats", up, "connected" if up else "not connected")
        return [bus, *map(_standing, hosts)]

    return probe


def _standing(host: PartitionHost) -> Check:
    if host.ready:
        return Check(host.partition, ok=True, detail="owned")
    if host.elsewhere and not host.epoch:
        return Check(host.partition, ok=True, detail=f"owned by {host.elsewhere}")
    return Check(host.partition, ok=False, detail=host.fault or "consuming what has arrived")
