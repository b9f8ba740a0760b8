"""Traps around an approval: votes too late, twice or by the wrong person, and forged decisions."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.signing import Ed25519Signer, make_key, open_signer
from penstock_contracts import subjects
from penstock_contracts.approval.v1 import CastVote, Choice
from penstock_contracts.envelope import Envelope
from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_contracts.permissions import BusUser
from penstock_contracts.run.v1 import ApplyDecision, Verdict
from penstock_contracts.subjects import Stream
from penstock_contracts.values import Wire
from penstock_runtime.ports.bus import Outgoing, Published
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.hands import (
    INPUTS,
    asked,
    asked_again,
    claims,
    commit,
    git,
    landings,
    look,
    make_repository,
    of_topic,
    on_bus,
    patch_node,
    patching_stack,
    refused,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

FOREVER_US = 2_000_000_000_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(place: Path) -> AsyncGenerator[RunningStack]:
    """The stack, one executor of our own, and workflows with gates of several kinds."""
    async with patching_stack(place) as (running, hands):
        gates: dict[str, Json] = {
            "patch": {},
            "brief": {"approval": {"expires": "5s"}},
            "two": {"approval": {"quorum": 2}},
            "apart": {"approval": {"separation": True}},
            "again": {"retry": {"attempts": 2, "delay": "50ms"}},
        }
        for name, gate in gates.items():
            await running.apply(name, {"patch": patch_node(**gate)}, inputs=INPUTS)
        await hands.start()
        yield running


# --- people -------------------------------------------------------------------------------------


class Person:
    """Somebody with a token of their own."""

    def __init__(self, stack: RunningStack, name: str, token: str) -> None:
        self._stack = stack
        self._bearer = f"Bearer {token}"
        self.name = name

    async def call(self, path: str, body: Json) -> tuple[int, Json]:
        data = json.dumps(body).encode()
        return await self._stack.send("POST", path, data, Authorization=self._bearer)

    async def votes(self, approval: str, decision: str = "approve", reason: str = "") -> Json:
        """Cast a vote; gives the answer, which has a `code` if it was refused."""
        body = {"decision": decision, "reason": reason}
        return (await self.call(f"/api/approvals/{approval}/respond", body))[1]


async def person(stack: RunningStack, *roles: str) -> Person:
    """Give a new person, an approver if nothing else is said."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    wanted = {"name": name, "roles": list(roles or ("approver",))}
    status, made = await stack.call("POST", "/api/tokens", wanted)
    assert status == 201, made
    return Person(stack, name, made["token"])


def votes_counted(stack: RunningStack, approval: str) -> list[str]:
    return [event.topic.split(".")[1] for event in stack.stored(approval, "penstock_approval")]


async def test_a_settled_gate_takes_no_late_vote_and_no_late_timer(
    stack: RunningStack, repository: Path, place: Path
) -> None:
    other = make_repository(place / "work" / f"{repository.name}-other")
    before = look(other)
    run, settled = await asked(stack, repository, "brief")
    ada = await person(stack)
    _ = await ada.votes(settled)
    assert (await stack.ended(run))["run"]["status"] == "succeeded"
    said = await (await person(stack)).votes(settled, "reject", "too late")
    assert said["code"] == "already_decided"

    later, expired = await asked(stack, other, "brief")  # ends after the settled one would have
    assert (await refused(stack, later))[0] == "expired"
    said = await ada.votes(expired)
    assert said["code"] in ("already_decided", "late")
    assert look(other) == before
    assert votes_counted(stack, settled) == [
        "approval_requested", "vote_cast", "approval_granted", "command_rejected",
    ]  # fmt: skip
    assert (await stack.get(f"/api/runs/{run}"))["run"]["status"] == "succeeded"
    assert landings(repository) == 1


async def test_two_votes_of_one_person_are_one(stack: RunningStack, repository: Path) -> None:
    ada, bob = await person(stack), await person(stack)
    run, approval = await asked(stack, repository, "two")
    assert (await ada.votes(approval))["status"] == "pending"
    for decision in ("approve", "reject"):
        assert (await ada.votes(approval, decision, "again"))["code"] == "already_voted"
    assert landings(repository) == 0
    assert (await bob.votes(approval))["status"] == "approved"
    assert (await stack.ended(run))["run"]["status"] == "succeeded"

    said = git(repository, "log", "-1", "--format=%B")
    assert f"Approved-By: {ada.name}" in said
    assert f"Approved-By: {bob.name}" in said


