"""Laws of runs: whatever comes, in whatever order and however often."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_contracts.approval.v1 import Proposal, RequestApproval
from penstock_contracts.codes import Code
from penstock_contracts.records import EventMeta, decode_state, encode_state
from penstock_contracts.registry import read_event, type_of
from penstock_contracts.run.v1 import (
    AttemptFailed,
    FireTimers,
    GateOpened,
    GatePassed,
    GatePushedBack,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    OutcomeSettled,
    OutcomeUnknown,
    PlanMade,
    RunCancelled,
    RunFailed,
    RunSucceeded,
    TaskResultReceived,
    TaskScheduled,
    TaskStarted,
    Verdict,
)
from penstock_contracts.values import Failure, JsonObject, Phase, Wire
from penstock_core.binding import bind
from penstock_core.decider import next_due
from penstock_core.effects import REASK_CAP_US, REASK_FIRST_US, QueueTask, SendCommand, reask_after
from penstock_core.run.evolve import evolve
from penstock_core.run.snapshot import (
    document_hash,
    header_document,
    node_document,
    read_header,
    read_node,
    state_hash,
    with_nodes,
)
from penstock_core.run.state import ENDED, LOSSES_MAX, SETTLED, NodeStatus
from penstock_testkit.builders.runs import PLAN, RunStory
from penstock_testkit.given import asks
from penstock_testkit.strategies.runs import Step, sequences
from penstock_testkit.strategies.workflows import documents

ENDS = (RunSucceeded, RunFailed, RunCancelled)
STEPS_MAX = 30
LAWS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip


def play(run: RunStory, data: st.DataObject, check_each: bool = True) -> RunStory:
    run.start()
    played: list[Step] = []
    for step in data.draw(sequences(run, STEPS_MAX)):
        played.append(step)
        if step.timers:
            run.timers(step.seconds)
        else:
            run.later(step.seconds)
        if step.command is not None:
            run.when(step.command(run))
            check_effects(run)
        if check_each:
            run.check_bound()
            check_outstanding(run)
            check_binding(run)
    return run


def check_effects(run: RunStory) -> None:
    """Every question of a decision is outstanding behind it, or settled by it."""
    waiting = asks(item.effect for item in run.decider.outstanding(run.state))
    for effect in run.effects:
        if isinstance(effect, QueueTask):
            task, node = effect.task, run.node(effect.task.node)
            now = (node.attempt, node.phase, node.status)
            asked_for = now == (task.attempt, task.phase, NodeStatus.QUEUED)
            assert effect.subject in waiting or not asked_for
        if isinstance(effect, SendCommand) and effect.subject.endswith("request_approval"):
            gated = any(node.status is NodeStatus.GATED for node in run.state.nodes.values())
            assert effect.subject in waiting or not gated


def check_outstanding(run: RunStory) -> None:
    """What waits is outstanding, and nothing else is."""
    items = run.decider.outstanding(run.state)
    if run.state.status in ENDED:
        assert items == ()
        return
    expected = 0
    for node in run.state.nodes.values():
        asked = node.status in (NodeStatus.QUEUED, NodeStatus.RUNNING) and node.nonce is None
        expected += asked or node.status in (NodeStatus.GATED, NodeStatus.STORING)
    assert len(items) == expected
    assert len({id(item.effect) for item in items}) == len(items)


@LAWS
@given(documents(), st.data())
def test_no_sequence_of_commands_breaks_an_invariant(document: JsonObject, data: st.DataObject):
    run = play(RunStory(document), data)
    events = run.events
    ends = [place for place, event in enumerate(events) if isinstance(event, ENDS)]
    assert len(ends) <= 1
    if ends:
        check_ended(run, events[ends[0] + 1 :])
    assert run.state.version == len(events)
    assert run.state.unsettled == sum(n.status not in SETTLED for n in run.state.nodes.values())
    check_order(run)
    check_attempts(run)
    check_gates(run)
    check_pending(run)


def check_ended(run: RunStory, after: list[Wire]) -> None:
    """After the end only outcomes that nobody knew are settled; everything else is."""
    assert run.state.status in ENDED
    assert all(n.status in SETTLED | {NodeStatus.UNKNOWN} for n in run.state.nodes.values())
    unknown = {event.node for event in run.events if isinstance(event, OutcomeUnknown)}
    for event in after:
        assert isinstance(event, OutcomeSettled | NodeSucceeded | NodeFailed)
        assert event.node in unknown


def check_order(run: RunStory) -> None:
    """No node does anything before all its parents are settled, nor succeeds twice in between."""
    settled: set[str] = set()
    for event in run.events:
        if isinstance(event, TaskScheduled | GateOpened | NodeSkipped | NodeSucceeded):
            assert settled >= set(run.plan.nodes[event.node].needs)
        if isinstance(event, NodeSucceeded | NodeFailed | NodeSkipped):
            assert event.node not in settled
            settled.add(event.node)
        if isinstance(event, GatePushedBack):
            assert set(event.reset) - {event.node} <= settled
            settled -= set(event.reset)


def check_attempts(run: RunStory) -> None:
    """Attempts count up; each phase has one task and one result; one nonce at most claims it."""
    results: set[tuple[str, int]] = set()
    started: set[tuple[str, int, Phase]] = set()
    tasks: dict[str, tuple[int, Phase]] = {}
    tries: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    received: set[tuple[str, int, Phase]] = set()
    for event in run.events:
        match event:
            case TaskScheduled():
                attempt, phase = tasks.get(event.node, (0, Phase.RUN))
                if event.phase is Phase.APPLY:
                    assert (attempt, phase) == (event.attempt, Phase.PLAN)
                else:
                    assert event.attempt > attempt
                    tries[event.node] += 1
                tasks[event.node] = (event.attempt, event.phase)
                assert tries[event.node] <= run.plan.nodes[event.node].retry.attempts
            case AttemptFailed(error=Failure(code=Code.ARTIFACT_LOST)):
                tries[event.node] -= 1  # costs no retry
                losses[event.node] += 1
                assert losses[event.node] <= LOSSES_MAX
                results.add((event.node, event.attempt))
            case TaskResultReceived():
                one = (event.node, event.attempt, tasks[event.node][1])
                assert one not in received
                received.add(one)
            case GatePushedBack():
                for name in event.reset:
                    tries[name] = losses[name] = 0
            case TaskStarted():
                one = (event.node, event.attempt, tasks[event.node][1])
                assert one not in started
                started.add(one)
                repeats = run.plan.nodes[event.node].repeats or one[2] is Phase.PLAN
                assert repeats == (event.nonce is None)
            case NodeSucceeded() | AttemptFailed() | NodeFailed() if event.attempt:
                assert (event.node, event.attempt) not in results
                results.add((event.node, event.attempt))
            case _:
                pass


def check_gates(run: RunStory) -> None:
    """Nothing with a gate begins its effect but behind a decision on that attempt's binding."""
    opened: dict[str, GateOpened] = {}
    planned: dict[str, PlanMade] = {}
    passed: dict[str, GatePassed] = {}
    approvals: set[str] = set()
    for event in run.events:
        match event:
            case PlanMade():
                planned[event.node] = event
            case GateOpened():
                assert event.approval_id not in approvals
                approvals.add(event.approval_id)
                opened[event.node] = event
                if run.plan.nodes[event.node].plans:
                    plan = planned[event.node]
                    assert (plan.attempt, plan.binding) == (event.attempt, event.binding)
            case GatePassed():
                gate = opened.pop(event.node)
                assert (gate.attempt, gate.approval_id) == (event.attempt, event.approval_id)
                passed[event.node] = event
            case GatePushedBack():
                gate = opened.pop(event.node)
                assert (gate.attempt, gate.approval_id) == (event.attempt, event.approval_id)
                for name in event.reset:
                    passed.pop(name, None)
            case TaskScheduled() if run.plan.nodes[event.node].gate is not None:
                if event.phase is Phase.PLAN:
                    passed.pop(event.node, None)
                else:
                    assert event.node in passed
                if event.phase is Phase.APPLY:
                    assert passed[event.node].attempt == event.attempt
            case _:
                pass


