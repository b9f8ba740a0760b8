"""How long a claim waited for its answer: from the message that asks to the one that answers."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pydantic_core import from_json

from penstock_runtime.ports.bus import Outgoing, Published, Publisher
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.work import ControlChannel, ControlHandler
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.spans import Span, Spans
from penstock_runtime.telemetry.trace import TraceContext

WAITING_MAX: Final = 1_000  # claims; the oldest are forgotten beyond
_CLAIM: Final = ".claim_task"
_ANSWER: Final = ".claim"


class ClaimWatch:
    """Pairs claims with their answers by the nonce."""

    def __init__(self, clock: Clock, spans: Spans) -> None:
        """Report to `spans`."""
        self._clock = clock
        self._spans = spans
        self._asked: OrderedDict[str, tuple[int, TraceContext, str]] = OrderedDict()

    def asks(self, message: Outgoing) -> None:
        """Note a claim; one that is sent again keeps its first moment."""
        handling = self._spans.place(message.parent)
        if handling is None:
            return
        data = from_json(message.payload)["data"]
        _ = self._asked.setdefault(
            data["nonce"], (self._clock.now_us(), handling, str(data["task_id"]))
        )
        if len(self._asked) > WAITING_MAX:
            _ = self._asked.popitem(last=False)

    def answers(self, payload: bytes) -> None:
        """Report the claim that this answers, if it was asked here."""
        try:
            data = from_json(payload)["data"]
            asked = self._asked.pop(data["nonce"], None)
            granted = bool(data["granted"])
        except (ValueError, KeyError, TypeError):  # nobody's answer
            return
        if asked is not None:
            at_us, handling, task_id = asked
            place = handling.child("claim", data["nonce"])
            self._spans.report(
                Span(
                    "claim",
                    place,
                    at_us,
                    self._clock.now_us(),
                    handling.span_id,
                    attributes={s.TASK: task_id},
                    fault="" if granted else "refused",
                )
            )


class ClaimingPublisher:
    """Fulfils the port `Publisher`; tells of claims that go out."""

    def __init__(self, inner: Publisher, watch: ClaimWatch) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._watch = watch

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Note and pass on."""
        for message in batch:
            if message.subject.endswith(_CLAIM):
                self._watch.asks(message)
        return await self._inner.publish(batch)

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Pass on."""
        await self._inner.purge_subject(stream, subject)


class ClaimedControl:
    """Fulfils the port `ControlChannel`; tells of answers that come in."""

    def __init__(self, inner: ControlChannel, watch: ClaimWatch) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._watch = watch

    async def listen(self, subject: str, handler: ControlHandler) -> Callable[[], Awaitable[None]]:
        """Pass on what was looked at."""

        async def look(told: str, payload: bytes) -> None:
            if told.endswith(_ANSWER):
                self._watch.answers(payload)
            await handler(told, payload)

        return await self._inner.listen(subject, look)

    async def send(self, subject: str, payload: bytes) -> None:
        """Pass on."""
        await self._inner.send(subject, payload)
