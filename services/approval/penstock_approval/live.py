"""Opens the approval service's real adapters and serves until told to stop."""

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from penstock_adapters.owning import bus_settings, migrate_store, open_owner
from penstock_adapters.postgres.migrate import Schema
from penstock_adapters.signing import open_signer
from penstock_adapters.system.clock import SystemClock
from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.process import serve
from penstock_adapters.telemetry import open_telemetry
from penstock_approval.app import host, shared
from penstock_approval.settings import ApprovalSettings
from penstock_contracts.permissions import OWNED_STREAMS, BusUser
from penstock_runtime.grants import written
from penstock_runtime.owning import own_until, ready_probe

log = logging.getLogger(__name__)

SERVICE = "approval"


def main() -> int:
    """Serve as a process; gives the exit code."""
    return serve(SERVICE, ApprovalSettings, run)


async def run(settings: ApprovalSettings, stop: asyncio.Event) -> None:
    """Own all approvals until `stop` is set, or stand by while another instance does.

    Raises:
        KeyFault: the key that grants are to be signed with is none.
    """
    signer = open_signer(settings.grant_key.get_secret_value())
    log.info("grants are signed", extra={"key": written(signer.key)})
    await asyncio.to_thread(migrate_store, settings, Schema.LEDGER)
    streams = OWNED_STREAMS[BusUser.APPROVAL]
    bus = bus_settings(settings, settings.name)
    async with AsyncExitStack() as stack:
        telemetry = stack.enter_context(open_telemetry(SERVICE, settings))
        adapters = await stack.enter_async_context(
            open_owner(bus, settings, streams, telemetry.spans)
        )
        sharing = shared(
            settings.name,
            partial(host, settings.name, adapters.parts, adapters.prepare, signer),
            adapters.ledger,
            SystemClock(),
            adapters.is_connected,
        )
        probe = ready_probe(sharing.hosts, adapters.is_connected)
        samples = (*adapters.samples(), telemetry.sample(adapters.metrics))
        ops = OpsServer(settings.ops_host, settings.ops_port, probe, adapters.metrics, samples)
        async with ops:
            await own_until(stop, [sharing], adapters.connection.wait_closed)
