"""Folding approval events into rows."""

from pydantic import JsonValue

from penstock_contracts.approval import v1 as approval
from penstock_contracts.records import ReadEvent
from penstock_contracts.values import JsonObject, Wire
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.kinds import View

VOTES_SHOWN = 100


async def apply_approval(changes: Changes, event: ReadEvent, body: Wire) -> None:
    """Put the row of an approval."""
    if isinstance(body, approval.ApprovalRequested):
        changes.put(_asked(event, body))
        return
    changed = await _changed(changes, event, body)
    if changed:
        await changes.amend(View.APPROVAL, event.meta.tenant, event.aggregate_id, **changed)


def _asked(event: ReadEvent, body: approval.ApprovalRequested) -> ViewRow:
    """Give the row of a new approval.

    Proposal and policy are kept with their defaults: whoever reads them is to see what holds.
    """
    shown: JsonObject = {
        **body.to_data(),
        "proposal": body.proposal.model_dump(mode="json", by_alias=True),
        "policy": body.policy.model_dump(mode="json", by_alias=True),
        "requested_by": body.requested_by,
        "because": body.because,
        "expires_us": body.expires_us,
        "status": "pending",
        "votes": [],
        "reminders": 0,
    }
    return ViewRow(
        View.APPROVAL, event.meta.tenant, event.aggregate_id, body.run_id, body.requested_us,
        "pending", body.workflow, shown,
    )  # fmt: skip


async def _changed(changes: Changes, event: ReadEvent, body: Wire) -> dict[str, JsonValue]:
    """Give the fields that an event changes."""
    at = event.meta.time_us
    match body:
        case approval.VoteCast():
            return {"votes": await _votes(changes, event, body)}
        case approval.ApprovalReminded():
            return {"reminders": body.number, "reminded_us": body.at_us}
        case approval.ApprovalGranted():
            granted: dict[str, JsonValue] = {
                "answers": body.answers,
                "granted_us": body.granted_us,
                "grant_expires_us": body.expires_us,
            }
            return {**granted, **_decided("approved", body.by, body.reason, at)}
        case approval.ApprovalRejected():
            return _decided("rejected", body.by, body.reason, at)
        case approval.ApprovalPushedBack():
            return {"to": body.to, **_decided("pushed_back", body.by, body.feedback, at)}
        case approval.ApprovalExpired():
            return {"status": "expired", "decided_us": at}
        case approval.ApprovalWithdrawn():
            return {"status": "withdrawn", "reason": body.reason, "decided_us": at}
        case _:
            return {}


def _decided(status: str, by: tuple[str, ...], reason: str, at_us: int) -> dict[str, JsonValue]:
    return {"status": status, "decided_by": list(by), "reason": reason, "decided_us": at_us}


async def _votes(changes: Changes, event: ReadEvent, body: approval.VoteCast) -> JsonValue:
    row = await changes.get(View.APPROVAL, event.meta.tenant, event.aggregate_id)
    votes = row.body.get("votes") if row is not None else None
    earlier = list(votes) if isinstance(votes, list) else []
    vote: JsonObject = {**body.to_data(), "at_us": event.meta.time_us}
    return [*earlier, vote][-VOTES_SHOWN:]
