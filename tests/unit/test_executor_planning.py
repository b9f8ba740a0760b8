"""What an agent's plan phase writes is what people are shown, or it is refused."""

import json

import pytest

from penstock_contracts.agent.v1 import AgentManifest, Effect, Risk, Workspace
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.run.v1 import ClaimTask, ReportResult, ReportStarted
from penstock_contracts.task.v1 import Outcome
from penstock_contracts.values import Phase
from penstock_executor.workspaces import Workspaces
from penstock_testkit.fakes.executor import ExecutorWorld

PLANNER = AgentManifest(
    name="planner",
    risk=Risk.APPROVAL_REQUIRED,
    effect=Effect.ONCE,
    phases=(Phase.PLAN, Phase.APPLY),
    command=("planner",),
    input={"type": "object"},
    output={"type": "object", "required": ["done"]},
)
PLAN = {"effect": {"delete": ["a", "b"]}, "base": {"etag": "7"}, "summary": "two deletions"}


async def plans(output: object, manifest: AgentManifest = PLANNER, **options: object):
    async with ExecutorWorld(manifest, **options) as world:  # type: ignore[arg-type]
        raw = output if isinstance(output, bytes) else json.dumps(output).encode()
        world.sandbox.ends(exit_code=0, output=raw)
        return await world.result(world.task(phase=Phase.PLAN)), world


async def test_a_plan_is_reported_without_a_claim_or_a_grant() -> None:
    result, world = await plans({"plan": PLAN}, verifier=None)

    assert (result.outcome, result.phase, result.output) == (Outcome.SUCCEEDED, Phase.PLAN, None)
    assert result.plan is not None
    assert result.plan.to_data() == PLAN
    assert (result.nonce, world.data_of(ClaimTask.TYPE)) == (None, [])
    assert world.sandbox.ran[0].env["PENSTOCK_PHASE"] == "plan"
    assert world.sandbox.ran[0].input == b"{}"


async def test_nothing_to_apply_is_an_output_of_the_manifests_shape() -> None:
    result, _ = await plans({"output": {"done": False}})

    assert (result.outcome, result.plan, result.output) == (
        Outcome.SUCCEEDED,
        None,
        {"done": False},
    )


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        (b"nonsense", Code.INVALID_OUTPUT, "is not a JSON object"),
        ({}, Code.INVALID_OUTPUT, "this one wrote no field"),
        ({"done": True}, Code.INVALID_OUTPUT, "this one wrote the fields: done"),
        ({"plan": PLAN, "output": {}}, Code.INVALID_OUTPUT, "this one wrote both"),
        ({"plan": PLAN, "note": 1}, Code.INVALID_OUTPUT, "the fields: note, plan"),
        ({"plan": "rm"}, Code.INVALID_OUTPUT, "`plan` of this one is not an object"),
        ({"output": None}, Code.INVALID_OUTPUT, "`output` of this one is not an object"),
        ({"output": {"wrong": 1}}, Code.INVALID_OUTPUT, "'done' is a required property"),
        ({"plan": {"base": {}}}, Code.INVALID_OUTPUT, "effect: Field required"),
        ({"plan": {"effect": "x"}}, Code.INVALID_OUTPUT, "effect: Input should be a valid dict"),
        ({"plan": PLAN | {"also": 1}}, Code.INVALID_OUTPUT, "fields nobody knows: also"),
        ({"plan": PLAN | {"summary": "x" * 1025}}, Code.INVALID_OUTPUT, "at most 1024 characters"),
        ({"plan": {"effect": {"n": 2**53}}}, Code.INVALID_OUTPUT, "/effect/n: an integer beyond"),
        (
            {"plan": {"effect": {"diff": "x" * MAX_INLINE_BYTES}}},
            Code.OUTPUT_TOO_LARGE,
            "bytes; 65536 are allowed: propose less",
        ),
    ],
)
async def test_what_is_no_plan_is_refused_by_name(output: object, code: Code, said: str) -> None:
    result, _ = await plans(output)

    assert result.error is not None
    assert (result.outcome, result.error.code, result.error.retryable) == (
        Outcome.FAILED,
        code,
        False,
    )
    assert said in result.error.message
    assert (result.plan, result.output) == (None, None)


async def test_a_plan_without_an_output_names_that() -> None:
    async with ExecutorWorld(PLANNER) as world:
        world.sandbox.ends(exit_code=0, output=None)
        result = await world.result(world.task(phase=Phase.PLAN))

    assert result.error is not None
    assert result.error.message == "the agent ended well but wrote no output"


async def test_a_plan_that_holds_a_secret_is_refused_not_altered() -> None:
    manifest = PLANNER.model_copy(update={"secrets": ("api-key",)})
    plan = {"plan": {"effect": {"header": "Bearer hunter22"}}}
    result, world = await plans(plan, manifest, secrets={"api-key": "hunter22"})

    assert result.error is not None
    assert "holds the value of a secret" in result.error.message
    assert b"hunter22" not in b"".join(message.payload for message in world.publisher.sent)


async def test_a_name_that_holds_a_secret_is_not_repeated() -> None:
    manifest = PLANNER.model_copy(update={"secrets": ("api-key",)})
    result, _ = await plans({"hunter22": 1}, manifest, secrets={"api-key": "hunter22"})

    assert result.error is not None
    assert "[redacted]" in result.error.message
    assert "hunter22" not in result.error.message


async def test_planning_changes_no_folder(tmp_path: object) -> None:
    manifest = PLANNER.model_copy(update={"workspaces": (Workspace(input="folder", mode="rw"),)})
    async with ExecutorWorld(manifest, workspaces=Workspaces([tmp_path])) as world:  # type: ignore[list-item]
        task = world.task(phase=Phase.PLAN, input={"folder": str(tmp_path)})
        await world.result(task)

    assert [mount.writable for mount in world.sandbox.ran[0].mounts] == [False]


async def test_feedback_reaches_the_plan() -> None:
    async with ExecutorWorld(PLANNER) as world:
        await world.result(world.task(phase=Phase.PLAN, feedback="keep\0 b"))

    assert world.sandbox.ran[0].env["PENSTOCK_FEEDBACK"] == "keep b"


async def test_a_long_plan_reports_its_start_as_a_repeatable_task() -> None:
    async with ExecutorWorld(PLANNER) as world:
        world.sandbox.hold.clear()
        item = world.deliver(world.task(phase=Phase.PLAN))
        await world.until(lambda: world.sandbox.ran)
        await world.clock.advance(1.2)
        assert len(world.data_of(ReportStarted.TYPE)) == 1
        world.sandbox.hold.set()
        assert await world.settled(item) == "ack"


async def test_a_plan_that_is_stopped_is_planned_again_elsewhere() -> None:
    async with ExecutorWorld(PLANNER, grace_s=1.0) as world:
        world.sandbox.hold.clear()
        item = world.deliver(world.task(phase=Phase.PLAN))
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(1.0)
        await world.ended()

    assert item.fates == ["back 0"]
    assert world.data_of(ReportResult.TYPE) == []


@pytest.mark.parametrize(
    ("phases", "phase"),
    [((Phase.PLAN, Phase.APPLY), Phase.RUN), ((Phase.RUN,), Phase.PLAN)],
)
async def test_a_phase_the_agent_does_not_have_is_refused(
    phases: tuple[Phase, ...], phase: Phase
) -> None:
    async with ExecutorWorld(PLANNER.model_copy(update={"phases": phases})) as world:
        result = await world.result(world.task(phase=phase))

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
    assert f"and no {phase.value}" in result.error.message
    assert world.sandbox.ran == []