async def test_one_rejection_outweighs_a_quorum(stack: RunningStack, repository: Path) -> None:
    ada, bob, zoe = await person(stack), await person(stack), await person(stack)
    run, approval = await asked(stack, repository, "two")
    before = look(repository)
    _ = await ada.votes(approval)
    assert (await bob.votes(approval, "reject", "not like this"))["status"] == "rejected"
    assert (await zoe.votes(approval))["code"] == "already_decided"
    code, message = await refused(stack, run)

    assert code == "denied"
    assert "not like this" in message
    assert look(repository) == before


async def test_the_vote_of_a_revoked_approver_counts_no_more(
    stack: RunningStack, repository: Path
) -> None:
    ada, bob, zoe = await person(stack), await person(stack), await person(stack)
    run, approval = await asked(stack, repository, "two")
    _ = await ada.votes(approval)
    status, _ = await stack.call("DELETE", f"/api/tokens/{ada.name}")
    assert status == 200
    assert (await bob.votes(approval))["status"] == "pending"
    assert of_topic(stack, run, "gate_passed") == []
    assert (await zoe.votes(approval))["status"] == "approved"
    assert (await stack.ended(run))["run"]["status"] == "succeeded"

    said = git(repository, "log", "-1", "--format=%B")
    assert f"Approved-By: {ada.name}" not in said
    assert said.count("Approved-By: ") == 2


async def test_whoever_asked_does_not_decide(stack: RunningStack, repository: Path) -> None:
    asker, other = await person(stack, "operator", "approver"), await person(stack)
    body = {"inputs": {"repository": str(repository)}}
    status, started = await asker.call("/api/workflows/apart/trigger", body)
    assert status == 201, started
    run = started["runs"][0]["run_id"]
    approval = await stack.pending_approval(run)
    assert (await asker.votes(approval))["code"] == "self_approval"
    assert (await asker.votes(approval, "reject", "mine"))["code"] == "self_approval"
    assert landings(repository) == 0
    assert (await other.votes(approval))["status"] == "approved"
    assert (await stack.ended(run))["run"]["status"] == "succeeded"


# --- decisions that nobody took -----------------------------------------------------------------


async def say(
    stack: RunningStack, user: BusUser, subject: str, about: str, body: Wire, tenant: str
) -> None:
    """Publish a command as one of the bus' users."""
    kind: str = type(body).__dict__["TYPE"]
    stream = Stream.RUNS if kind.startswith("run.") else Stream.APPROVALS
    envelope = Envelope(
        id=uuid.uuid4().hex, source="penstock/approval", type=kind, subject=about,
        tenant=tenant, actor="service:approval", data=body.to_data(),
    )  # fmt: skip
    async with on_bus(stack, user) as connection:
        message = Outgoing(stream, subject, envelope.encode())
        (outcome,) = await NatsPublisher(connection).publish([message])
    assert outcome is Published.DONE


async def decide(
    stack: RunningStack, run: str, grant: SignedGrant, tenant: str = "default"
) -> None:
    """Publish a decision on the gate a run waits at, with the approval service's own access."""
    gate, start = of_topic(stack, run, "gate_opened")[-1], of_topic(stack, run, "run_started")[0]
    body = ApplyDecision(
        approval_id=gate["approval_id"],
        node=gate["node"],
        attempt=gate["attempt"],
        verdict=Verdict.APPROVED,
        by="mallory",
        grant=grant,
    )
    subject = subjects.run(tenant, start["partition"], run, "apply_decision")
    await say(stack, BusUser.APPROVAL, subject, run, body, tenant)


def forged(stack: RunningStack, run: str, signer: Ed25519Signer) -> SignedGrant:
    """Give a grant that is right in every word, signed by a key of one's own."""
    gate = of_topic(stack, run, "gate_opened")[-1]
    grant = Grant(
        tenant="default", run_id=run, node=gate["node"], attempt=gate["attempt"],
        approval_id=gate["approval_id"], binding=gate["binding"], principals=("mallory",),
        granted_us=1, expires_us=FOREVER_US, key_id=signer.key_id,
    )  # fmt: skip
    return signer.sign(grant)


