"""A command from another tenant finds nothing, changes nothing, and is told so at home."""

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote, Choice
from penstock_contracts.envelope import Envelope
from penstock_contracts.ids import approval_id
from penstock_contracts.partition.v1 import CommandRejected
from penstock_contracts.records import read_record
from penstock_contracts.registry import type_of
from penstock_contracts.run.v1 import CancelRun
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_contracts.values import Wire
from penstock_testkit.builders.workflows import gate, node, workflow
from penstock_testkit.virtual_time import in_virtual_time
from penstock_testkit.world import World
from penstock_testkit.world.world import RUN_PARTITION

GATED = workflow(nodes={"a": node(), "ok": gate("a")})
ABROAD = "other"


def send_from_abroad(world: World, subject: str, body: Wire, command_id: str) -> None:
    message = Envelope(
        id=command_id, source="penstock/gateway", type=type_of(body), actor="token:mallory",
        tenant=ABROAD, data=body.to_data(),
    )  # fmt: skip
    world.bus.store(subject, message.encode())


async def gated(world: World) -> str:
    await world.ready_for(GATED)
    run = world.trigger("flow")
    await world.until(
        lambda: bool(world.facts(APPROVAL_PARTITION, "approval.approval_requested.v1"))
    )
    return run


@in_virtual_time
async def test_a_vote_from_another_tenant_is_refused_there_and_not_seen_here():
    async with World() as world:
        run = await gated(world)
        approval = approval_id(run, "ok", 1)
        body = CastVote(
            approval_id=approval, choice=Choice.APPROVE, user="mallory", roles=("admin",)
        )
        for _ in range(2):  # a copy is told once, as everywhere
            path = subjects.approval(ABROAD, approval, "cast_vote")
            send_from_abroad(world, path, body, "from-abroad")
            await world.until(lambda: bool(world.facts(APPROVAL_PARTITION, CommandRejected.TYPE)))
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        records = world.records(APPROVAL_PARTITION)
        told = [one for one in records if one.topic == CommandRejected.TYPE]
        assert len(told) == 1
        (event,) = [read_record(one) for one in told]
        assert (event.meta.tenant, event.meta.causation_id) == (ABROAD, "from-abroad")
        assert told[0].aggregate_id != approval
        assert [one.topic for one in records if one.aggregate_id == approval] == [
            "approval.approval_requested.v1",
            "approval.vote_cast.v1",
            "approval.approval_granted.v1",
        ]
        assert world.parked(APPROVAL_PARTITION) == []


@in_virtual_time
async def test_a_run_of_another_tenant_is_not_cancelled():
    async with World() as world:
        run = await gated(world)
        path = subjects.run(ABROAD, RUN_PARTITION, run, "cancel_run")
        send_from_abroad(world, path, CancelRun(run_id=run), "from-abroad")
        await world.until(lambda: bool(world.facts(RUN_PARTITION, CommandRejected.TYPE)))
        world.vote(run, "ok", Choice.APPROVE)
        await world.until(lambda: world.ended(run))
        assert world.count(run, "run_succeeded") == 1
        assert world.count(run, "command_rejected") == 0
