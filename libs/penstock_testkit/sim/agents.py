"""What agents of a simulated world do, and what they have really done."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

from pydantic_core import to_json

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import JsonObject, Phase
from penstock_core.workflow.plan import manifest_digest
from penstock_runtime.bundles import Bundle, Discovery
from penstock_runtime.ports.sandbox import (
    ExitReason,
    LogLine,
    SandboxHealth,
    SandboxResult,
    SandboxSpec,
)
from penstock_testkit.builders import workflows as builders
from penstock_testkit.checking.history import Effected
from penstock_testkit.sim.dice import Dice
from penstock_testkit.virtual_time import VirtualClock

AVAILABLE = SandboxHealth("simulated", "none", True, (), None, None)
NONCE: ContextVar[str | None] = ContextVar("nonce", default=None)
_NONCES = "nonce-{}"
BULK = 40_000  # times a node's name: an output that travels as an artifact
DOOR_KEY = "door-key"
CANARY = 'c4n"ry/of:the+w\u00f6rld'  # no form of it may ever leave an executor
AGENTS: Mapping[str, AgentManifest] = {
    name: agent.model_copy(update={"secrets": (DOOR_KEY,)})
    for name, agent in builders.AGENTS.items()
}


@dataclass(frozen=True, slots=True)
class Conduct:
    """What an agent does in one attempt: it works, acts upon the world, works on, and ends.

    Attributes:
        says: what it writes to its log; its secret may be in it, as in the output.
    """

    says: str
    before_s: float
    after_s: float
    exit_code: int
    output: bytes | None


class Deeds:
    """Everything that agents have done, as the world saw it."""

    def __init__(self, clock: VirtualClock) -> None:
        """Begin with nothing done."""
        self.done: list[Effected] = []
        self.tasks: dict[str, TaskMessage] = {}
        self._clock = clock
        self._nonces = count(1)

    def draw(self) -> str:
        """Give the nonce of a delivery, and remember it for what is done in its name."""
        nonce = _NONCES.format(next(self._nonces))
        NONCE.set(nonce)
        return nonce

    def happened(self, task: TaskMessage, executor: str, *, once: bool) -> None:
        """Note that something was done."""
        self.done.append(
            Effected(
                run_id=task.run_id,
                node=task.node,
                attempt=task.attempt,
                phase=task.phase,
                agent=task.agent,
                nonce=NONCE.get() if once else None,
                key=task.idempotency_key,
                once=once,
                at_us=self._clock.now_us(),
                executor=executor,
            )
        )

    def of_node(self, run_id: str, node: str) -> bool:
        """Tell whether any attempt of a node has acted upon the world."""
        return any((deed.run_id, deed.node) == (run_id, node) for deed in self.done)

    def of_attempt(self, run_id: str, node: str, attempt: int) -> bool:
        """Tell whether an attempt has acted upon the world."""
        return any(
            (deed.run_id, deed.node, deed.attempt) == (run_id, node, attempt) for deed in self.done
        )


class SimSandbox:
    """Fulfils the port `Sandbox`: what an agent does depends on the seed and its task alone."""

    def __init__(
        self, seed: int, executor: str, agents: Mapping[str, AgentManifest], deeds: Deeds,
        clock: VirtualClock,
    ) -> None:  # fmt: skip
        """Run agents on `executor`."""
        self._seed = seed
        self._executor = executor
        self._agents = agents
        self._deeds = deeds
        self._clock = clock

    async def check(self) -> SandboxHealth:
        """See the port."""
        return AVAILABLE

    async def run(self, spec: SandboxSpec, on_log: Callable[[LogLine], None]) -> SandboxResult:
        """See the port."""
        task = self._deeds.tasks[spec.task_id]
        conduct = conduct_of(Dice(self._seed, f"agent/{spec.task_id}"), task)
        on_log(LogLine("stdout", conduct.says, self._clock.now_us()))
        left_s = spec.limits.wall_s
        await self._clock.sleep(min(conduct.before_s, left_s))
        if conduct.before_s >= left_s:
            return _ended(ExitReason.TIMEOUT, None, None)
        if task.phase is not Phase.PLAN:
            self._deeds.happened(task, self._executor, once=not self._agents[task.agent].repeats)
        left_s -= conduct.before_s
        await self._clock.sleep(min(conduct.after_s, left_s))
        if conduct.after_s >= left_s:
            return _ended(ExitReason.TIMEOUT, None, None)
        return _ended(ExitReason.EXITED, conduct.exit_code, conduct.output)

    async def close(self) -> None:
        """See the port."""


def conduct_of(dice: Dice, task: TaskMessage) -> Conduct:
    """Draw what becomes of a task."""
    slow = dice.random()
    span_s = dice.seconds(0.01, 1) if slow < 0.75 else dice.seconds(1, 8 if slow < 0.95 else 60)
    before_s = span_s * dice.random()
    kind = dice.random()
    spilt = _spilt(dice)
    if kind < 0.78:
        code, output = 0, to_json(_good(dice, task, spilt))
    elif kind < 0.90:
        error: JsonObject = {"message": f"not now{spilt}", "retryable": dice.chance(0.7)}
        code, output = 10, to_json({"error": error})
    elif kind < 0.95:
        code, output = dice.choice((1, 137)), None
    else:
        code, output = 0, dice.choice((b"", b"{", b"[]", b'{"plan": 3}', spilt.encode(), None))
    return Conduct(f"working on {task.node}{spilt}", before_s, span_s - before_s, code, output)


def _spilt(dice: Dice) -> str:
    """Give the secret, written in some way, for an agent that does not keep it; mostly nothing."""
    if not dice.chance(0.2):
        return ""
    raw = CANARY.encode()
    forms = (CANARY, to_json(CANARY).decode(), raw.hex(), b64encode(raw).decode(), quote(CANARY))
    return f" with {dice.choice(forms)}"


def _good(dice: Dice, task: TaskMessage, spilt: str) -> JsonObject:
    if task.phase is not Phase.PLAN:
        by: JsonObject = {"by": f"{task.node}/{task.attempt}{spilt}"}
        return by | {"bulk": f"{task.node * BULK}{spilt}"} if dice.chance(0.12) else by
    if dice.chance(0.15):
        return {"output": {"nothing": "to do"}}
    return {"plan": {"effect": {"write": task.node}, "base": {"at": task.attempt}, "summary": "s"}}


def _ended(reason: ExitReason, exit_code: int | None, output: bytes | None) -> SandboxResult:
    return SandboxResult(
        reason=reason, exit_code=exit_code, signal=None, output=output, detail="", wall_s=0.0,
        cpu_s=0.0, max_rss_bytes=0, log_truncated=False,
    )  # fmt: skip


class SimBundles:
    """Fulfils the port `Bundles`: every executor has every agent."""

    def __init__(self, agents: Sequence[AgentManifest]) -> None:
        """Have these."""
        self._bundles = {
            agent.name: Bundle(agent, manifest_digest(agent), Path("/nowhere")) for agent in agents
        }

    async def find(self, agent: str, digest: str) -> Bundle | None:
        """See the port."""
        del digest
        return self._bundles.get(agent)

    async def discover(self) -> Discovery:
        """See the port."""
        return Discovery(self._bundles)
