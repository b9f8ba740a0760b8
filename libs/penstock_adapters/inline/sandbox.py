"""The inline adapter: no process, no isolation, and no code but its own.

`noop` answers at once. Its input may ask for more: `payload` is given back as `payload`,
`sleep_ms` waits, `fail_times` makes the first so many attempts fail in a declared way, `crash`
ends with that exit code, `lines` prints so many lines. The executor hands the attempt over in
`PENSTOCK_ATTEMPT`.

`noop-planner` proposes a plan whose effect is that `payload`, and applying gives the approved one
back; `nothing: true` finds nothing to apply. What else its input asks for happens as it applies,
or, with `phase: plan`, as it plans.
"""

import time
from collections.abc import Callable
from typing import Any, cast

from pydantic_core import from_json, to_json

from penstock_contracts.agent.v1 import AgentManifest, Effect, Risk
from penstock_contracts.values import Phase
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)

ENV_ATTEMPT = "PENSTOCK_ATTEMPT"
ENV_PHASE = "PENSTOCK_PHASE"
ENV_FEEDBACK = "PENSTOCK_FEEDBACK"
NOOP = "noop"
NOOP_ONCE = "noop-once"
NOOP_PLANNER = "noop-planner"
EXIT_DECLARED = 10
MAX_SLEEP_MS = 600_000
MAX_LINES = 100_000
MAX_SUMMARY = 1_024

_OBJECT = {"type": "object"}
_DESCRIPTION = "Does nothing: gives `payload` back, after `sleep_ms` and `fail_times` failures."
_PLANS = "Proposes to do nothing, and does it: gives `payload` back once a person allowed it."
_EMPTY = b"{}"
_BUILTIN = frozenset({NOOP, NOOP_ONCE, NOOP_PLANNER})
_KNOBS = frozenset({"sleep_ms", "fail_times", "crash", "lines"})


def builtin_manifests() -> tuple[AgentManifest, ...]:
    """Give the manifests of the built-in agents, for registration."""
    noop = AgentManifest(
        name=NOOP,
        version="1.0.0",
        description=_DESCRIPTION,
        effect=Effect.REPEATABLE,
        input=dict(_OBJECT),
        output=dict(_OBJECT),
    )
    once = noop.model_copy(update={"name": NOOP_ONCE, "effect": Effect.ONCE, "risk": Risk.AUTO})
    planner = AgentManifest(
        name=NOOP_PLANNER,
        version="1.0.0",
        description=_PLANS,
        risk=Risk.APPROVAL_REQUIRED,
        effect=Effect.ONCE,
        phases=(Phase.PLAN, Phase.APPLY),
        input=dict(_OBJECT),
        output=dict(_OBJECT),
    )
    return noop, once, planner


class InlineSandbox:
    """Fulfils the port `Sandbox` for the built-in agents alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def check(self) -> SandboxHealth:
        """It always runs."""
        return SandboxHealth(
            adapter="inline",
            isolation="none",
            available=True,
            degraded=("built-in agents only, inside the executor's process",),
            obstacle=None,
            mend=None,
        )

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """Run a built-in agent; any other cannot be started."""
        if spec.command[0] not in _BUILTIN:
            detail = f"{spec.command[0]} is not built in; the inline adapter runs nothing else"
            return _result(ExitReason.START_FAILED, None, None, detail)
        if spec.image is not None:
            detail = f"this agent needs the image {spec.image}: run it with PENSTOCK_SANDBOX=dagger"
            return _result(ExitReason.START_FAILED, None, None, detail)
        given = from_json(spec.input) if spec.input != _EMPTY else None
        asked = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        try:
            if spec.command[0] == NOOP_PLANNER:
                return await self._planner(asked, spec, on_log)
            return await self._noop(asked, spec, on_log) if asked else _done(_EMPTY)
        except (KeyError, TypeError, ValueError):
            return _declared("invalid_input", "a number was expected", retryable=False)

    async def _planner(
        self, asked: dict[str, Any], spec: SandboxSpec, on_log: Callable[[LogLine], None]
    ) -> SandboxResult:
        phase = spec.env.get(ENV_PHASE)
        applies = phase == Phase.APPLY
        task = asked["input"] if applies else asked
        if phase == task.get("phase", Phase.APPLY):
            knobs = {name: value for name, value in task.items() if name in _KNOBS}
            result = await self._noop(knobs, spec, on_log) if knobs else _done(_EMPTY)
            if result.exit_code != 0:
                return result
        if applies:
            return _done(to_json(asked["plan"]["effect"]))
        output = {"payload": task["payload"]} if "payload" in task else {}
        if task.get("nothing"):
            return _done(to_json({"output": output}))
        summary = spec.env.get(ENV_FEEDBACK, "") or "nothing would be done"
        plan = {"effect": output, "base": {"state": "any"}, "summary": summary[:MAX_SUMMARY]}
        return _done(to_json({"plan": plan}))

    async def _noop(
        self, asked: dict[str, Any], spec: SandboxSpec, on_log: Callable[[LogLine], None]
    ) -> SandboxResult:
        started = time.perf_counter()
        for number in range(min(int(asked.get("lines", 0)), MAX_LINES)):
            on_log(LogLine("stdout", f"line {number}", self._clock.now_us()))
        sleep_ms = min(float(asked.get("sleep_ms", 0)), MAX_SLEEP_MS)
        if sleep_ms / 1000 > spec.limits.wall_s:
            await self._clock.sleep(spec.limits.wall_s)
            return _result(ExitReason.TIMEOUT, None, None, f"over {spec.limits.wall_s:g} s")
        if sleep_ms > 0:
            await self._clock.sleep(sleep_ms / 1000)
        wall_s = time.perf_counter() - started
        if int(spec.env.get(ENV_ATTEMPT, "1")) <= int(asked.get("fail_times", 0)):
            return _declared("told_to_fail", "fail_times asks for it", retryable=True)
        if "crash" in asked:
            return _result(ExitReason.EXITED, int(asked["crash"]), None, wall_s=wall_s)
        output = to_json({"payload": asked["payload"]}) if "payload" in asked else _EMPTY
        return _done(output, wall_s)

    async def close(self) -> None:
        """Nothing is held."""


def _done(output: bytes, wall_s: float = 0.0) -> SandboxResult:
    return _result(ExitReason.EXITED, 0, output, wall_s=wall_s)


def _declared(code: str, message: str, *, retryable: bool) -> SandboxResult:
    body = {"error": {"code": code, "message": message, "retryable": retryable}}
    return _result(ExitReason.EXITED, EXIT_DECLARED, to_json(body))


def _result(
    reason: ExitReason,
    exit_code: int | None,
    output: bytes | None,
    detail: str = "",
    wall_s: float = 0.0,
) -> SandboxResult:
    return SandboxResult(
        reason=reason,
        exit_code=exit_code,
        signal=None,
        output=output,
        detail=detail,
        wall_s=wall_s,
        cpu_s=0.0,
        max_rss_bytes=0,
        log_truncated=False,
    )
