"""A service that owns partitions: all its hosts at work until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from penstock_runtime.faults import TransientFault
from penstock_runtime.host import PartitionHost
from penstock_runtime.ports.health import Check


async def own_until(
    stop: asyncio.Event, hosts: Sequence[PartitionHost], closed: Callable[[], Awaitable[None]]
) -> None:
    """Run all hosts until `stop` is set; leases are given up before this returns.

    Args:
        stop: the wish to end.
        hosts: one a partition.
        closed: returns when the bus connection has ended for good.

    Raises:
        ExceptionGroup: of `TransientFault`: the connection was closed; start the process again.
        ExceptionGroup: of `StoreRolledBack`: an operator has to decide.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(host.run()) for host in hosts]
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
    hosts: Sequence[PartitionHost], connected: Callable[[], bool]
) -> Callable[[], Awaitable[Sequence[Check]]]:
    """Give the checks of an owning service: the bus, and each partition."""

    async def probe() -> Sequence[Check]:
        up = connected()
        checks = [Check("nats", up, "connected" if up else "not connected")]
        for host in hosts:
            detail = "owned" if host.ready else host.fault or "consuming what has arrived"
            checks.append(Check(host.partition, host.ready, detail))
        return checks

    return probe
