"""From a decision to the begin of what it allows.

Two ways are measured, each one decision at a time on a warm stack, from just before the HTTP
request that carries the only vote a gate needs:

- through the inline adapter to the claim: the time at which the bus stored the executor's claim,
  which follows the checks of signature and digests; it is the time of the event `TaskStarted`
- through the sandbox to the first instruction of `apply`, as the program itself saw it

The first bounds what Penstock adds before an effect may begin; the second is what a person waits.
"""

import statistics
import time
from pathlib import Path

from probes import make_probe

from penstock_adapters.inline.sandbox import NOOP_PLANNER
from penstock_contracts.run.v1 import TaskStarted
from penstock_testkit.stack import Json, RunningStack

WORKFLOW = "bench-decision"
NODE = "planned"
WARM_UP = 10


async def decisions(home: Path, count: int) -> None:
    """Measure both ways, each on a stack of its own."""
    await to_claim(home / "inline", count)
    await to_first_instruction(home / "sandbox", count)


async def to_claim(home: Path, count: int) -> None:
    """Measure from the vote to the claim, with the built-in planner."""
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack:
        await stack.register_builtin()
        await stack.apply(WORKFLOW, {NODE: {"agent": NOOP_PLANNER, "with": {"payload": 1}}})
        samples: list[float] = []
        for _ in range(count + WARM_UP):
            voted_ns, shown = await decided(stack)
            samples.append((claimed_us(stack, shown) * 1000 - voted_ns) / 1e6)
    show("vote sent to claim of the apply task, inline", samples[WARM_UP:])


async def to_first_instruction(home: Path, count: int) -> None:
    """Measure from the vote to the first instruction of `apply` in the sandbox."""
    agents = home / "agents"
    kind = make_probe(agents / "bench-planner", plans=True)
    async with RunningStack.started(home / "state", PENSTOCK_AGENT_ROOTS=str(agents)) as stack:
        await stack.register_bundle(agents / "bench-planner")
        await stack.apply(WORKFLOW, {NODE: {"agent": "bench-planner"}})
        claims: list[float] = []
        begun: list[float] = []
        for _ in range(count + WARM_UP):
            voted_ns, shown = await decided(stack)
            claims.append((claimed_us(stack, shown) * 1000 - voted_ns) / 1e6)
            begun.append((int(shown["nodes"][NODE]["output"]["at"]) * 1000 - voted_ns) / 1e6)
    show("vote sent to claim of the apply task, sandbox", claims[WARM_UP:])
    show(f"vote sent to first instruction of a {kind} in the sandbox", begun[WARM_UP:])


async def decided(stack: RunningStack) -> tuple[int, Json]:
    """Approve one run; gives when the vote was sent, in ns, and what the run came to."""
    run = await stack.trigger(WORKFLOW)
    approval = await stack.pending_approval(run)
    voted_ns = time.time_ns()
    _ = await stack.respond(approval, "approve")
    return voted_ns, await stack.ended(run)


def claimed_us(stack: RunningStack, shown: Json) -> int:
    """Give the time of the claim."""
    events = stack.stored(shown["run"]["run_id"])
    (started,) = (event for event in events if event.topic == TaskStarted.TYPE)
    return started.meta.time_us


def show(what: str, samples: list[float]) -> None:
    """Print a line."""
    cuts = statistics.quantiles(samples, n=100)
    print(
        f"{what}, {len(samples)} times: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, "
        f"min {min(samples):.1f} ms"
    )
