"""Claims: the exclusive right to begin a `once` task, granted to one nonce for ever."""

import asyncio
import logging
from enum import StrEnum

from pydantic import ValidationError

from penstock_contracts.task.v1 import ClaimAnswer
from penstock_contracts.values import MICROSECONDS, Wire
from penstock_executor.outbox import Outbox
from penstock_runtime.ports.bus import Outgoing
from penstock_runtime.ports.clock import Clock
from penstock_runtime.telemetry.metrics import CLAIMS, Metrics

RESEND_S = 1.0
PATIENCE_S = 30.0

_log = logging.getLogger(__name__)


class Claim(StrEnum):
    """How a claim was answered."""

    GRANTED = "granted"
    REFUSED = "refused"
    SILENT = "silent"


class _AnswerEnvelope(Wire):
    data: ClaimAnswer


class Claims:
    """Asks and waits; one claim a nonce."""

    def __init__(self, outbox: Outbox, clock: Clock, metrics: Metrics) -> None:
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    def answered(self, payload: bytes) -> None:
        """Take an answer from the core subject; those for other executors are passed over."""
        try:
            answer = _AnswerEnvelope.model_validate_json(payload).data
        except ValidationError:
            _log.warning("claim answer that cannot be read", extra={"bytes": len(payload)})
            return
        waiting = self._waiting.get(answer.nonce)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.granted)

    async def ask(self, nonce: str, message: Outgoing) -> Claim:
        """Send the claim, again each second, until it is answered or `PATIENCE_S` are over."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[nonce] = answer
        try:
            outcome = await self._until_answered(message, answer)
        finally:
            del self._waiting[nonce]
        self._metrics.add(CLAIMS, outcome)
        return outcome

    async def _until_answered(self, message: Outgoing, answer: asyncio.Future[bool]) -> Claim:
        ends_us = self._clock.now_us() + int(PATIENCE_S * MICROSECONDS)
        while self._clock.now_us() < ends_us:
            _ = self._outbox.post(message)
            pause = asyncio.ensure_future(self._clock.sleep(RESEND_S))
            try:
                _ = await asyncio.wait({answer, pause}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                _ = pause.cancel()
            if answer.done():
                return Claim.GRANTED if answer.result() else Claim.REFUSED
        return Claim.SILENT
