"""Standing by: a gateway that does not keep the read model answers by it all the same.

Reads are served from the rows that another gateway writes. Whoever waits here for the outcome of a
command is told once those rows contain it: the events come from EVENTS as to the keeper, and the
store says how far its rows are.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import read_event
from penstock_contracts.subjects import GATEWAY_PARTITION
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Inbox, Received
from penstock_runtime.ports.ledger import Witness
from penstock_runtime.ports.projection import FollowedStore
from penstock_webhook_gateway.reading import event_in, is_marker
from penstock_webhook_gateway.waiting import Applied

log = logging.getLogger(__name__)

BATCH_MAX = 1_000  # messages taken at once
PENDING_MAX = 10_000  # events that are awaited and not in the rows yet; beyond, the oldest go
LOOK_S = 10.0  # how often the position is checked when nothing arrives
TELL_S = 0.02  # how often the store is asked how far it is, while somebody waits for an event
TELL_GROWTH = 1.25  # of that from one time to the next while none of them comes: one may never come
TELL_CAP_S = 1.0

OnApplied = Callable[[Sequence[Applied]], None]
Wants = Callable[[ReadEvent], bool]


def everything(event: ReadEvent) -> bool:
    """Want every event."""
    del event
    return True


class Follower:
    """Tells of awaited events once the rows contain them.

    Attributes:
        attached: whether it follows at this moment.
    """

    def __init__(
        self,
        store: FollowedStore,
        inbox: Callable[[], Inbox],
        on_applied: OnApplied,
        wants: Wants,
    ) -> None:
        """Follow what another gateway writes into `store`; give what somebody wants."""
        self._store = store
        self._make_inbox = inbox
        self._on_applied = on_applied
        self._wants = wants
        self._positions: Mapping[str, Witness] | None = None
        self._pending: deque[Applied] = deque(maxlen=PENDING_MAX)
        self._tell_s = TELL_S
        self._tell_at = 0.0  # when the store is asked, by the loop's clock
        self._look_at = 0.0  # when the position is checked though an event is awaited
        self.attached = False

    def begin_behind(self, positions: Mapping[str, Witness]) -> None:
        """Follow from here on: what came before was told by whoever kept the rows in this process.

        Without it, it begins where the rows are when it attaches.
        """
        self._positions = positions

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            TransientFault: bus or store do not answer, or EVENTS was made again: begin anew.
        """
        if self._positions is None:
            self._positions = (await self._store.row(GATEWAY_PARTITION)).positions
        inbox = self._make_inbox()
        try:
            self._positions = (await inbox.attach(self._positions)).positions
            self.attached = True
            while True:
                await self._step(inbox)
        finally:
            self.attached = False
            await inbox.close()

    async def _step(self, inbox: Inbox) -> None:
        loop = asyncio.get_running_loop()
        wait_s = max(self._tell_at - loop.time(), 0.0) if self._pending else LOOK_S
        messages = await inbox.take(BATCH_MAX, wait_s)
        for message in messages:
            self._note(message)
        if messages:
            self._look_at = loop.time() + LOOK_S
        elif not self._pending or loop.time() >= self._look_at:
            await self._look(inbox)
            self._look_at = loop.time() + LOOK_S
        if self._pending and loop.time() >= self._tell_at:
            self.tell(await self._store.seen())
            self._tell_at = loop.time() + self._tell_s
            self._tell_s = min(TELL_GROWTH * self._tell_s, TELL_CAP_S)

    async def _look(self, inbox: Inbox) -> None:
        if await inbox.verify(self._positions or {}):
            raise TransientFault("EVENTS is another incarnation")

    def _note(self, message: Received) -> None:
        before = (self._positions or {})[message.stream]
        place = Witness(before.created_us, message.sequence, message.time_us)
        self._positions = {message.stream: place}
        event = None if is_marker(message) else event_in(message)
        if event is not None and self._wants(event):
            self._keep(event)

    def _keep(self, event: ReadEvent) -> None:
        try:
            self._pending.append((event, read_event(event.topic, event.data)))
            self._ask_soon()
        except (ValueError, KeyError, TypeError):  # nobody can be told of it; the keeper says so
            log.info("an event cannot be read", extra={"event": f"{event.partition}/{event.n}"})

    def tell(self, seen: Mapping[str, int]) -> None:
        """Tell of what the rows contain by now."""
        here = [one for one in self._pending if one[0].n <= seen.get(one[0].partition, 0)]
        if here:
            told = {id(one) for one in here}
            left = (one for one in self._pending if id(one) not in told)
            self._pending = deque(left, maxlen=PENDING_MAX)
            self._ask_soon()
            self._on_applied(here)

    def _ask_soon(self) -> None:
        """Ask the store often again: an event is awaited that may be in the rows in a moment."""
        self._tell_s, self._tell_at = TELL_S, 0.0
