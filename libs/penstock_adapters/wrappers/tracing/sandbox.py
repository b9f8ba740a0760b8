"""A sandbox that reports its start and the agent, and tells the agent its place."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    Sandbox,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)
from penstock_runtime.telemetry import spans as s
from penstock_runtime.telemetry.fields import bound_fields, bound_place
from penstock_runtime.telemetry.spans import AttributeValue, Span, Spans
from penstock_runtime.telemetry.trace import TraceContext

VARIABLE: Final = "TRACEPARENT"
START_MIN_US: Final = 1_000  # a sandbox that is there sooner has no start worth a span
_NOT_BEGUN: Final = frozenset({ExitReason.START_FAILED, ExitReason.UNAVAILABLE})
_ABOUT: Final = (("run", s.RUN_ID), ("node", s.NODE), ("attempt", s.ATTEMPT), ("agent", s.AGENT))


class TracedSandbox:
    """Fulfils the port `Sandbox`; where it is asked to run something tells whose span that is."""

    def __init__(self, inner: Sandbox, clock: Clock, spans: Spans) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._spans = spans

    async def check(self) -> SandboxHealth:
        """Pass on."""
        return await self._inner.check()

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Pass on, and report; an agent that is told a place is told its own."""
        handling = bound_place()
        if handling is None or not self._spans.wants(handling):
            return await self._inner.run(spec, on_log)
        agent = handling.child("agent")
        told = spec
        if VARIABLE in spec.env:  # a result that is remembered must not depend on it
            told = replace(spec, env={**spec.env, VARIABLE: agent.header()})
        began_us, wall_s, reason = self._clock.now_us(), 0.0, ExitReason.CANCELLED
        try:
            result = await self._inner.run(told, on_log)
            wall_s, reason = result.wall_s, result.reason
        finally:
            ended_us = self._clock.now_us()
            agent_us = max(began_us, ended_us - int(wall_s * 1e6)) if wall_s else began_us
            fault = "" if reason is ExitReason.EXITED else reason.value
            about = _about(spec)
            if reason in _NOT_BEGUN:
                self._tell_start(handling, (began_us, ended_us), about, fault)
            else:
                if agent_us - began_us >= START_MIN_US:
                    self._tell_start(handling, (began_us, agent_us), about)
                lasted = Span("agent", agent, agent_us, ended_us, handling.span_id,
                              attributes=about, fault=fault)  # fmt: skip
                self._spans.report(lasted)
        return result

    def _tell_start(
        self,
        handling: TraceContext,
        moments: tuple[int, int],
        about: dict[str, AttributeValue],
        fault: str = "",
    ) -> None:
        place = handling.child("sandbox start")
        self._spans.report(
            Span("sandbox start", place, *moments, handling.span_id, attributes=about, fault=fault)
        )

    async def close(self) -> None:
        """Pass on."""
        await self._inner.close()


def _about(spec: SandboxSpec) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {s.TASK: spec.task_id}
    fields = bound_fields()
    for name, key in _ABOUT:
        value = fields.get(name)
        if value is not None:
            about[key] = value
    return about
