"""Laws of runs: whatever comes, in whatever order and however often."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_contracts.records import EventMeta, decode_state, encode_state
from penstock_contracts.registry import read_event, type_of
from penstock_contracts.run.v1 import (
    AttemptFailed,
    FireTimers,
    GateOpened,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    RunCancelled,
    RunFailed,
    RunSucceeded,
    TaskScheduled,
    TaskStarted,
    Verdict,
)
from penstock_contracts.values import JsonObject, Wire
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
from penstock_core.run.state import ENDED, SETTLED, NodeStatus
from penstock_testkit.builders.runs import RunStory
from penstock_testkit.given import asks
from penstock_testkit.strategies.runs import Step, steps
from penstock_testkit.strategies.workflows import documents

ENDS = (RunSucceeded, RunFailed, RunCancelled)
STEPS_MAX = 30
LAWS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip


def play(run: RunStory, data: st.DataObject, check_each: bool = True) -> RunStory:
    run.start()
    played: list[Step] = []
    for step in data.draw(st.lists(steps(run), max_size=STEPS_MAX)):
        played.append(step)
        if step.timers:
            run.timers(step.seconds)
        else:
            run.later(step.seconds)
        if step.command is not None:
            run.when(step.command)
            check_effects(run)
        if check_each:
            run.check_bound()
            check_outstanding(run)
    return run


def check_effects(run: RunStory) -> None:
    """Every question of a decision is outstanding behind it, or settled by it."""
    waiting = asks(item.effect for item in run.decider.outstanding(run.state))
    for effect in run.effects:
        if isinstance(effect, QueueTask):
            node = run.node(effect.task.node)
            asked_for = (node.attempt, node.status) == (effect.task.attempt, NodeStatus.QUEUED)
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
        expected += asked or node.status is NodeStatus.GATED
    assert len(items) == expected
    assert len({id(item.effect) for item in items}) == len(items)


@LAWS
@given(documents(), st.data())
def test_no_sequence_of_commands_breaks_an_invariant(document: JsonObject, data: st.DataObject):
    run = play(RunStory(document), data)
    events = run.events
    ends = [event for event in events if isinstance(event, ENDS)]
    assert len(ends) <= 1
    if ends:
        assert events[-1] is ends[0]
        assert run.state.status in ENDED
        assert all(node.status in SETTLED for node in run.state.nodes.values())
    assert run.state.version == len(events)
    assert run.state.unsettled == sum(n.status not in SETTLED for n in run.state.nodes.values())
    check_order(run)
    check_attempts(run)


def check_order(run: RunStory) -> None:
    """No node does anything before all its parents are settled."""
    settled: set[str] = set()
    for event in run.events:
        if isinstance(event, TaskScheduled | GateOpened | NodeSkipped | NodeSucceeded):
            assert settled >= set(run.plan.nodes[event.node].needs)
        if isinstance(event, NodeSucceeded | NodeFailed | NodeSkipped):
            assert event.node not in settled
            settled.add(event.node)


def check_attempts(run: RunStory) -> None:
    """Attempts count up from 1; each has one result; each is claimed by one nonce at most."""
    results: set[tuple[str, int]] = set()
    started: set[tuple[str, int]] = set()
    attempts: dict[str, int] = {}
    for event in run.events:
        match event:
            case TaskScheduled():
                attempts[event.node] = attempts.get(event.node, 0) + 1
                assert event.attempt == attempts[event.node]
                assert event.attempt <= run.plan.nodes[event.node].retry.attempts
            case TaskStarted():
                assert (event.node, event.attempt) not in started
                started.add((event.node, event.attempt))
                if not run.plan.nodes[event.node].repeats:
                    assert event.nonce is not None
            case NodeSucceeded() | AttemptFailed() | NodeFailed() if event.attempt:
                assert (event.node, event.attempt) not in results
                results.add((event.node, event.attempt))
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
    for step in data.draw(st.lists(steps(run), max_size=STEPS_MAX)):
        run.timers(step.seconds)
        if step.command is not None:
            run.when(step.command)
            sent.append(step.command)
    run.cancel()
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
        for name, node in run.state.nodes.items():
            if node.status is NodeStatus.GATED:
                verdict = Verdict.APPROVED if approve else Verdict.REJECTED
                run.when(run.verdict_of(name, verdict, "why"))
            elif node.status is NodeStatus.QUEUED and not run.plan.nodes[name].repeats:
                run.claim(name, node.attempt)
            elif node.status in (NodeStatus.QUEUED, NodeStatus.RUNNING):
                run.when(run.result(name, node.attempt, nonce=node.nonce))
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
    for step in (None, *data.draw(st.lists(steps(run), max_size=STEPS_MAX))):
        if step is None:
            run.start()
        else:
            run.later(step.seconds)
            if step.command is not None:
                run.when(step.command)
        following = next_due(run.decider, run.state, run.now_us)
        own = run.decider.own_due(run.state)
        assert own is None or (following is not None and following <= own)
        run.check_bound()
