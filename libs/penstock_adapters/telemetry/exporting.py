"""Handing things over to a collector: one bounded queue, one thread, short timeouts."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from penstock_adapters.telemetry.senders import Sender, Signal

QUEUE_MAX: Final = 8_192  # spans or records; the newest are dropped beyond
BATCH_MAX: Final = 512  # of one export
PAUSE_S: Final = 0.5  # between two exports

_log = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")


class Exporting(Generic[ItemT]):
    """Sends what is put in, in batches; a collector that does not answer costs that alone.

    Attributes:
        dropped: how many items no collector took.
    """

    def __init__(
        self,
        signal: Signal,
        sender: Sender,
        encode: Callable[[Sequence[ItemT]], bytes],
        leave_s: float,
    ) -> None:
        """Send through `sender` what `encode` makes of a batch, what is left within `leave_s`."""
        self._leave_s = leave_s
        self._signal = signal
        self._sender = sender
        self._encode = encode
        self._queue: deque[ItemT] = deque()
        self._stop = threading.Event()
        self._answers = True
        self._left = False  # nobody waits for what is still queued
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name=signal.value, daemon=True)
        self._thread.start()

    def put(self, item: ItemT) -> None:
        """Take an item, or drop it; never waits."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append(item)
        else:
            self.dropped += 1

    def leave(self) -> None:
        """Begin to end: what is queued is sent without a pause."""
        self._stop.set()

    def close(self) -> None:
        """Send what is left, within `leave_s`."""
        self._stop.set()
        self._thread.join(self._leave_s)
        if self._thread.is_alive():
            self._left = True
            self._sender.close()
        lost = self.dropped + len(self._queue)
        if lost:
            _log.warning("telemetry was dropped", extra={"signal": self._signal, "dropped": lost})

    def _work(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self._drain()
        self._drain()
        if not self._left:
            self._sender.close()

    def _drain(self) -> None:
        for _ in range(QUEUE_MAX // BATCH_MAX):
            batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            if not batch or self._left:
                return
            if not self._export(batch):
                self.dropped += len(batch)
                return

    def _export(self, batch: list[ItemT]) -> bool:
        try:
            answers = self._sender.send(self._encode(batch))
        except Exception:  # noqa: BLE001 - the thread's boundary: telemetry never ends a service
            answers = False
        if answers is not self._answers:
            self._answers = answers
            _log.log(
                logging.INFO if answers else logging.WARNING,
                "the collector answers again" if answers else "the collector does not answer",
                extra={"signal": self._signal},
            )
        return answers
