"""Nobody decides on a run of their own by saying that somebody else asked for it."""

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import ApprovalRequested, CastVote, Choice
from penstock_contracts.approval.v1 import CommandRejected as Refusal
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import approval_id, gateway_trigger_id, run_id
from penstock_contracts.run.v1 import RunStarted
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_contracts.trigger.v1 import GatewayTrigger
from penstock_testkit.builders.workflows import gate, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION, TENANT

GATED = workflow(nodes={"a": node(), "ok": gate("a", separation=True)})
SOURCE = "penstock/webhook-gateway/bob"


def event(event_id: str) -> bytes:
    """What the gateway publishes for bob, and what anybody else may try to."""
    return Envelope(
        id=event_id, source=SOURCE, type=GatewayTrigger.MANUAL, actor="token:bob",
        data={"inputs": {}},
    ).encode()  # fmt: skip


def vote(world: World, run: str, user: str) -> None:
    approval = approval_id(run, "ok", 1)
    body = CastVote(
        approval_id=approval, choice=Choice.APPROVE, user=user, roles=("approver", "admin")
    )
    world.send(subjects.approval(TENANT, approval, "cast_vote"), body, actor=f"token:{user}")


def requesters(world: World) -> list[str]:
    asked = world.facts(APPROVAL_PARTITION, ApprovalRequested.TYPE)
    return [one.requested_by for one in asked if isinstance(one, ApprovalRequested)]


def starters(world: World) -> list[str]:
    started = world.facts(RUN_PARTITION, RunStarted.TYPE)
    return [one.requested_by for one in started if isinstance(one, RunStarted)]


@in_virtual_time
async def test_who_asked_over_http_may_not_decide_where_that_is_separated():
    async with World() as world:
        await world.ready_for(GATED)
        world.bus.store(subjects.gateway_trigger(TENANT, "workflow.flow"), event("e1"))
        run = run_id(TENANT, "flow", gateway_trigger_id(SOURCE, "e1"))
        await world.until(lambda: requesters(world) == ["token:bob"])
        vote(world, run, "bob")
        await world.until(lambda: bool(world.facts(APPROVAL_PARTITION, Refusal.TYPE)))
        (refused,) = world.facts(APPROVAL_PARTITION, Refusal.TYPE)
        assert isinstance(refused, Refusal)
        assert refused.code == Code.SELF_APPROVAL
        vote(world, run, "cyd")
        await world.until(lambda: world.ended(run))
        assert world.count(run, "run_succeeded") == 1


@in_virtual_time
async def test_a_payload_names_no_requester():
    """Else whoever may publish triggers could run in another's name, or keep them from deciding."""
    async with World() as world:
        await world.ready_for(GATED)
        world.bus.store(subjects.trigger(TENANT, "workflow.flow"), event("e1"))
        await world.until(lambda: requesters(world) == ["trigger:workflow"])
        # The gateway's own trigger of that source and id is another one, not a copy.
        world.bus.store(subjects.gateway_trigger(TENANT, "workflow.flow"), event("e1"))
        await world.until(lambda: requesters(world) == ["trigger:workflow", "token:bob"])
        assert starters(world) == requesters(world)
