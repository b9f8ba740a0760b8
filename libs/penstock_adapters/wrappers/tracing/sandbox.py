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
from penstock_runtime.telemetry.spans import AttributeValue, Span, Spans
from penstock_runtime.telemetry.trace import TraceContext

VARIABLE: Final = "TRACEPARENT"
START_MIN_US: Final = 1_000  # a sandbox that is there sooner has no start worth a span
_NOT_BEGUN: Final = frozenset({ExitReason.START_FAILED, ExitReason.UNAVAILABLE})
_ABOUT: Final = (
    ("PENSTOCK_RUN_ID", s.RUN_ID),
    ("PENSTOCK_NODE", s.NODE),
    ("PENSTOCK_ATTEMPT", s.ATTEMPT),
    ("PENSTOCK_WORKFLOW", s.WORKFLOW),
)


class TracedSandbox:
    """Fulfils the port `Sandbox`."""

    def __init__(self, inner: Sandbox, clock: Clock, spans: Spans) -> None:
        """Wrap `inner`."""
        self._inner = inner
        self._clock = clock
        self._spans = spans

    async def check(self) -> SandboxHealth:
        """Pass on."""
        return await self._inner.check()

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Pass on with the agent's own place in the environment, and report."""
        sent = self._spans.place(spec.env.get(VARIABLE))
        if sent is None:
            return await self._inner.run(spec, on_log)
        handling = sent.child(s.PROCESS)
        agent = handling.child("agent")
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
    about.update({key: spec.env[name] for name, key in _ABOUT if name in spec.env})
    attempt = about.get(s.ATTEMPT)
    if isinstance(attempt, str) and attempt.isdecimal():
        about[s.ATTEMPT] = int(attempt)
    return about