def check_pending(run: RunStory) -> None:
    """Each node waits for as many parents as are not settled."""
    nodes = run.state.nodes
    if run.state.status in ENDED:
        return
    for name, node in nodes.items():
        needs = run.plan.nodes[name].needs
        assert node.pending == sum(nodes[parent].status not in SETTLED for parent in needs)


def check_binding(run: RunStory) -> None:
    """What is asked for, however often, is what the approval is bound to."""
    for item in run.decider.outstanding(run.state):
        match item.effect:
            case SendCommand(body=RequestApproval() as body):
                assert bind(body.proposal) == body.binding == run.node(body.node).reviewed.binding
            case QueueTask(task=task) if task.phase is not Phase.PLAN:
                node = run.plan.nodes[task.node]
                if node.gate is not None:
                    proposal = Proposal(
                        agent=task.agent, agent_digest=task.agent_digest, input=task.input,
                        plan=task.plan,
                    )  # fmt: skip
                    assert bind(proposal) == run.node(task.node).reviewed.binding
                    assert task.grant is not None
            case _:
                pass


@LAWS
@given(documents(), st.data())
def test_the_state_is_the_fold_of_the_stored_events(document: JsonObject, data: st.DataObject):
    run = play(RunStory(document), data, check_each=False)
    state = run.blank
    for event in run.events:
        raw = encode_state(EventMeta(time_us=1), b"\0" * 32, event.to_data())
        state = evolve(state, read_event(type_of(event), decode_state(raw)[2]))
    assert state_hash(state) == state_hash(run.state)
    assert run.refold() == run.state


