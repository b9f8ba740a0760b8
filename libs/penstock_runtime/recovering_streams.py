"""EVENTS made again from the stores: emptied, and published anew in store order with its markers.

A marker says of the effects of all events in front of it that they are out. So nothing is relayed
here beyond what the markers proved before: what lies behind that is its owner's to publish, after
the effects. Whoever follows EVENTS may begin at its first message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock_runtime.faults import StoreRolledBack
from penstock_runtime.ports.bus import RelayLog
from penstock_runtime.ports.ledger import PartitionRow
from penstock_runtime.recovering_events import Told, quietly
from penstock_runtime.recovering_place import Place, empty_events
from penstock_runtime.relay import MEND, UNIT_MAX, Relay, head_at
from penstock_runtime.takeover import REPUBLISHED_MAX

CHUNK = 4 * UNIT_MAX  # events between two words about progress

Rows = Mapping[str, Mapping[str, PartitionRow]]
"""Rows that are `held`, by store and partition."""
Logs = Mapping[str, RelayLog]
"""EVENTS as the relay of each store may write it, by store."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What was published.

    Attributes:
        events: how many now stand in EVENTS, or stood there when it went on.
        left: how many follow when their owners start, behind their effects.
    """

    events: int
    left: int


async def proven(place: Place, logs: Logs, rows: Rows) -> dict[str, int]:
    """Give, for each partition, up to where its events may be relayed without an owner.

    That is its last valid marker. Where there is none (EVENTS was lost), it is what an owner would
    relay as well without publishing effects again.

    Raises:
        StoreRolledBack: EVENTS and a store contradict each other: recover first.
        TransientFault: a server does not answer.
    """
    found: dict[str, int] = {}
    for store in place.stores:
        for partition, row in rows[store.name].items():
            placed = await logs[store.name].last_marker(partition)
            if placed is None or placed.marker.last == 0:
                found[partition] = max(row.n - REPUBLISHED_MAX, 0)
                continue
            last = placed.marker.last
            head = await head_at(store.reader, partition, last)
            if head.hex() != placed.marker.chain_head:
                raise StoreRolledBack(
                    f"{partition}: event {last} in EVENTS is not the store's. {MEND}"
                )
            found[partition] = last
    return found


async def relay_anew(
    place: Place, logs: Logs, rows: Rows, up_to: Mapping[str, int], told: Told = quietly
) -> Relayed:
    """Publish every partition's events behind its last marker, up to `up_to`; see the module.

    Ended at any moment it may be begun again, and goes on where it was.

    Raises:
        Fenced: a service has begun to relay.
        StoreRolledBack: EVENTS and a store contradict each other.
        TransientFault: a server does not answer.
    """
    whole = sum(min(n, _n(rows, partition)) for partition, n in up_to.items())
    done = 0
    for store in place.stores:
        for partition, row in rows[store.name].items():
            end = min(up_to.get(partition, 0), row.n)
            relay = Relay(row, logs[store.name], store.reader, place.clock, place.metrics)
            at = await relay.open(row)
            told(f"publishing {partition}", done + at, whole)
            while at < end:
                await relay.relay_to(min(at + CHUNK, end))
                at = relay.done
                told(f"publishing {partition}", done + at, whole)
            done += at
    return Relayed(done, sum(row.n for of in rows.values() for row in of.values()) - done)


async def rebuild_streams(
    place: Place,
    logs: Logs,
    rows: Rows,
    up_to: Mapping[str, int],
    emptied: Callable[[], None],
    told: Told = quietly,
) -> Relayed:
    """Empty EVENTS, say so, and relay it anew.

    Raises:
        Fenced: a service has begun to relay.
        TransientFault: a server does not answer.
    """
    await empty_events(place.events())
    emptied()
    return await relay_anew(place, logs, rows, up_to, told)


def _n(rows: Rows, partition: str) -> int:
    return next((of[partition].n for of in rows.values() if partition in of), 0)