def granted(stack: RunningStack, run: str) -> SignedGrant:
    """Give the genuine grant with which a run passed its last gate."""
    passed = of_topic(stack, run, "gate_passed")[-1]
    return SignedGrant.model_validate(passed["grant"])


def genuine_key(stack: RunningStack) -> str:
    environ = Path(f"/proc/{stack.pid('executor')}/environ").read_bytes().decode()
    (line,) = (one for one in environ.split("\0") if one.startswith("PENSTOCK_GRANT_KEYS="))
    return line.partition("=")[2].partition(":")[0]


async def test_a_decision_signed_by_another_key_is_refused(
    stack: RunningStack, repository: Path
) -> None:
    run, _ = await asked(stack, repository)
    before, signer = look(repository), open_signer(make_key())
    await decide(stack, run, forged(stack, run, signer))
    code, message = await refused(stack, run)

    assert code == "grant_refused"
    assert f"signed by {signer.key_id}, a key unknown here" in message
    assert of_topic(stack, run, "gate_passed")[0]["by"] == "mallory"  # so it came that far
    assert claims(stack, run) == []
    assert look(repository) == before


async def test_a_forger_cannot_use_the_name_of_the_genuine_key(
    stack: RunningStack, repository: Path
) -> None:
    run, _ = await asked(stack, repository)
    before, signer, name = look(repository), open_signer(make_key()), genuine_key(stack)
    made = forged(stack, run, signer)
    payload = made.payload.replace(signer.key_id, name)
    await decide(stack, run, made.model_copy(update={"payload": payload, "key_id": name}))
    code, message = await refused(stack, run)

    assert code == "grant_refused"
    assert "signature is not that of its words" in message
    assert look(repository) == before


async def test_a_decision_without_a_grant_is_refused(stack: RunningStack, repository: Path) -> None:
    run, _ = await asked(stack, repository)
    before = look(repository)
    empty = SignedGrant(payload="", signature="", key_id=genuine_key(stack))
    await decide(stack, run, empty)
    assert (await refused(stack, run))[0] == "grant_refused"
    assert look(repository) == before


async def test_the_decision_on_another_run_is_refused(
    stack: RunningStack, repository: Path
) -> None:
    first, approval = await asked(stack, repository)
    _ = await stack.respond(approval, "approve")
    assert (await stack.ended(first))["run"]["status"] == "succeeded"
    commit(repository, "greeting.txt", "hello\n")  # and all is as it was
    second, _ = await asked(stack, repository)
    before = look(repository)
    await decide(stack, second, granted(stack, first))
    code, message = await refused(stack, second)

    assert code == "grant_refused"
    assert f"its run is {first}, the task's {second}" in message
    assert look(repository) == before
    assert landings(repository) == 1


async def test_the_decision_on_an_earlier_attempt_is_refused(
    stack: RunningStack, repository: Path
) -> None:
    run, approval = await asked(stack, repository, "again")
    commit(repository, "greeting.txt", "hello, all\n")
    _ = await stack.respond(approval, "approve")
    _ = await asked_again(stack, run, approval)  # the base had changed
    first = granted(stack, run)
    before = look(repository)
    await decide(stack, run, first)
    code, message = await refused(stack, run)

    assert code == "grant_refused"
    assert "its attempt is 1, the task's 2" in message
    assert look(repository) == before


async def test_a_decision_for_another_tenant_decides_nothing(
    stack: RunningStack, repository: Path
) -> None:
    run, approval = await asked(stack, repository)
    await decide(stack, run, forged(stack, run, open_signer(make_key())), tenant="other")
    vote = CastVote(approval_id=approval, choice=Choice.REJECT, reason="no", user="mallory",
                    roles=("admin",))  # fmt: skip
    subject = subjects.approval("other", approval, "cast_vote")
    await say(stack, BusUser.GATEWAY, subject, approval, vote, "other")
    # What follows goes the same ways, behind the two.
    _ = await stack.respond(approval, "approve")
    assert (await stack.ended(run))["run"]["status"] == "succeeded"

    (passed,) = of_topic(stack, run, "gate_passed")
    assert "mallory" not in passed["by"]
    assert "mallory" not in str(stack.stored(approval, "penstock_approval"))
    assert landings(repository) == 1
