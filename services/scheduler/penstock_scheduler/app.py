"""Wires the scheduler from its ports; the simulation uses it as well."""

from collections.abc import Awaitable, Callable, Sequence

from penstock_contracts.subjects import CATALOG_PARTITION, run_partition
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.dispatch import Renderer
from penstock_runtime.host import PartitionHost
from penstock_runtime.owner import Parts
from penstock_runtime.ports.inbox import Source
from penstock_runtime.ports.ledger import EventReader
from penstock_scheduler.catalog import SOURCES, CatalogDomain
from penstock_scheduler.runs import RunDomain, sources

MakeParts = Callable[[Sequence[Source], Renderer], Parts]
SERVICE_ACTOR = "service:scheduler"


def hosts(
    instance: str,
    run_partitions: int,
    codes: TaskCodeBook,
    reader: EventReader,
    parts: MakeParts,
    prepare: Callable[[], Awaitable[None]],
) -> Sequence[PartitionHost]:
    """Give the hosts of the catalog and of all run partitions."""
    definitions = Definitions(reader)

    def wired(partition: str, of: Sequence[Source]) -> Callable[[], Parts]:
        renderer = Renderer(f"penstock/{partition}", SERVICE_ACTOR, codes)
        return lambda: parts(of, renderer)

    catalog = PartitionHost(
        CATALOG_PARTITION, instance, CatalogDomain(), wired(CATALOG_PARTITION, SOURCES), prepare
    )
    runs = [
        PartitionHost(name, instance, RunDomain(definitions, codes), wired(name, of), prepare)
        for name in map(run_partition, range(run_partitions))
        for of in (sources(name),)
    ]
    return (catalog, *runs)
