"""A sandbox behind a circuit breaker: what runs tasks and fails is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from penstock_contracts.executor.v1 import BreakerState
from penstock_runtime.breaker import Breaker, BreakerRules
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    Sandbox,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)
from penstock_runtime.telemetry import metrics as m

END_S = 10.0  # that what is cancelled has to end, before it is left to itself
AWAY = frozenset({ExitReason.UNAVAILABLE, ExitReason.LOST})
CHECK, HUNG, DEFECT = "check", "hung", "error"  # kinds of failures beside the reasons of `AWAY`

_MEND = "see the executor's log, and look at what runs its tasks"

OnChange = Callable[[Breaker], None]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Hung(Exception):
    """No answer came in time."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a look found, '' or what was wrong, and its kind: '' if it was counted already."""

    health: SandboxHealth
    fault: str = ""
    kind: str = CHECK


class BreakingSandbox:
    """Fulfils the port `Sandbox`.

    A failure is what the engine did, never what a task did: a result UNAVAILABLE or LOST, an
    error, a look that finds nothing can run, and no answer in time: `rules.hang_s` after a task's
    own time, and at a look each `rules.silence_s`, until it is ended after `rules.hang_s`. Enough
    of them open the breaker. Then nothing reaches the sandbox: a task is UNAVAILABLE at once, and a
    look says so. When its time is over the next look is the one probe, with all of `rules.hang_s`;
    whoever looks meanwhile waits for the same one.

    Args:
        inner: what is guarded.
        adapter: its name, for metrics and until it has told its own.
        on_change: told how the breaker stands, at the start and at each change; must not block.
    """

    def __init__(
        self,
        inner: Sandbox,
        adapter: str,
        clock: Clock,
        rules: BreakerRules,
        metrics: m.Metrics,
        on_change: OnChange,
    ) -> None:
        self._inner = inner
        self._adapter = adapter
        self._clock = clock
        self._rules = rules
        self._metrics = metrics
        self._on_change = on_change
        self._breaker = Breaker(since_us=clock.now_us())
        self._looking: asyncio.Task[SandboxHealth] | None = None
        self._last: SandboxHealth | None = None
        self._left: set[asyncio.Future[Any]] = set()
        self._tell()

    async def check(self) -> SandboxHealth:
        """See the port; while the breaker is open nothing is tried."""
        self._become(self._breaker.asked(self._clock.now_us(), self._rules))
        if self._breaker.state is BreakerState.OPEN:
            return self._refusal()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look at the sandbox")
        return await asyncio.shield(self._looking)

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """See the port."""
        if not self._breaker.lets_through:
            return _never_began(f"the circuit breaker is open: {self._breaker.reason}")
        began_us, open_ = self._clock.now_us(), True

        def line(printed: LogLine) -> None:
            if open_:  # what was left to itself prints to nobody
                on_log(printed)

        try:
            work = self._inner.run(spec, line)
            result = await self._within(work, spec.limits.wall_s + self._rules.hang_s)
        except Hung:
            reason = f"a task did not end {self._rules.hang_s:g} s after its time was over"
            self._fail(HUNG, reason)
            spent_s = (self._clock.now_us() - began_us) / 1e6
            return replace(_never_began(reason), reason=ExitReason.LOST, wall_s=spent_s)
        except Exception as error:
            self._fail(DEFECT, f"the sandbox failed: {type(error).__name__}")
            raise
        finally:
            open_ = False
        if result.reason in AWAY:
            self._fail(result.reason.value, _said(spec, result.detail))
        return result

    async def close(self) -> None:
        """See the port."""
        if self._looking is not None:
            await self._end(self._looking)
        await self._inner.close()

    async def _look(self) -> SandboxHealth:
        """Look, and draw the conclusion; one at a time."""
        found = await self._ask()
        self._last = found.health
        if self._breaker.state is BreakerState.HALF_OPEN:
            if found.fault:
                self._metrics.add(m.SANDBOX_FAILURES, self._adapter, found.kind or HUNG)
            self._become(self._breaker.probed(self._clock.now_us(), found.fault, self._rules))
        elif found.fault and found.kind:
            self._fail(found.kind, found.fault)
        return found.health if self._breaker.lets_through else self._refusal()

    async def _ask(self) -> _Looked:
        try:
            health = await self._answer()
        except Hung as hung:
            return _Looked(self._unavailable(str(hung), _MEND), str(hung), "")
        except Exception as error:  # noqa: BLE001 - the task boundary of a look: it has a result
            _log.exception("the sandbox cannot be looked at")
            fault = f"the sandbox failed: {type(error).__name__}"
        else:
            if health.available:
                return _Looked(health)
            return _Looked(health, health.obstacle or "it is not available")
        return _Looked(self._unavailable(fault, _MEND), fault, DEFECT)

    async def _answer(self) -> SandboxHealth:
        """Await a look; its silence counts while it lasts.

        Raises:
            Hung: it lasted too long, or has opened the breaker.
        """
        looking = asyncio.ensure_future(self._inner.check())
        waited_s = 0.0
        try:
            while True:
                step_s = min(self._rules.silence_s, self._rules.hang_s - waited_s)
                if await self._done_in(looking, step_s):
                    return looking.result()
                waited_s += step_s
                silence = f"it has not answered for {waited_s:g} s"
                if self._breaker.lets_through:
                    self._fail(HUNG, silence)
                if waited_s >= self._rules.hang_s or self._breaker.state is BreakerState.OPEN:
                    raise Hung(silence)
        finally:
            await self._end(looking)

    def _unavailable(self, obstacle: str, mend: str) -> SandboxHealth:
        last = self._last or SandboxHealth(self._adapter, "", False, (), None, None)
        return replace(last, available=False, obstacle=obstacle, mend=mend)

    def _refusal(self) -> SandboxHealth:
        """Say that the breaker is in the way, and all that is known of why."""
        wait_s = self._breaker.wait_s(self._clock.now_us())
        mend = f"next try in {wait_s:.0f} s"
        if self._last is not None and self._last.mend:
            mend = f"{self._last.mend}; {mend}"
        return self._unavailable(f"the circuit breaker is open: {self._breaker.reason}", mend)

    def _fail(self, kind: str, reason: str) -> None:
        self._metrics.add(m.SANDBOX_FAILURES, self._adapter, kind)
        self._become(self._breaker.failed(self._clock.now_us(), reason, self._rules))

    def _become(self, after: Breaker) -> None:
        before, self._breaker = self._breaker, after
        if after.state is before.state:
            return
        extra = {"state": after.state.value, "was": before.state.value, "reason": after.reason}
        well = after.state is BreakerState.CLOSED
        _log.log(logging.INFO if well else logging.WARNING, "circuit breaker", extra=extra)
        if after.state is BreakerState.OPEN:
            self._metrics.add(m.BREAKER_OPENED, self._adapter)
        self._tell()

    def _tell(self) -> None:
        for state in BreakerState:
            stands = float(state is self._breaker.state)
            self._metrics.set(m.BREAKER_STATE, stands, self._adapter, state.value)
        self._on_change(self._breaker)

    async def _within(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Await what has `seconds` to answer, and see it ended whatever happens.

        Raises:
            Hung: it did not.
        """
        working = asyncio.ensure_future(work)
        try:
            if not await self._done_in(working, seconds):
                raise Hung
            return working.result()
        finally:
            await self._end(working)

    async def _done_in(self, working: asyncio.Future[Any], seconds: float) -> bool:
        watch = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            _ = await asyncio.wait({working, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _ = watch.cancel()
        return working.done()

    async def _end(self, working: asyncio.Future[Any]) -> None:
        """Cancel, and wait until it has cleaned up; what hangs even there is left to itself."""
        if working.done():
            return
        _ = working.cancel()
        try:
            _ = await self._done_in(working, END_S)
        finally:
            if not working.done():
                _log.error("the sandbox does not end what was cancelled")
            self._left.add(working)
            working.add_done_callback(self._forget)

    def _forget(self, ended: asyncio.Future[Any]) -> None:
        self._left.discard(ended)
        if not ended.cancelled():
            _ = ended.exception()  # of no use to anybody any more


def _never_began(detail: str) -> SandboxResult:
    return SandboxResult(ExitReason.UNAVAILABLE, None, None, None, detail, 0.0, 0.0, 0, False)


def _said(spec: SandboxSpec, detail: str) -> str:
    """Give what an engine said, unless it repeats a secret it was given."""
    if any(secret in detail for secret in spec.secrets.values() if secret):
        return "what it said cannot be shown"
    return detail
