"""What a person has to allow is executed only as that person has seen it, or not at all."""

import pytest

from penstock_adapters.memory.signing import MemorySigner
from penstock_contracts.agent.v1 import AgentManifest, Risk
from penstock_contracts.codes import Code
from penstock_contracts.grant.v1 import SignedGrant
from penstock_contracts.ids import idempotency_key, run_id, task_id
from penstock_contracts.run.v1 import ClaimTask
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import MICROSECONDS, JsonObject, Phase
from penstock_core.binding import bind
from penstock_core.workflow.plan import manifest_digest
from penstock_runtime.bundles import Bundle
from penstock_testkit.fakes.clock import START_US
from penstock_testkit.fakes.executor import (
    NOWHERE,
    PROBE,
    RUN,
    VERIFIER,
    ExecutorWorld,
    once,
    proposal_of,
)

RISKY = once(PROBE.model_copy(update={"risk": Risk.APPROVAL_REQUIRED}))
PLANNER = RISKY.model_copy(update={"phases": (Phase.PLAN, Phase.APPLY)})
PLAN = PlannedChange(effect={"delete": ["a"]}, base={"etag": "7"}, summary="one deletion")
INPUT: JsonObject = {"folder": "x"}


def applying(world: ExecutorWorld, **changes: object) -> TaskMessage:
    """Give the task of an approved plan."""
    task = world.task(phase=Phase.APPLY, input=INPUT, plan=PLAN)
    return world.granted(task).model_copy(update=changes)


async def refused(world: ExecutorWorld, task: TaskMessage) -> str:
    """Deliver a task that must be refused before anything has happened; gives the message."""
    result = await world.result(task)
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.GRANT_REFUSED, False)
    assert (result.nonce, world.data_of(ClaimTask.TYPE)) == (None, [])
    assert world.sandbox.ran == []
    assert world.repositories.calls == []
    return result.error.message


async def runs(world: ExecutorWorld, task: TaskMessage) -> None:
    """Deliver a `once` task that must be claimed and run."""
    item = world.deliver(task)
    await world.until(lambda: world.data_of(ClaimTask.TYPE))
    nonce = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce
    await world.answer_claim(task, nonce, granted=True)
    assert await world.settled(item) == "ack"
    (result,) = world.results()
    assert result.error is None
    assert len(world.sandbox.ran) == 1


# --- what is allowed ----------------------------------------------------------------------------


async def test_an_approved_plan_is_handed_over_to_the_letter() -> None:
    async with ExecutorWorld(PLANNER) as world:
        await runs(world, applying(world, feedback="never told while it applies"))

    (spec,) = world.sandbox.ran
    assert spec.input == (
        b'{"input":{"folder":"x"},"plan":{"effect":{"delete":["a"]},"base":{"etag":"7"}}}'
    )
    assert spec.env["PENSTOCK_PHASE"] == "apply"
    assert "PENSTOCK_FEEDBACK" not in spec.env


async def test_an_agent_that_does_not_plan_is_allowed_by_its_input() -> None:
    async with ExecutorWorld(RISKY) as world:
        await runs(world, world.granted(world.task(input=INPUT)))

    assert world.sandbox.ran[0].input == b'{"folder":"x"}'


async def test_without_risk_and_without_a_grant_nothing_is_asked() -> None:
    async with ExecutorWorld(verifier=None) as world:
        result = await world.result()

    assert result.error is None


# --- no grant, or none that is believed ---------------------------------------------------------


@pytest.mark.parametrize(("manifest", "phase"), [(RISKY, Phase.RUN), (PLANNER, Phase.APPLY)])
async def test_without_a_grant(manifest: AgentManifest, phase: Phase) -> None:
    async with ExecutorWorld(manifest) as world:
        said = await refused(world, world.task(phase=phase, plan=PLAN))

    assert "probe may run only when a person has allowed it" in said
    assert "start the run again" in said


async def test_an_apply_without_a_plan() -> None:
    async with ExecutorWorld(PLANNER) as world:
        said = await refused(world, world.granted(world.task(phase=Phase.APPLY)))

    assert "carries no plan" in said


async def test_an_executor_without_keys_names_the_setting() -> None:
    async with ExecutorWorld(PLANNER, verifier=None) as world:
        said = await refused(world, applying(world))

    assert "set PENSTOCK_GRANT_KEYS to the approval service's public keys" in said


async def test_a_key_that_is_unknown_here() -> None:
    stranger = MemorySigner(b"of somebody else")
    async with ExecutorWorld(PLANNER) as world:
        task = applying(world)
        assert task.grant is not None
        forged = stranger.sign(VERIFIER.verify(task.grant))
        task = task.model_copy(update={"grant": forged})
        said = await refused(world, task)

    assert f"signed by {stranger.key_id}, a key unknown here" in said
    assert "PENSTOCK_GRANT_KEYS" in said


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("payload", lambda grant: grant.payload.replace('"ada"', '"eve"')),
        ("signature", lambda grant: grant.signature[::-1]),
        ("signature", lambda _grant: ""),
    ],
)
async def test_a_forged_grant(change: str, to: object) -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = applying(world)
        grant = task.grant
        assert isinstance(grant, SignedGrant)
        forged = grant.model_copy(update={change: to(grant)})  # type: ignore[operator]
        said = await refused(world, task.model_copy(update={"grant": forged}))

    assert "signature is not" in said


