"""Plans, decisions, push backs and unknown outcomes through all processes, in virtual time."""

from typing import Any

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import ApprovalRequested, ApprovalWithdrawn, Choice
from penstock_contracts.codes import Code
from penstock_contracts.ids import task_id
from penstock_contracts.run.v1 import ClaimTask, GateOpened, GatePassed, GatePushedBack, NodeFailed
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import Failure, Phase
from penstock_runtime.telemetry.metrics import REJECTED
from penstock_testkit.builders.workflows import gate, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import Act, World
from penstock_testkit.world.world import RUN_PARTITION, TENANT

RETRY = {"attempts": 2, "delay": "1s", "jitter": 0}


async def started(world: World, **nodes: dict[str, Any]) -> str:
    await world.ready_for(workflow(nodes=nodes))
    return world.trigger("flow")


async def gated(world: World, run: str, times: int = 1) -> None:
    await world.until(lambda: world.count(run, "gate_opened") == times)


async def shown_as_stored(world: World, run: str) -> None:
    await world.until(world.shown)
    assert await world.view_hash(run) == await world.store_hash(run)


@in_virtual_time
async def test_a_plan_is_approved_and_applied():
    async with World() as world:
        run = await started(world, fix=node(agent="patch", with_={"to": "v2"}), tell=node("fix"))
        await gated(world, run)
        await shown_as_stored(world, run)
        assert not world.script.granted
        world.vote(run, "fix", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.story(run) == [
            "run_started", "task_scheduled", "plan_made", "gate_opened",
            "gate_passed", "task_scheduled", "task_started",
            "node_succeeded", "task_scheduled", "node_succeeded", "run_succeeded",
        ]  # fmt: skip
        plan, apply, _ = world.script.tasks
        assert (plan.phase, apply.phase) == (Phase.PLAN, Phase.APPLY)
        assert apply.plan == PlannedChange(effect={"write": "fix/1"}, base={"at": 1})
        assert apply.grant == world.facts(RUN_PARTITION, GatePassed.TYPE)[0].grant  # type: ignore[attr-defined]
        await shown_as_stored(world, run)


@in_virtual_time
async def test_nothing_to_do_needs_nobody():
    async with World() as world:
        world.script.plans[("fix", 1)] = Act({"applied": False})
        run = await started(world, fix=node(agent="patch"))
        await world.until(lambda: world.ended(run))
        assert world.records(APPROVAL_PARTITION) == ()
        assert world.story(run)[-1] == "run_succeeded"


@in_virtual_time
async def test_a_plan_sent_back_is_made_anew_and_needs_a_new_decision():
    async with World() as world:
        run = await started(world, fix=node(agent="patch"))
        await gated(world, run)
        world.vote(run, "fix", Choice.PUSH_BACK, "smaller")
        await gated(world, run, 2)
        assert world.script.tasks[-1].feedback == "smaller"
        world.vote(run, "fix", Choice.APPROVE)  # of the first plan: too late
        await world.pass_time(60)
        assert not world.ended(run)
        world.vote(run, "fix", Choice.APPROVE, attempt=2)
        await world.until(lambda: world.ended(run))
        assert world.script.tasks[-1].plan == PlannedChange(
            effect={"write": "fix/2"}, base={"at": 1}
        )
        first, second = world.facts(RUN_PARTITION, GateOpened.TYPE)
        assert first.binding.digest != second.binding.digest  # type: ignore[attr-defined]
        await shown_as_stored(world, run)


@in_virtual_time
async def test_an_ancestor_sent_back_leads_to_a_new_plan_and_a_new_decision():
    nodes = {
        "draft": node(),
        "fix": node("draft", agent="patch", with_={"text": "{{draft.output.text}}"},
                    approval={"push_back": ["draft", "fix"]}),
        "tell": node("fix"),
    }  # fmt: skip
    async with World() as world:
        world.script.acts[("draft", 1)] = Act({"text": "long"})
        world.script.acts[("draft", 2)] = Act({"text": "short"})
        run = await started(world, **nodes)
        await gated(world, run)
        world.vote(run, "fix", Choice.PUSH_BACK, "too long", to="draft")
        await gated(world, run, 2)
        world.vote(run, "fix", Choice.APPROVE, attempt=2)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        (sent,) = world.facts(RUN_PARTITION, GatePushedBack.TYPE)
        assert sent.reset == ("draft", "fix")  # type: ignore[attr-defined]
        apply = next(task for task in world.script.tasks if task.phase is Phase.APPLY)
        assert (apply.attempt, apply.input) == (2, {"text": "short"})
        assert world.script.granted == [("fix", 2)]
        await shown_as_stored(world, run)


@in_virtual_time
async def test_a_changed_base_is_planned_and_decided_anew():
    async with World() as world:
        changed = Failure(code="base_changed", message="v1 is v3", retryable=True)
        world.script.acts[("fix", 1)] = Act(error=changed, unclaimed=True)
        run = await started(world, fix=node(agent="patch", retry=RETRY))
        await gated(world, run)
        world.vote(run, "fix", Choice.APPROVE)
        await gated(world, run, 2)
        assert not world.script.granted
        asked = world.facts(APPROVAL_PARTITION, ApprovalRequested.TYPE)
        assert [one.because for one in asked if isinstance(one, ApprovalRequested)] == [
            "", "attempt 1 ended with base_changed: v1 is v3",
        ]  # fmt: skip
        world.vote(run, "fix", Choice.APPROVE, attempt=2)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        assert world.script.granted == [("fix", 2)]


@in_virtual_time
async def test_a_retry_behind_a_gate_needs_no_new_decision():
    async with World() as world:
        world.script.acts[("go", 1)] = Act.failing(again=True)
        run = await started(world, go=node(approval={}, retry=RETRY))
        await gated(world, run)
        world.vote(run, "go", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        assert world.count(run, "gate_opened") == 1


@in_virtual_time
async def test_a_grant_does_not_stand_for_ever():
    async with World() as world:
        world.script.acts[("go", 1)] = Act.failing(again=True)
        retry = {**RETRY, "delay": "1m"}
        run = await started(world, go=node(approval={"grant_for": "10s"}, retry=retry))
        await gated(world, run)
        world.vote(run, "go", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        (failed,) = world.facts(RUN_PARTITION, NodeFailed.TYPE)
        assert failed.error.code == "grant_refused"  # type: ignore[attr-defined]
        assert "grant ended" in failed.error.message  # type: ignore[attr-defined]


@in_virtual_time
async def test_a_run_that_ends_withdraws_what_it_asked():
    async with World() as world:
        run = await started(world, fix=node(agent="patch"), ok=gate())
        await gated(world, run, 2)
        world.cancel(run)
        await world.until(lambda: len(world.facts(APPROVAL_PARTITION, ApprovalWithdrawn.TYPE)) == 2)
        await shown_as_stored(world, run)


@in_virtual_time
async def test_a_claim_is_believed_with_its_own_tasks_code_only():
    async with World() as world:
        world.script.acts[("fix", 1)] = Act(after_s=20)
        run = await started(world, fix=node(agent="patch"))
        await gated(world, run)
        plan = world.script.tasks[0]
        apply_id = task_id(run, "fix", 1, Phase.APPLY)
        forged = ClaimTask(
            task_id=apply_id, node="fix", attempt=1, executor="x", nonce="n", token=plan.token
        )  # fmt: skip
        path = subjects.run(TENANT, RUN_PARTITION, run, "claim_task")
        world.send(path, forged)
        world.send(path, forged.model_copy(update={"task_id": plan.task_id, "attempt": 2}))
        await world.pass_time(1)
        assert world.metrics.of(REJECTED, RUN_PARTITION, Code.FORGED) == 2
        # The code of the plan is that of its own task, which has no effect to claim.
        world.vote(run, "fix", Choice.APPROVE)
        await world.until(lambda: world.count(run, "task_started") == 1)
        world.send(path, forged.model_copy(update={"task_id": plan.task_id}))
        await world.until(lambda: world.metrics.of(REJECTED, RUN_PARTITION, Code.CLAIMED) == 1)
        await world.until(lambda: world.ended(run))
        assert world.count(run, "task_started") == 1


# --- outcomes ------------------------------------------------------------------------------------

LOST: dict[str, Any] = {"timeout": {"running": "10s"}}


async def lost(world: World, **fields: Any) -> str:
    """Let an apply begin of which nothing is heard again."""
    world.script.acts[("fix", 1)] = Act(silent=True)
    run = await started(world, fix=node(agent="patch", **LOST, **fields), tell=node("fix"))
    await gated(world, run)
    world.vote(run, "fix", Choice.APPROVE)
    await world.until(lambda: world.count(run, "outcome_unknown") == 1)
    return run


@in_virtual_time
async def test_an_unknown_outcome_waits_for_a_person_and_goes_on_if_it_happened():
    async with World() as world:
        run = await lost(world)
        await world.pass_time(3600)
        assert not world.ended(run)
        world.settle(run, "fix", happened=True, output={"applied": True})
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-5:] == [
            "outcome_settled", "node_succeeded", "task_scheduled", "node_succeeded",
            "run_succeeded",
        ]  # fmt: skip
        await shown_as_stored(world, run)


@in_virtual_time
async def test_what_did_not_happen_is_planned_and_decided_anew():
    async with World() as world:
        run = await lost(world, retry=RETRY)
        world.settle(run, "fix", happened=False)
        await gated(world, run, 2)
        world.vote(run, "fix", Choice.APPROVE, attempt=2)
        await world.until(lambda: world.ended(run))
        assert world.story(run)[-1] == "run_succeeded"
        assert world.script.granted == [("fix", 1), ("fix", 2)]


@in_virtual_time
async def test_the_claimants_late_word_counts():
    async with World() as world:
        world.script.acts[("pay", 1)] = Act({"receipt": 7}, after_s=30)
        run = await started(world, pay=node(agent="pay", **LOST))
        await world.until(lambda: world.count(run, "outcome_unknown") == 1)
        await world.until(lambda: world.ended(run))
        assert (await world.state(run)).nodes["pay"].output == {"receipt": 7}


@in_virtual_time
async def test_settling_what_is_known_is_told_to_whoever_asked():
    async with World() as world:
        run = await started(world, a=node(), ok=gate("a"))
        await gated(world, run)
        world.settle(run, "a", happened=True)
        await world.until(lambda: world.count(run, "command_rejected") == 1)
