"""Repositories of tasks: checked before the claim, landed by the executor alone."""

import json
from pathlib import Path

import pytest

from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_INLINE_BYTES
from penstock_contracts.ids import approval_id
from penstock_contracts.run.v1 import ClaimTask
from penstock_contracts.values import Phase
from penstock_runtime.ports.repositories import BaseChanged, EffectDiffers, RepositoryRefused
from penstock_runtime.ports.sandbox import ExitReason
from penstock_testkit.fakes.executor import RUN
from penstock_testkit.fakes.repositories import COMMIT, REF, TIP
from tests.unit.patching_world import INSIDE, KEY, PATCHER, PLAN, Patching

# --- applying -----------------------------------------------------------------------------------


async def test_an_approved_plan_is_landed_with_who_allowed_it(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    async with patching.world as world:
        result = await patching.applied()

    assert result.error is None
    assert result.output == {
        "applied": True,
        "commit": COMMIT,
        "backup_path": f"refs/penstock/backup/{KEY}",
        "rollback": f"#!/bin/sh\ngit reset {TIP}\n",
    }
    assert world.repositories.calls == ["check", "open", "land"]
    assert world.repositories.refs == [REF]
    assert world.repositories.landed == [
        (
            KEY,
            [
                ("Penstock-Run", RUN),
                ("Penstock-Node", "scan"),
                ("Penstock-Approval", approval_id(RUN, "scan", 1)),
                ("Approved-By", "ada"),
            ],
        )
    ]
    assert json.loads(world.sandbox.ran[0].input) == {
        "input": {"repository_path": INSIDE},
        "plan": {"effect": PLAN.effect, "base": PLAN.base},
    }


async def test_the_output_says_only_what_its_manifest_names(tmp_path: Path) -> None:
    output = {"type": "object", "properties": {"applied": {}, "commit": {}}}
    patching = Patching(tmp_path, PATCHER.model_copy(update={"output": output}))
    async with patching.world:
        result = await patching.applied()

    assert result.output == {"applied": True, "commit": COMMIT}


async def test_everything_is_checked_before_the_claim(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    async with patching.world as world:
        item = world.deliver(patching.task(Phase.APPLY))
        await world.until(lambda: world.data_of(ClaimTask.TYPE))
        assert (world.repositories.calls, world.sandbox.ran) == (["check", "open"], [])
        await world.clock.advance(31.0)
        assert await world.settled(item) == "back 5"

    patching.nothing_is_left()


async def test_a_changed_base_is_named_and_nothing_is_claimed(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    changed = BaseChanged(["a is 4444444 and was 3333333", "b is gone"])
    patching.world.repositories.faults["check"] = changed
    async with patching.world as world:
        result = await world.result(patching.task(Phase.APPLY))

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.BASE_CHANGED, True)
    assert "a is 4444444 and was 3333333; b is gone" in result.error.message
    assert "a new attempt plans on what is there then" in result.error.message
    assert (result.nonce, world.data_of(ClaimTask.TYPE), world.sandbox.ran) == (None, [], [])
    patching.nothing_is_left()


@pytest.mark.parametrize(
    ("refusal", "code", "retryable"),
    [
        (BaseChanged(["a has changed"]), Code.BASE_CHANGED, True),
        (EffectDiffers("a has changed"), Code.EFFECT_DIFFERS, True),
        (RepositoryRefused("a has changed"), Code.WORKSPACE_REFUSED, False),
    ],
)
async def test_a_refused_landing_has_not_happened(
    tmp_path: Path, refusal: Exception, code: Code, retryable: bool
) -> None:
    patching = Patching(tmp_path)
    patching.world.repositories.faults["land"] = refusal
    async with patching.world:
        result = await patching.applied()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, retryable)
    assert "a has changed" in result.error.message
    assert result.error.message.endswith("nothing was landed in the repository")
    assert result.nonce is not None
    assert result.output is None


@pytest.mark.parametrize(
    ("reason", "exit_code", "output", "code"),
    [
        (ExitReason.EXITED, 1, None, Code.AGENT_CRASHED),
        (ExitReason.EXITED, 10, b"{}", Code.AGENT_FAILED),
        (ExitReason.EXITED, 0, b"{}", Code.INVALID_OUTPUT),
        (ExitReason.TIMEOUT, None, None, Code.TIMEOUT_RUNNING),
        (ExitReason.START_FAILED, None, None, Code.SANDBOX_FAILED),
        (
            ExitReason.EXITED,
            0,
            json.dumps({"applied": "x" * (MAX_INLINE_BYTES - 200)}).encode(),
            Code.OUTPUT_TOO_LARGE,
        ),
    ],
)
async def test_an_agent_that_fails_has_changed_nothing(
    tmp_path: Path, reason: ExitReason, exit_code: int | None, output: bytes | None, code: Code
) -> None:
    patching = Patching(tmp_path)
    patching.world.sandbox.ends(reason, exit_code=exit_code, output=output)
    async with patching.world as world:
        result = await patching.applied()

    assert result.error is not None
    assert result.error.code == code
    assert result.error.message.endswith("nothing was landed in the repository")
    assert "land" not in world.repositories.calls


async def test_a_sandbox_that_breaks_has_changed_nothing(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.sandbox.error = OSError("no")
    async with patching.world:
        result = await patching.applied()

    assert result.error is not None
    assert result.error.code == Code.SANDBOX_FAILED
    assert result.error.message == (
        "the sandbox failed: OSError; nothing was landed in the repository"
    )


async def test_a_landing_that_breaks_is_unknown_and_says_where_to_look(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.repositories.faults["land"] = OSError("disk full")
    async with patching.world:
        result = await patching.applied()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.UNKNOWN_OUTCOME, False)
    for said in (
        f"a commit in {patching.repository}",
        f"`Penstock-Run: {RUN}`",
        f"refs/penstock/backup/{KEY}",
    ):
        assert said in result.error.message


async def test_a_rollback_that_is_too_long_does_not_hide_the_commit(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    text = "x" * (MAX_INLINE_BYTES - 1_100)
    patching.world.sandbox.ends(exit_code=0, output=json.dumps({"applied": text}).encode())
    async with patching.world as world:
        world.repositories.rollback = "y" * 1_000
        result = await patching.applied()

    assert result.output is not None
    assert result.output["commit"] == COMMIT
    assert result.output["rollback"] == (
        f"too long to be kept; the tip before is refs/penstock/backup/{KEY}"
    )


# --- stops --------------------------------------------------------------------------------------


async def test_a_stop_while_the_agent_works_says_that_nothing_was_landed(tmp_path: Path) -> None:
    patching = Patching(tmp_path, grace_s=1.0)
    patching.world.sandbox.hold.clear()
    async with patching.world as world:
        item = await patching.claimed(patching.task(Phase.APPLY))
        await world.until(lambda: world.sandbox.ran)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(1.0)
        await world.ended()

    (result,) = world.results()
    assert item.fates == ["ack"]
    assert result.error is not None
    assert result.error.code == Code.UNKNOWN_OUTCOME
    assert "nothing was landed in the repository" in result.error.message
    patching.nothing_is_left()


async def test_what_comes_too_late_to_its_landing_has_not_happened(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.repositories.hold.clear()
    async with patching.world as world:
        task = patching.task(Phase.APPLY)
        _ = await patching.claimed(task)
        await world.until(lambda: "land" in world.repositories.calls)
        await world.clock.advance(task.running_s)  # by now a person may have settled it
        world.repositories.hold.set()
        await world.until(lambda: world.results())
        (result,) = world.results()

    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (Code.TIMEOUT_RUNNING, False)
    assert "nothing was landed" in result.error.message
    assert world.repositories.landed == []


async def test_a_landing_is_seen_to_its_end_by_a_stop(tmp_path: Path) -> None:
    patching = Patching(tmp_path, grace_s=1.0)
    patching.world.repositories.hold.clear()
    async with patching.world as world:
        item = await patching.claimed(patching.task(Phase.APPLY))
        await world.until(lambda: "land" in world.repositories.calls)
        world.stop.set()
        await world.until(lambda: world.queue.closed)
        await world.clock.advance(1.0)
        world.repositories.hold.set()
        await world.ended()

    (result,) = world.results()
    assert item.fates == ["ack"]
    assert (result.error, result.output is not None) == (None, True)


async def test_a_cancel_does_not_cut_a_landing_off(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.repositories.hold.clear()
    async with patching.world as world:
        task = patching.task(Phase.APPLY)
        item = await patching.claimed(task)
        await world.until(lambda: "land" in world.repositories.calls)
        running = world.executor._tasks.find(task.task_id)
        assert running is not None
        assert running.work is None
        world.repositories.hold.set()
        assert await world.settled(item) == "ack"

    assert len(world.results()) == 1


async def test_a_cancel_while_the_agent_works_leaves_nothing(tmp_path: Path) -> None:
    patching = Patching(tmp_path)
    patching.world.sandbox.hold.clear()
    async with patching.world as world:
        task = patching.task(Phase.PLAN)
        item = world.deliver(task)
        await world.until(lambda: world.sandbox.ran)
        running = world.executor._tasks.find(task.task_id)
        assert running is not None
        await world.cancel(task)
        assert await world.settled(item) == "ack"

    assert world.results() == []
    patching.nothing_is_left()
