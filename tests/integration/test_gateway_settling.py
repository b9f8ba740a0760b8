"""Telling over HTTP what became of an attempt whose outcome is unknown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock_cli.app import run as run_line
from penstock_cli.faults import ExitCode
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import AgentManifest, AgentRegistered
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import agent_id, derive, run_id, workflow_id
from penstock_contracts.run import v1 as run
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.task.v1 import PlannedChange
from penstock_contracts.values import DEFAULT_TENANT, Failure, Phase, Wire
from penstock_contracts.workflow.v1 import WorkflowApplied
from penstock_core.binding import bind
from penstock_core.workflow.plan import definition_digest, manifest_digest
from tests.integration.gateway_world import (
    QUICK,
    RUNS,
    STARTED_US,
    Said,
    World,
    problem_of,
    serving,
)

MANIFEST = AgentManifest.model_validate(
    {"name": "patcher", "risk": "APPROVAL_REQUIRED", "phases": ["plan", "apply"],
     "command": ["true"]}
)  # fmt: skip
AGENT_DIGEST = manifest_digest(MANIFEST)
FIX = {"name": "fix", "nodes": {"patch": {"agent": "patcher"}}}
FIX_DIGEST = definition_digest(FIX)
FIX_RUN = run_id(DEFAULT_TENANT, "fix", "t-1")
PLAN = PlannedChange(effect={"kind": "git", "diff": ""}, summary="one line changes")
BINDING = bind(Proposal(agent="patcher", agent_digest=AGENT_DIGEST, plan=PLAN))
GATE = derive("approval", FIX_RUN)


def a_run(**more: Any) -> tuple[World, dict[str, str], str]:
    world = World(**more)
    headers = world.token("olga", "operator")
    world.apply_workflow()
    run_ = world.start_run()
    world.open_gate(run_)
    return world, headers, run_


async def test_the_word_of_an_operator_goes_to_the_run_that_may_refuse_it():
    world, headers, run_ = a_run()

    def refuse(envelope: Envelope) -> list[Said]:
        told = run.CommandRejected(
            command_id=envelope.id, command=envelope.type, code=Code.NOT_UNKNOWN, detail="known"
        )
        return [(RUNS, run_, told)]

    world.scripts[run.SettleOutcome.TYPE] = refuse
    async with serving(world) as client:
        body = {"happened": True, "reason": "the ref has moved", "output": {"applied": True}}
        path = f"/api/runs/{run_[:8]}/nodes/ask/settle"
        await problem_of(await client.post(path, json=body, headers=headers), 409, "not_unknown")
        ((subject, envelope),) = world.sent
        assert subject == subjects.run(DEFAULT_TENANT, RUNS, run_, "settle_outcome")
        assert envelope.actor == "token:olga"
        assert envelope.data == {"run_id": run_, "node": "ask", "attempt": 0, **body}


async def test_the_attempt_that_was_looked_into_is_said_on():
    world, headers, run_ = a_run(waits=QUICK)
    async with serving(world) as client:
        body = {"happened": False, "reason": "nothing there", "attempt": 3}
        path = f"/api/runs/{run_}/nodes/ask/settle"
        await problem_of(await client.post(path, json=body, headers=headers), 504, "unavailable")
        command = run.SettleOutcome.model_validate(world.sent[0][1].data)
        assert (command.attempt, command.happened) == (3, False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"happened": True},
        {"happened": True, "reason": ""},
        {"happened": True, "reason": "x" * 4097},
        {"happened": "perhaps", "reason": "x"},
        {"happened": True, "reason": "x", "attempt": 0},
        {"happened": True, "reason": "x", "output": []},
        {"happened": True, "reason": "x", "by": "eve"},
    ],
)
async def test_half_a_word_is_never_sent(body: dict[str, Any]):
    world, headers, run_ = a_run(waits=QUICK)
    async with serving(world) as client:
        reply = await client.post(f"/api/runs/{run_}/nodes/ask/settle", json=body, headers=headers)
        await problem_of(reply, 422, "malformed")
        assert world.sent == []


async def test_a_node_that_is_not_there_is_not_settled():
    world, headers, run_ = a_run(waits=QUICK)
    async with serving(world) as client:
        body = {"happened": True, "reason": "x"}
        for path in (f"/api/runs/{run_}/nodes/none/settle", "/api/runs/none/nodes/ask/settle"):
            reply = await client.post(path, json=body, headers=headers)
            assert reply.status == 404
        assert world.sent == []


# --- a run whose executor died after its claim --------------------------------------------------


def planned() -> list[Wire]:
    """Events of a run up to its gate."""
    return [
        run.RunStarted(
            tenant=DEFAULT_TENANT, workflow="fix", definition_digest=FIX_DIGEST,
            agents={"patcher": AGENT_DIGEST}, trigger_id="t-1", trigger_aggregate=GATE,
            partition=RUNS, started_us=STARTED_US, ends_by_us=STARTED_US + 10**9,
        ),
        run.TaskScheduled(
            node="patch", attempt=1, phase=Phase.PLAN, scheduled_us=1, ends_by_us=STARTED_US
        ),
        run.PlanMade(node="patch", attempt=1, plan=PLAN, binding=BINDING),
        run.GateOpened(
            node="patch", attempt=1, approval_id=GATE, binding=BINDING, opened_us=1, expires_us=2
        ),
    ]  # fmt: skip


def lost() -> list[Wire]:
    """Events of the same run from the decision to the executor's silence."""
    error = Failure(code=Code.UNKNOWN_OUTCOME, message="no sign after the claim")
    return [
        run.GatePassed(node="patch", attempt=1, approval_id=GATE, by="ada"),
        run.TaskScheduled(
            node="patch", attempt=1, phase=Phase.APPLY, scheduled_us=1, ends_by_us=STARTED_US
        ),
        run.TaskStarted(node="patch", attempt=1, executor="executor-1", nonce="n"),
        run.OutcomeUnknown(node="patch", attempt=1, error=error),
    ]


