"""A service that owns partitions: all its hosts at work until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from penstock_runtime.host import PartitionHost
from penstock_runtime.ports.health import Check


async def own_until(stop: asyncio.Event, hosts: Sequence[PartitionHost]) -> None:
    """Run all hosts until `stop` is set; leases are given up before this returns.

    Raises:
        ExceptionGroup: of `StoreRolledBack`: an operator has to decide.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(host.run()) for host in hosts]
        await stop.wait()
        for task in running:
            task.cancel()


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
