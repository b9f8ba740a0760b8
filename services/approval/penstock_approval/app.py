"""Wires the approval service from its ports; the simulation uses it as well."""

from collections.abc import Awaitable, Callable, Sequence

from penstock_approval.approvals import SOURCES, ApprovalDomain
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_runtime.dispatch import Renderer
from penstock_runtime.host import PartitionHost
from penstock_runtime.owner import Parts
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Source
from penstock_runtime.ports.roster import RosterBook
from penstock_runtime.ports.signing import GrantSigner
from penstock_runtime.sharing import Sharing

SERVICE_ACTOR = "service:approval"


def host(
    instance: str,
    parts: Callable[[Sequence[Source], Renderer], Parts],
    prepare: Callable[[], Awaitable[None]],
    signer: GrantSigner,
) -> PartitionHost:
    """Give the host of the one approval partition; its approvals are signed by `signer`."""
    renderer = Renderer(f"penstock/{APPROVAL_PARTITION}", SERVICE_ACTOR, signer=signer)
    return PartitionHost(
        APPROVAL_PARTITION, instance, ApprovalDomain(), lambda: parts(SOURCES, renderer), prepare
    )


def shared(
    instance: str,
    make_host: Callable[[], PartitionHost],
    book: RosterBook,
    clock: Clock,
    fit: Callable[[], bool] = lambda: True,
) -> Sharing:
    """Give this instance's part in the one partition: it owns it, or it stands by."""
    return Sharing(instance, book, lambda _: make_host(), [APPROVAL_PARTITION], clock, fit=fit)
