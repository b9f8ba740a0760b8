"""All that an owner of a partition is wired to, with spans."""

from dataclasses import replace

from penstock_adapters.wrappers.tracing.inbox import Taken, TracedInbox
from penstock_adapters.wrappers.tracing.ledger import TracedLedger
from penstock_adapters.wrappers.tracing.publisher import TracedPublisher
from penstock_adapters.wrappers.tracing.relay_log import TracedRelayLog
from penstock_adapters.wrappers.tracing.waits import LongWaits
from penstock_runtime.owner import Parts
from penstock_runtime.telemetry.spans import Spans


def traced(parts: Parts, spans: Spans) -> Parts:
    """Wrap the ports of one epoch."""
    taken, clock = Taken(), parts.clock
    waits = LongWaits(parts.reader, spans)
    return replace(
        parts,
        inbox=TracedInbox(parts.inbox, clock, taken),
        ledger=TracedLedger(parts.ledger, clock, spans, taken, waits),
        relay_log=TracedRelayLog(parts.relay_log, clock, spans),
        publisher=TracedPublisher(parts.publisher, clock, spans),
    )
