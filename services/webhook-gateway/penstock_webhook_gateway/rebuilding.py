"""The read model folded anew by somebody who is no gateway: `penstock rebuild projections`."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from penstock_core.run.snapshot import document_hash
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.inbox import Inbox
from penstock_runtime.ports.projection import FollowedStore, ViewReader
from penstock_runtime.telemetry.metrics import Metrics
from penstock_webhook_gateway.kinds import View
from penstock_webhook_gateway.projection import Projection

LOOK_S = 0.1


async def fold(
    instance: str,
    store: FollowedStore,
    reader: ViewReader,
    inbox: Inbox,
    clock: Clock,
    metrics: Metrics,
) -> Mapping[str, int]:
    """Apply everything that `inbox` gives, to its end.

    Returns:
        Event partition -> n of the last event applied.

    Raises:
        RuntimeError: it came to an end by itself, which it never should.
    """
    projection = Projection(
        instance, store, reader, lambda: inbox, clock, metrics, lambda _applied: None
    )
    folding = asyncio.create_task(projection.run())
    try:
        while not projection.ready:
            _ = await asyncio.wait((folding,), timeout=LOOK_S)
            if folding.done():
                await folding
                raise RuntimeError("the fold has ended by itself")
        return dict(projection.seen)
    finally:
        folding.cancel()
        with suppress(asyncio.CancelledError):
            await folding


async def hashes(reader: ViewReader, tenant: str, run_ids: Sequence[str]) -> Mapping[str, str]:
    """Give the hash of each of these runs as the read model has it; absent ones are left out."""
    rows = await reader.get_many(View.RUN, tenant, run_ids)
    found: dict[str, str] = {}
    for run_id, row in rows.items():
        prefix = len(run_id) + 1
        nodes = await reader.children(View.NODE, tenant, run_id)
        found[run_id] = document_hash(row.body, {node.id[prefix:]: node.body for node in nodes})
    return found
