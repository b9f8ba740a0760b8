"""Telling over HTTP what became of an attempt whose outcome is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.run import v1 as run
from penstock_contracts.values import DEFAULT_TENANT
from tests.integration.gateway_world import QUICK, RUNS, Said, World, problem_of, serving


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