async def test_a_grant_that_has_ended() -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = world.task(phase=Phase.APPLY, input=INPUT, plan=PLAN)
        said = await refused(world, world.granted(task, expires_us=START_US))

    assert "the grant ended at " in said
    assert "the gate's `grant_for`" in said


async def test_a_grant_that_ends_while_the_claim_is_awaited() -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = world.task(phase=Phase.APPLY, input=INPUT, plan=PLAN)
        task = world.granted(task, expires_us=START_US + 5 * MICROSECONDS)
        item = world.deliver(task)
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        await world.clock.advance(5.0)
        nonce = ClaimTask.model_validate(world.data_of(ClaimTask.TYPE)[0]).nonce
        await world.answer_claim(task, nonce, granted=True)
        assert await world.settled(item) == "ack"

    (result,) = world.results()
    assert result.error is not None
    assert (result.error.code, result.nonce) == (Code.GRANT_REFUSED, nonce)
    assert world.sandbox.ran == []


# --- a good grant for something else ------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tenant": "other"}, "its tenant is other, the task's default"),
        (
            {"run_id": run_id("default", "hello", "2")},
            f"its run is {run_id('default', 'hello', '2')}, the task's {RUN}",
        ),
        ({"node": "deploy"}, "its node is deploy, the task's scan"),
        ({"attempt": 2}, "its attempt is 2, the task's 1"),
    ],
)
async def test_a_grant_for_another_task(changes: dict[str, object], said: str) -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = world.task(phase=Phase.APPLY, input=INPUT, plan=PLAN)
        assert said in await refused(world, world.granted(task, **changes))


async def test_a_grant_that_is_used_again_for_the_next_attempt() -> None:
    async with ExecutorWorld(PLANNER) as world:
        again = {"attempt": 2, "task_id": task_id(RUN, "scan", 2, Phase.APPLY)}
        said = await refused(world, applying(world, **again))

    assert "its attempt is 1, the task's 2" in said
    assert "Each attempt needs its own approval" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_id": task_id(RUN, "scan", 2, Phase.APPLY)}, "the task's id is not the one"),
        ({"idempotency_key": idempotency_key(RUN, "deploy")}, "the task's idempotency key is not"),
    ],
)
async def test_names_that_follow_from_the_grants_are_not_chosen(
    changes: dict[str, object], said: str
) -> None:
    async with ExecutorWorld(PLANNER) as world:
        assert said in await refused(world, applying(world, **changes))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"input": {"folder": "y"}}, ["input"]),
        ({"plan": PLAN.model_copy(update={"effect": {"delete": ["a", "b"]}})}, ["effect"]),
        ({"plan": PLAN.model_copy(update={"base": {"etag": "8"}})}, ["base"]),
        ({"plan": PLAN.model_copy(update={"effect": {}, "base": {}})}, ["effect", "base"]),
    ],
)
async def test_a_grant_for_something_else(changes: dict[str, object], parts: list[str]) -> None:
    async with ExecutorWorld(PLANNER) as world:
        said = await refused(world, applying(world, **changes))

    assert "what was approved is not what the task would do" in said
    named = [part for part in ("agent", "input", "effect", "base") if f"{part} was " in said]
    assert named == parts


async def test_the_summary_may_say_anything() -> None:
    async with ExecutorWorld(PLANNER) as world:
        plan = PLAN.model_copy(update={"summary": "other words"})
        await runs(world, applying(world, plan=plan))


async def test_a_changed_agent_under_the_digest_of_the_approved_one() -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = applying(world)
        changed = PLANNER.model_copy(update={"version": "2.0.0"})
        world.bundles.bundles["probe"] = Bundle(changed, manifest_digest(changed), NOWHERE)
        result = await world.result(task)

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert manifest_digest(changed) in result.error.message
    assert (world.data_of(ClaimTask.TYPE), world.sandbox.ran) == ([], [])


async def test_a_changed_agent_under_its_own_digest() -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = applying(world)
        changed = PLANNER.model_copy(update={"version": "2.0.0"})
        world.bundles.bundles["probe"] = Bundle(changed, manifest_digest(changed), NOWHERE)
        said = await refused(
            world, task.model_copy(update={"agent_digest": manifest_digest(changed)})
        )

    assert "agent was " in said


async def test_a_digest_that_is_not_that_of_its_parts() -> None:
    async with ExecutorWorld(PLANNER) as world:
        task = world.task(phase=Phase.APPLY, input=INPUT, plan=PLAN)
        wrong = bind(proposal_of(task)).model_copy(update={"digest": "sha256:" + "0" * 64})
        said = await refused(world, world.granted(task, binding=wrong))

    assert "the digest of the whole is not that of its parts" in said


async def test_a_grant_is_checked_wherever_one_is_carried() -> None:
    async with ExecutorWorld() as world:
        said = await refused(world, world.granted(world.task(), node="deploy"))

    assert "its node is deploy" in said


async def test_a_plan_cannot_be_smuggled_into_a_run() -> None:
    async with ExecutorWorld(RISKY) as world:
        task = world.granted(world.task()).model_copy(update={"plan": PLAN})
        said = await refused(world, task)

    assert "effect was" in said
