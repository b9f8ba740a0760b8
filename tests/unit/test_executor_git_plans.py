"""Plans against repositories, and tasks with other folders beside one."""

import json
from pathlib import Path

import pytest

from penstock_contracts.agent.v1 import Effect, Risk, Workspace
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.values import Phase
from penstock_runtime.ports.repositories import RepositoryRefused
from penstock_testkit.fakes.repositories import REF, TIP
from tests.unit.patching_world import EFFECT, INSIDE, PATCHER, PROPOSED, Patching

# --- planning -----------------------------------------------------------------------------------


async def test_the_plan_is_what_the_repository_says_of_it(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    plan = {"plan": {"effect": PROPOSED, "summary": "mends a"}}
    patching.world.sandbox.ends(exit_code=0, output=json.dumps(plan).encode())
    async with patching.world as world:
        result = await world.result(patching.task(Phase.PLAN))

    assert result.error is None
    assert result.plan is not None
    assert result.plan.effect == EFFECT
    assert result.plan.base == {"ref": REF, "commit": TIP, "files": {}}
    assert result.plan.summary == "mends a"
    assert world.repositories.calls == ["open", "plan"]
    (mount,) = world.sandbox.ran[0].mounts
    assert (mount.target, mount.writable) == (INSIDE, True)
    assert mount.source.is_relative_to(patching.scratch)
    assert json.loads(world.sandbox.ran[0].input) == {"repository_path": INSIDE}
    patching.nothing_is_left()


@pytest.mark.parametrize(("branch", "ref"), [({}, None), ({"targetBranch": "next"}, "next")])
async def test_the_input_names_the_branch(
    tmp_path: Path, branch: dict[str, object], ref: str | None
) -> None:
    patching = Patching(tmp_path)
    async with patching.world as world:
        _ = await world.result(patching.task(Phase.PLAN, **branch))

    assert world.repositories.refs == [ref]


async def test_without_mounts_the_agent_is_told_where_its_clone_is(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.executor._options.workspaces._rewrite = False
    async with patching.world as world:
        _ = await world.result(patching.task(Phase.PLAN))

    (spec,) = world.sandbox.ran
    shown = Path(json.loads(spec.input)["repository_path"])
    assert (spec.mounts, shown.is_relative_to(patching.scratch)) == ((), True)


@pytest.mark.parametrize(
    ("effect", "fault", "code", "said"),
    [
        ({"commands": ["rm"]}, None, Code.INVALID_OUTPUT, "effect: unknown field 'commands'"),
        (
            PROPOSED,
            RepositoryRefused("a/.git/config: nobody writes there"),
            Code.INVALID_OUTPUT,
            "the plan is refused: a/.git/config: nobody writes there",
        ),
        (PROPOSED | {"message": "x" * MAX_INLINE_BYTES}, None, Code.OUTPUT_TOO_LARGE, "65536"),
    ],
)
async def test_a_plan_that_no_repository_takes(
    tmp_path: Path, effect: object, fault: Exception | None, code: Code, said: str
) -> None:
    patching = Patching(tmp_path)
    patching.world.sandbox.ends(
        exit_code=0, output=json.dumps({"plan": {"effect": effect}}).encode()
    )
    if fault is not None:
        patching.world.repositories.faults["plan"] = fault
    async with patching.world as world:
        result = await world.result(patching.task(Phase.PLAN))

    assert result.error is not None
    assert (result.error.code, result.plan) == (code, None)
    assert said in result.error.message
    patching.nothing_is_left()


async def test_a_plan_with_a_secret_in_its_diff_is_refused(tmp_path: Path) -> None:
    manifest = PATCHER.model_copy(update={"secrets": ("key",)})
    patching = Patching(tmp_path, manifest, secrets={"key": TIP})
    plan = {"plan": {"effect": PROPOSED}}
    patching.world.sandbox.ends(exit_code=0, output=json.dumps(plan).encode())
    async with patching.world as world:
        result = await world.result(patching.task(Phase.PLAN))

    assert result.error is not None
    assert "holds the value of a secret" in result.error.message


async def test_a_repository_that_cannot_be_opened(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.repositories.faults["open"] = RepositoryRefused("it is shallow")
    async with patching.world as world:
        result = await world.result(patching.task(Phase.PLAN))

    assert result.error is not None
    assert (result.error.code, result.error.message) == (Code.WORKSPACE_REFUSED, "it is shallow")
    assert world.sandbox.ran == []
    patching.nothing_is_left()


# --- other shapes -------------------------------------------------------------------------------


async def test_a_run_works_on_a_clone_that_nobody_lands(tmp_path: Path) -> None:
    manifest = PATCHER.model_copy(
        update={"phases": (Phase.RUN,), "risk": Risk.AUTO, "effect": Effect.REPEATABLE}
    )
    patching = Patching(tmp_path, manifest)
    async with patching.world as world:
        result = await world.result(patching.task(Phase.RUN))

    assert result.output == {"applied": True}
    assert world.repositories.calls == ["open"]
    patching.nothing_is_left()


async def test_an_optional_repository_may_be_left_out(tmp_path: Path) -> None:
    workspace = Workspace(input="repository_path", mode="git", optional=True)
    patching = Patching(tmp_path, PATCHER.model_copy(update={"workspaces": (workspace,)}))
    plan = {"plan": {"effect": {"free": 1}}}
    patching.world.sandbox.ends(exit_code=0, output=json.dumps(plan).encode())
    async with patching.world as world:
        result = await world.result(world.task(phase=Phase.PLAN))

    assert result.plan is not None
    assert result.plan.effect == {"free": 1}
    assert world.repositories.calls == []


async def test_two_repositories_are_refused(tmp_path: Path) -> None:
    both = (Workspace(input="one", mode="git"), Workspace(input="two", mode="git"))
    patching = Patching(tmp_path, PATCHER.model_copy(update={"workspaces": both}))
    where = str(patching.repository)
    async with patching.world as world:
        task = world.task(phase=Phase.PLAN, input={"one": where, "two": where})
        result = await world.result(task)

    assert result.error is not None
    assert result.error.message == "two: one repository a task is enough"


async def test_a_branch_is_a_text(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    async with patching.world as world:
        result = await world.result(patching.task(Phase.PLAN, target_branch=7))

    assert result.error is not None
    assert result.error.code == Code.WORKSPACE_REFUSED
