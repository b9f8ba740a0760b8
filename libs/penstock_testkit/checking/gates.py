"""People first: nothing that needs leave is begun without just that leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from penstock_contracts.approval.v1 import (
    ApprovalExpired,
    ApprovalGranted,
    ApprovalPushedBack,
    ApprovalRejected,
    ApprovalRequested,
)
from penstock_contracts.grant.v1 import Grant, SignedGrant
from penstock_contracts.ids import approval_id
from penstock_contracts.run.v1 import (
    GateOpened,
    GatePassed,
    GatePushedBack,
    NodeFailed,
    PlanMade,
    TaskScheduled,
)
from penstock_contracts.subjects import APPROVAL_PARTITION
from penstock_contracts.values import Phase
from penstock_core.workflow.canonical import canonical_digest
from penstock_testkit.checking.facts import Fact
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.stories import Story, stories

_DENIALS = {"denied": ApprovalRejected, "expired": ApprovalExpired}


def leave_comes_first(history: History) -> Iterator[Violation]:
    """A task with an effect that people have to allow is scheduled behind its passed gate."""
    for story in stories(history):
        passed: dict[str, int] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, GatePassed):
                passed[event.node] = event.attempt
            elif isinstance(event, GatePushedBack):
                for node in event.reset:
                    passed.pop(node, None)
            elif isinstance(event, TaskScheduled) and not _has_leave(
                history, story, event, passed.get(event.node)
            ):
                detail = f"{event.node}/{event.attempt} ({event.phase}) without leave"
                yield Violation("leave first", fact.where, f"{story.run_id}: {detail}")


def _has_leave(history: History, story: Story, event: TaskScheduled, passed: int | None) -> bool:
    if event.phase is Phase.APPLY:
        return passed == event.attempt
    node = story.definition.nodes.get(event.node)
    if event.phase is Phase.PLAN or node is None:
        return True
    return not history.definitions.is_gated(story.started, node) or passed is not None


def gates_are_bound_to_plans(history: History) -> Iterator[Violation]:
    """What is asked at a gate is what was planned, digest by digest."""
    for story in stories(history):
        plans: dict[tuple[str, int], PlanMade] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, PlanMade):
                plans[event.node, event.attempt] = event
                plan = event.plan
                digests = canonical_digest(plan.effect), canonical_digest(plan.base)
                if (event.binding.effect, event.binding.base) != digests:
                    yield Violation("bindings", fact.where, "is not the digest of its plan")
            elif isinstance(event, GateOpened):
                made = plans.get((event.node, event.attempt))
                if made is not None and made.binding != event.binding:
                    yield Violation("bindings", fact.where, "the gate is for another plan")
                if event.approval_id != approval_id(story.run_id, event.node, event.attempt):
                    yield Violation("bindings", fact.where, "the approval is not this gate's")


def gates_follow_decisions(history: History) -> Iterator[Violation]:
    """A gate is passed, pushed back or denied only as the approval service has decided."""
    if APPROVAL_PARTITION not in history.store:
        return
    for story in stories(history):
        opened: dict[str, GateOpened] = {}
        for fact in story.facts:
            event = fact.event
            if isinstance(event, GateOpened):
                opened[event.node] = event
            elif isinstance(event, GatePassed | GatePushedBack | NodeFailed) and _answers(event):
                gate = opened.pop(event.node, None)
                for detail in _answered(history, story, gate, fact):
                    yield Violation("decisions", fact.where, f"{story.run_id}: {detail}")


def _answers(event: GatePassed | GatePushedBack | NodeFailed) -> bool:
    """Tell whether this follows from a decision: of failures only the denials do."""
    return not isinstance(event, NodeFailed) or event.error.code in _DENIALS


def _answered(history: History, story: Story, gate: GateOpened | None, fact: Fact) -> Iterator[str]:
    event = fact.event
    if gate is None:
        yield f"{fact.topic} and no gate is open"
        return
    facts = history.approvals.get(gate.approval_id, ())
    asked = _first(facts, ApprovalRequested)
    if asked is None or not isinstance(asked.event, ApprovalRequested):
        yield f"nobody was asked about {gate.node}/{gate.attempt}"
        return
    if asked.event.binding != gate.binding:
        yield f"{gate.node}/{gate.attempt}: people were asked about something else"
    wanted = _decision_for(event)
    decided = None if wanted is None else _first(facts, wanted)
    if decided is None:
        yield f"{fact.topic} of {gate.node}/{gate.attempt}, which was not decided so"
        return
    if decided.meta.time_us > fact.meta.time_us + history.skew_us:
        yield f"{fact.topic} of {gate.node}/{gate.attempt} precedes its decision"
    if isinstance(event, GatePassed) and isinstance(decided.event, ApprovalGranted):
        yield from _grant_faults(story, gate, event.grant, decided.event)


def _decision_for(event: object) -> type | None:
    if isinstance(event, GatePassed):
        return ApprovalGranted
    if isinstance(event, GatePushedBack):
        return ApprovalPushedBack
    return _DENIALS.get(event.error.code) if isinstance(event, NodeFailed) else None


def _first(facts: Sequence[Fact], kind: type) -> Fact | None:
    return next((fact for fact in facts if isinstance(fact.event, kind)), None)


def _grant_faults(
    story: Story, gate: GateOpened, signed: SignedGrant | None, decided: ApprovalGranted
) -> Iterator[str]:
    where = f"the grant of {gate.node}/{gate.attempt}"
    if signed is None:
        yield f"{where} is missing"
        return
    try:
        grant = Grant.model_validate_json(signed.payload)
    except ValidationError:
        yield f"{where} cannot be read"
        return
    said = (grant.tenant, grant.run_id, grant.node, grant.attempt, grant.approval_id)
    if said != (story.started.tenant, story.run_id, gate.node, gate.attempt, gate.approval_id):
        yield f"{where} is for another gate"
    if grant.binding != gate.binding:
        yield f"{where} is bound to something else"
    times = (grant.principals, grant.granted_us, grant.expires_us)
    if times != (decided.by, decided.granted_us, decided.expires_us):
        yield f"{where} says other people or times than the decision"
