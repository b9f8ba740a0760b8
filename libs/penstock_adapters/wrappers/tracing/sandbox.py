"""A sandbox that reports its start and the agent, and tells the agent its place."""

from collections.abc import Callable
from dataclasses import replace

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
from penstock_runtime.telemetry.trace import TraceContext, parse_traceparent

VARIABLE = "TRACEPARENT"
_ABOUT = (
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
        sent = parse_traceparent(spec.env.get(VARIABLE))
        if sent is None or not self._spans.wants(sent):
            return await self._inner.run(spec, on_log)
        handling = sent.child(s.PROCESS)
        whole = handling.child("sandbox")
        agent = whole.child("agent")
        told = replace(spec, env={**spec.env, VARIABLE: agent.header()})
        began_us, wall_s, fault = self._clock.now_us(), 0.0, ExitReason.CANCELLED.value
        try:
            result = await self._inner.run(told, on_log)
            wall_s = result.wall_s
            fault = "" if result.reason is ExitReason.EXITED else result.reason.value
        finally:
            ended_us = self._clock.now_us()
            agent_us = max(began_us, ended_us - int(wall_s * 1e6)) if wall_s else began_us
            about = _about(spec)
            self._tell("sandbox", whole, handling, (began_us, ended_us), about, fault)
            self._tell("sandbox start", whole.child("start"), whole, (began_us, agent_us), about)
            self._tell("agent", agent, whole, (agent_us, ended_us), about, fault)
        return result

    def _tell(
        self,
        name: str,
        place: TraceContext,
        parent: TraceContext,
        moments: tuple[int, int],
        about: dict[str, AttributeValue],
        fault: str = "",
    ) -> None:
        span = Span(name, place, *moments, parent.span_id, attributes=about, fault=fault)
        self._spans.report(span)

    async def close(self) -> None:
        """Pass on."""
        await self._inner.close()


def _about(spec: SandboxSpec) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {s.TASK: spec.task_id}
    about.update({key: spec.env[name] for name, key in _ABOUT if name in spec.env})
    return about
