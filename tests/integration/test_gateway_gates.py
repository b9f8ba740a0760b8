"""How a gate is shown and decided over HTTP: plans, digests, quorum, push back, tokens."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_contracts.approval.v1 import ApprovalReminded, Approvers, Standing
from penstock_contracts.ids import token_id
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_contracts.trigger.v1 import TokenRevoked
from penstock_contracts.values import DEFAULT_TENANT
from tests.integration.gated_world import BINDING, DIFF, FORM, GATE, Headers, a_gate
from tests.integration.gateway_world import STARTED_US, Client, problem_of, serving

PATH = f"/api/approvals/{GATE}"


async def respond(client: Client, headers: Headers, decision: str, **more: Any) -> dict[str, Any]:
    body = {"decision": decision, **more}
    reply = await client.post(f"{PATH}/respond", json=body, headers=headers)
    told = await reply.json()
    assert reply.status == 200, told
    return told


async def refused(
    client: Client, headers: Headers, status: int, code: str, decision: str, **more: Any
) -> dict[str, Any]:
    body = {"decision": decision, **more}
    reply = await client.post(f"{PATH}/respond", json=body, headers=headers)
    return await problem_of(reply, status, code)


# --- showing ------------------------------------------------------------------------------------


async def test_an_approval_shows_what_would_be_executed_and_how_it_is_decided():
    world, _, people = a_gate(quorum=2, approvers=Approvers(groups=("release",)))
    async with serving(world) as client:
        shown = await (await client.get(PATH, headers=people["ada"])).json()
        assert shown["digest"] == shown["binding"]["digest"] == BINDING.digest
        assert shown["proposal"]["plan"]["effect"]["diff"] == DIFF
        assert shown["proposal"]["atomic"] is True
        assert shown["policy"]["approvers"]["groups"] == ["release"]
        assert (shown["policy"]["quorum"], shown["missing"]) == (2, 2)
        assert 0 < shown["seconds_left"] <= 90
        assert (shown["requested_by"], shown["reminders"]) == ("token:rita", 0)
        assert shown["because"] == ""


async def test_a_list_tells_gates_apart_without_their_plans():
    world, _, people = a_gate()
    async with serving(world) as client:
        (item,) = (await (await client.get("/api/approvals", headers=people["ada"])).json())[
            "items"
        ]
        assert (item["digest"], item["plan_summary"], item["agent"]) == (
            BINDING.digest, "1 file", "patcher",
        )  # fmt: skip
        assert item["input_summary"].startswith("repository_path=/srv/shop, patch_content=xxx")
        assert len(item["input_summary"]) <= 300
        assert "proposal" not in item
        assert "because" not in item


async def test_reminders_are_counted():
    world, _, people = a_gate()
    reminded = ApprovalReminded(number=3, at_us=STARTED_US + 7, missing=1)
    world.emit(APPROVAL_PARTITION, GATE, reminded)
    async with serving(world) as client:
        shown = await (await client.get(PATH, headers=people["ada"])).json()
        assert (shown["reminders"], shown["reminded_us"]) == (3, STARTED_US + 7)


async def test_the_time_left_goes_by():
    world, _, people = a_gate()
    async with serving(world) as client:
        await world.clock.advance(60)
        shown = await (await client.get(PATH, headers=people["ada"])).json()
        assert 29 < shown["seconds_left"] <= 30
        await world.clock.advance(60)
        shown = await (await client.get(PATH, headers=people["ada"])).json()
        assert shown["seconds_left"] == 0


# --- digests ------------------------------------------------------------------------------------


async def test_a_vote_says_what_the_voter_was_shown():
    world, service, people = a_gate()
    async with serving(world) as client:
        told = await respond(client, people["ada"], "approve", digest=BINDING.digest)
        assert (told["status"], told["seconds_left"], told["missing"]) == ("approved", 0, 0)
        assert told["votes"][0]["digest"] == BINDING.digest
        assert service.votes[0].standing is None


async def test_a_vote_about_something_else_is_refused_with_both_digests():
    world, _, people = a_gate()
    other = f"sha256:{'0' * 64}"
    async with serving(world) as client:
        told = await refused(
            client, people["ada"], 409, "not_proposed", "approve", digest=other
        )  # fmt: skip
        assert (told["shown"], told["proposed"]) == (other, BINDING.digest)
        shown = await (await client.get(PATH, headers=people["ada"])).json()
        assert (shown["status"], shown["votes"]) == ("pending", [])


@pytest.mark.parametrize(
    "body",
    [{"digest": "sha256:12"}, {"answers": [1]}, {"to": "Not A Node"}, {"user": "bob"}],
)
async def test_a_malformed_vote_is_never_sent(body: dict[str, Any]):
    world, service, people = a_gate()
    async with serving(world) as client:
        await refused(client, people["ada"], 422, "malformed", "approve", **body)
        assert service.votes == []


# --- people -------------------------------------------------------------------------------------


async def test_two_of_three_have_to_approve():
    world, service, people = a_gate(quorum=2)
    async with serving(world) as client:
        told = await respond(client, people["ada"], "approve", reason="read it")
        assert (told["status"], told["missing"]) == ("pending", 1)
        await refused(client, people["ada"], 409, "already_voted", "approve")
        told = await respond(client, people["bob"], "approve", reason="me too")
        assert (told["status"], told["decided_by"]) == ("approved", ["ada", "bob"])
        assert [vote["stands"] for vote in told["votes"]] == [True, True]
        standing = service.votes[-1].standing
        assert standing is not None
        assert standing["ada"] == Standing(roles=("approver",))


async def test_a_vote_counts_that_the_read_model_does_not_show_yet():
    world, service, people = a_gate(quorum=2)
    async with serving(world) as client:
        await respond(client, people["ada"], "approve")
        assert set(service.votes[0].standing or {}) == {"ada", "bob", "carl", "rita"}


async def test_a_vote_of_somebody_who_is_no_approver_any_more_does_not_count():
    world, _, people = a_gate(quorum=2)
    async with serving(world) as client:
        await respond(client, people["ada"], "approve")
        revoked = TokenRevoked(tenant=DEFAULT_TENANT, name="ada")
        world.emit(CATALOG_PARTITION, token_id(DEFAULT_TENANT, "ada"), revoked)
        await world.settled()
        shown = await (await client.get(PATH, headers=people["bob"])).json()
        assert (shown["missing"], shown["votes"][0]["stands"]) == (2, False)
        told = await respond(client, people["bob"], "approve")
        assert (told["status"], told["missing"]) == ("pending", 1)
        told = await respond(client, people["carl"], "approve")
        assert (told["status"], told["decided_by"]) == ("approved", ["bob", "carl"])


async def test_a_group_decides():
    world, _, people = a_gate(approvers=Approvers(groups=("release",)))
    people["gil"] = world.token("gil", "viewer", groups=("release",))
    async with serving(world) as client:
        await refused(client, people["ada"], 403, "not_allowed", "approve")
        told = await respond(client, people["gil"], "approve")
        assert (told["status"], told["votes"][0]["groups"]) == ("approved", ["release"])


async def test_the_requester_does_not_approve_her_own_run():
    world, _, people = a_gate(separation=True)
    async with serving(world) as client:
        await refused(client, people["rita"], 403, "self_approval", "approve")


# --- answers and push back ----------------------------------------------------------------------


async def test_answers_fit_the_form_and_are_kept():
    world, _, people = a_gate(form=FORM)
    async with serving(world) as client:
        told = await refused(
            client, people["ada"], 422, "invalid_answers", "approve", answers={"hosts": "many"}
        )  # fmt: skip
        assert "answers" in told["detail"]
        answers = {"window": "tonight", "hosts": 3}
        told = await respond(client, people["ada"], "approve", answers=answers)
        assert told["answers"] == answers


async def test_a_push_back_carries_its_feedback_and_is_kept_with_the_run():
    world, _, people = a_gate(push_back=("patch",))
    async with serving(world) as client:
        await refused(client, people["ada"], 422, "reason_required", "push_back")
        await refused(
            client, people["ada"], 409, "no_push_back", "push_back", reason="no", to="scan"
        )  # fmt: skip
        told = await respond(client, people["ada"], "push_back", reason="pin it exactly")
        assert (told["status"], told["to"], told["reason"]) == (
            "pushed_back", "patch", "pin it exactly",
        )  # fmt: skip
        listed = await client.get(
            "/api/approvals", params={"status": "pushed_back"}, headers=people["ada"]
        )
        assert len((await listed.json())["items"]) == 1
        shown = await (
            await client.get(f"/api/runs/{told['run_id']}", headers=people["ada"])
        ).json()
        (back,) = shown["pushed_back"]
        assert (back["to"], back["by"], back["feedback"]) == ("patch", ["ada"], "pin it exactly")


# --- tokens -------------------------------------------------------------------------------------


async def test_tokens_are_listed_without_secrets_for_admins_of_the_tenant_alone():
    world, _, people = a_gate()
    root = world.token("root", "admin", groups=("ops",))
    world.token("eve", "admin", tenant="other")
    async with serving(world) as client:
        reply = await client.get("/api/tokens", headers=root)
        items = (await reply.json())["items"]
        assert [item["name"] for item in items] == ["ada", "bob", "carl", "rita", "root"]
        assert set(items[-1]) == {"name", "roles", "groups", "issued_us"}
        assert (items[-1]["roles"], items[-1]["groups"]) == (["admin"], ["ops"])
        reply = await client.get("/api/tokens", headers=people["rita"])
        await problem_of(reply, 403, "not_allowed")