@LAWS
@given(documents(), st.data())
def test_a_snapshot_gives_the_same_state_and_hash(document: JsonObject, data: st.DataObject):
    run = play(RunStory(document), data, check_each=False)
    header = header_document(run.state)
    nodes = {name: node_document(node) for name, node in run.state.nodes.items()}
    read = with_nodes(
        read_header(header, run.plan), {name: read_node(body) for name, body in nodes.items()}
    )
    assert read == run.state
    assert document_hash(header, nodes) == state_hash(read) == state_hash(run.state)


@LAWS
@given(documents(), st.data())
def test_copies_of_all_commands_change_nothing_once_the_run_has_ended(
    document: JsonObject, data: st.DataObject
):
    run = RunStory(document).start()
    sent: list[Wire] = [run.start_command]
    for step in data.draw(sequences(run, STEPS_MAX)):
        run.timers(step.seconds)
        if step.command is not None:
            command = step.command(run)
            run.when(command)
            sent.append(command)
    run.cancel()
    for name, node in run.state.nodes.items():
        if node.status is NodeStatus.UNKNOWN:
            run.settle(name, node.attempt, happened=True)
    ended = run.state
    for command in sent:
        run.when(command)
        assert run.refused
    assert run.state == ended


@LAWS
@given(documents(), st.booleans())
def test_every_run_ends_once_everybody_answers(document: JsonObject, approve: bool):
    run = RunStory(document).start()
    for _ in range(200):
        if run.state.status in ENDED:
            break
        for name in run.state.nodes:
            node = run.node(name)
            if node.status is NodeStatus.GATED:
                verdict = Verdict.APPROVED if approve else Verdict.REJECTED
                attempt = node.reviewed.gate_attempt
                run.when(run.verdict_of(name, verdict, "why", attempt=attempt))
            elif node.status in (NodeStatus.QUEUED, NodeStatus.RUNNING):
                once = not run.plan.nodes[name].repeats and node.phase is not Phase.PLAN
                if once and node.nonce is None:
                    run.claim(name, node.attempt, phase=node.phase)
                plan = PLAN if node.phase is Phase.PLAN else None
                run.when(
                    run.result(
                        name, node.attempt, nonce=run.node(name).nonce, phase=node.phase, plan=plan
                    )
                )
    assert run.state.status in ENDED


@LAWS
@given(documents())
def test_every_run_ends_though_nobody_ever_answers(document: JsonObject):
    run = RunStory(document).start()
    run.timers(2 * 86_400)
    assert run.state.status in ENDED
    run.when(FireTimers())
    assert run.refused


@given(st.integers(0, 10**16), st.integers(0, 40 * REASK_CAP_US))
def test_reask_times_are_later_double_to_an_hour_and_miss_none(asked: int, waited: int):
    after = asked + waited
    following = reask_after(asked, after)
    assert following > after
    assert following - after <= REASK_CAP_US
    assert reask_after(asked, following - 1) == following
    gap = reask_after(asked, following) - following
    assert REASK_FIRST_US <= gap <= REASK_CAP_US
    assert reask_after(asked, 0 if asked == 0 else asked - 1) == asked + REASK_FIRST_US


@LAWS
@given(documents(), st.data())
def test_the_index_is_never_late(document: JsonObject, data: st.DataObject):
    run = RunStory(document)
    for step in (None, *data.draw(sequences(run, STEPS_MAX))):
        if step is None:
            run.start()
        else:
            run.later(step.seconds)
            if step.command is not None:
                run.when(step.command(run))
        following = next_due(run.decider, run.state, run.now_us)
        own = run.decider.own_due(run.state)
        assert own is None or (following is not None and following <= own)
        run.check_bound()
