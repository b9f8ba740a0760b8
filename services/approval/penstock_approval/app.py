"""Wires the approval service from its ports; the simulation uses it as well."""

from collections.abc import Awaitable, Callable, Sequence

from penstock_approval.approvals import SOURCES, ApprovalDomain
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_runtime.dispatch import Renderer
from penstock_runtime.host import PartitionHost
from penstock_runtime.owner import Parts
from penstock_runtime.ports.inbox import Source

SERVICE_ACTOR = "service:approval"


def host(
    instance: str,
    parts: Callable[[Sequence[Source], Renderer], Parts],
    prepare: Callable[[], Awaitable[None]],
) -> PartitionHost:
    """Give the host of the one approval partition."""
    renderer = Renderer(f"penstock/{APPROVAL_PARTITION}", SERVICE_ACTOR, None)
    return PartitionHost(
        APPROVAL_PARTITION, instance, ApprovalDomain(), lambda: parts(SOURCES, renderer), prepare
    )