def a_fix(*events: Wire) -> tuple[World, dict[str, str]]:
    world = World()
    headers = world.token("olga", "operator")
    registered = AgentRegistered(tenant=DEFAULT_TENANT, digest=AGENT_DIGEST, manifest=MANIFEST)
    world.emit(CATALOG_PARTITION, agent_id(DEFAULT_TENANT, "patcher"), registered)
    applied = WorkflowApplied(tenant=DEFAULT_TENANT, digest=FIX_DIGEST, document=FIX)
    world.emit(CATALOG_PARTITION, workflow_id(DEFAULT_TENANT, "fix"), applied)
    for event in events:
        world.emit(RUNS, FIX_RUN, event)
    return world, headers


async def shown(world: World, line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Give what a command line prints, as olga, against a world's gateway."""
    async with serving(world) as client:
        given = ["--url", str(client.make_url("")), "--token", f"secret-{DEFAULT_TENANT}-olga"]
        code = await asyncio.to_thread(run_line, [*given, *line.split()])
        said = capsys.readouterr()
        assert code == ExitCode.OK, said
        return said.out


async def test_a_run_shows_its_plan_at_the_gate(capsys: pytest.CaptureFixture[str]):
    world, headers = a_fix(*planned())
    async with serving(world) as client:
        body = await (await client.get(f"/api/runs/{FIX_RUN}", headers=headers)).json()
        assert body["nodes"]["patch"]["status"] == "gated"
        assert body["plans"] == {"patch": {"summary": PLAN.summary, "digest": BINDING.digest}}
    said = await shown(world, f"runs show {FIX_RUN}", capsys)
    assert f"waits for a decision on {GATE[:8]}  one line changes" in said


async def test_a_run_shows_that_an_operator_has_to_say(capsys: pytest.CaptureFixture[str]):
    world, _ = a_fix(*planned(), *lost())
    said = await shown(world, f"runs show {FIX_RUN}", capsys)
    assert "? patch  patcher  unknown" in said
    assert "did it happen? an operator has to say: penstock runs settle" in said


@pytest.mark.parametrize(
    ("option", "happened", "status"),
    [("--happened", True, "succeeded"), ("--did-not-happen", False, "failed")],
)
async def test_an_operator_settles_what_nobody_knows(
    option: str, happened: bool, status: str, capsys: pytest.CaptureFixture[str]
):
    world, _ = a_fix(*planned(), *lost())

    def settle(envelope: Envelope) -> list[Said]:
        command = run.SettleOutcome.model_validate(envelope.data)
        assert (command.attempt, command.happened) == (1, happened)
        settled = run.OutcomeSettled(
            node="patch", attempt=1, happened=command.happened, by=str(envelope.actor),
            reason=command.reason, output=command.output,
        )  # fmt: skip
        failure = Failure(code=Code.DID_NOT_HAPPEN, message=command.reason, retryable=True)
        then = (
            run.NodeSucceeded(node="patch", attempt=1, output=command.output)
            if command.happened
            else run.NodeFailed(node="patch", attempt=1, error=failure)
        )
        return [(RUNS, FIX_RUN, settled), (RUNS, FIX_RUN, then)]

    world.scripts[run.SettleOutcome.TYPE] = settle
    words = f"runs settle {FIX_RUN[:8]} patch {option} --reason looked"
    if happened:
        words += ' --output {"applied":true}'
    said = await shown(world, words, capsys)
    assert f"{status} patch of {FIX_RUN}" in said


async def test_runs_that_wait_for_an_operator_are_listed(capsys: pytest.CaptureFixture[str]):
    world, headers = a_fix(*planned(), *lost())
    world.apply_workflow()
    other = world.start_run()
    async with serving(world) as client:
        listed = await client.get("/api/runs", headers=headers)
        items = {item["run_id"]: item["unknown"] for item in (await listed.json())["items"]}
        assert items == {FIX_RUN: ["patch"], other: []}
        listed = await client.get("/api/runs", params={"unknown": "1"}, headers=headers)
        assert [item["run_id"] for item in (await listed.json())["items"]] == [FIX_RUN]
    said = await shown(world, "runs list --unknown", capsys)
    assert "patch: unknown" in said
    assert other[:8] not in said
    world.emit(RUNS, FIX_RUN, run.NodeSucceeded(node="patch", attempt=1))
    async with serving(world) as client:
        listed = await client.get("/api/runs", params={"unknown": "1"}, headers=headers)
        assert (await listed.json())["items"] == []


async def test_settling_names_the_nodes_there_are(capsys: pytest.CaptureFixture[str]):
    world, _ = a_fix(*planned(), *lost())
    with pytest.raises(AssertionError, match="the run has no node 'other'"):
        await shown(world, f"runs settle {FIX_RUN} other --happened -r x", capsys)
    with pytest.raises(AssertionError, match="--output is not a JSON object"):
        await shown(world, f"runs settle {FIX_RUN} patch --happened -r x --output 1", capsys)


async def test_the_live_stream_tells_of_plans_and_lost_outcomes():
    world, headers = a_fix(*planned(), *lost())
    ended = run.RunCancelled(by="token:olga", ended_us=STARTED_US)
    world.emit(RUNS, FIX_RUN, ended)
    async with serving(world) as client:
        reply = await client.get(f"/api/runs/{FIX_RUN}/events", headers=headers)
        text = await reply.text()
        kinds = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
        assert kinds[2:4] == ["plan_made", "gate_opened"]
        assert kinds[7:9] == ["outcome_unknown", "run_cancelled"]
