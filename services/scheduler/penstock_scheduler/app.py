"""Wires the scheduler from its ports; the simulation uses it as well."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from penstock_contracts.subjects import CATALOG_PARTITION, run_partition, run_partition_count
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.dispatch import Renderer
from penstock_runtime.host import PartitionHost
from penstock_runtime.owner import Parts
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Source
from penstock_runtime.ports.ledger import EventReader
from penstock_runtime.ports.roster import RosterBook
from penstock_runtime.sharing import Sharing
from penstock_scheduler.catalog import SOURCES, CatalogDomain
from penstock_scheduler.runs import RunDomain, sources

MakeParts = Callable[[Sequence[Source], Renderer], Parts]
Prepare = Callable[[], Awaitable[None]]
SERVICE_ACTOR = "service:scheduler"


def partitions(run_partitions: int) -> Sequence[str]:
    """Name the partitions of a scheduler's store."""
    return (CATALOG_PARTITION, *map(run_partition, range(run_partitions)))


class Wiring:
    """What all hosts of one scheduler are made of."""

    def __init__(
        self,
        instance: str,
        codes: TaskCodeBook,
        reader: EventReader,
        parts: MakeParts,
        prepare: Prepare,
    ) -> None:
        """Serve as `instance`; definitions are read once for all its partitions."""
        self._instance = instance
        self._codes = codes
        self._definitions = Definitions(reader)
        self._parts = parts
        self._prepare = prepare

    def host(self, partition: str, run_partitions: Callable[[], int]) -> PartitionHost:
        """Give the host of the catalog, or of a partition of runs.

        Args:
            partition: its name.
            run_partitions: how many partitions new runs are spread over.
        """
        renderer = Renderer(f"penstock/{partition}", SERVICE_ACTOR, self._codes)
        catalog = partition == CATALOG_PARTITION
        of = SOURCES if catalog else sources(partition)
        domain = CatalogDomain() if catalog else RunDomain(self._definitions, self._codes)

        def parts() -> Parts:
            return replace(self._parts(of, renderer), run_partitions=run_partitions)

        return PartitionHost(partition, self._instance, domain, parts, self._prepare)


def shared(
    instance: str,
    run_partitions: int,
    wiring: Wiring,
    book: RosterBook,
    clock: Clock,
    fit: Callable[[], bool] = lambda: True,
) -> Sharing:
    """Give this instance's part in all partitions, at least `run_partitions` of them for runs.

    Any scheduler may name more of them at its start: all others notice and serve them, too.
    """

    def known() -> int:
        return run_partition_count(sharing.partitions)

    sharing = Sharing(
        instance,
        book,
        lambda partition: wiring.host(partition, known),
        partitions(run_partitions),
        clock,
        fit=fit,
    )
    return sharing
