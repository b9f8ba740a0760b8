"""Attempts: retries, timeouts, claims, and words that come too late."""

from typing import Any

import pytest

from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import (
    AttemptFailed,
    FireTimers,
    NodeFailed,
    NodeSucceeded,
    RunFailed,
    RunStarted,
    RunSucceeded,
    TaskScheduled,
    TaskStarted,
)
from penstock_contracts.task.v1 import ClaimAnswer
from penstock_contracts.values import MICROSECONDS, Failure, Phase
from penstock_contracts.workflow.v1 import Retry
from penstock_core.effects import Answer, QueueTask, SendCommand, StopTask
from penstock_core.run.attempts import LAST_WORD_S
from penstock_core.run.retry import retry_wait_us
from penstock_testkit.builders.runs import RunStory
from penstock_testkit.builders.workflows import node, workflow

RETRY = {"attempts": 3, "delay": "2s", "factor": 3, "cap": "5s", "jitter": 0}


def one(**fields: Any) -> RunStory:
    return RunStory(workflow(nodes={"a": node(**fields)})).start()


def once(**fields: Any) -> RunStory:
    return RunStory(workflow(nodes={"a": node(agent="pay", **fields)})).start()


# --- retry ---------------------------------------------------------------------------------------


def test_a_retryable_failure_is_tried_again_after_a_growing_wait():
    run = one(retry=RETRY)
    run.fail("a", again=True).then(AttemptFailed)
    assert run.last(AttemptFailed).retry_at_us == run.now_us + 2 * MICROSECONDS
    run.timers(2).then(TaskScheduled)
    assert run.last(TaskScheduled).attempt == 2
    run.fail("a", 2, again=True).then(AttemptFailed)
    assert run.last(AttemptFailed).retry_at_us == run.now_us + 5 * MICROSECONDS  # 6 s, capped
    run.timers(5).then(TaskScheduled)
    run.fail("a", 3, again=True).then(NodeFailed, RunFailed)


def test_a_retry_is_not_early_and_its_success_counts():
    run = one(retry=RETRY).fail("a", again=True)
    run.timers(1.999)
    assert run.node("a").status == "retrying"
    run.timers(0.001).succeed("a", 2).then(NodeSucceeded, RunSucceeded)


def test_what_says_that_again_does_not_help_is_not_tried_again():
    one(retry=RETRY).fail("a", again=False).then(NodeFailed, RunFailed)


def test_jitter_takes_a_share_away_and_is_the_same_each_time():
    policy = Retry(attempts=9, delay=10, factor=2, cap=60, jitter=0.5)
    waits = [retry_wait_us(policy, "run", "node", attempt) for attempt in range(1, 9)]
    assert waits == [retry_wait_us(policy, "run", "node", attempt) for attempt in range(1, 9)]
    for attempt, wait in enumerate(waits, 1):
        whole = min(60, 10 * 2 ** (attempt - 1)) * MICROSECONDS
        assert whole / 2 <= wait <= whole
    assert len(set(waits)) == len(waits)
    assert retry_wait_us(policy, "other", "node", 1) != waits[0]


def test_an_endless_factor_stays_at_the_cap():
    policy = Retry(attempts=100, delay=1, factor=100, cap=7, jitter=0)
    assert retry_wait_us(policy, "run", "node", 100) == 7 * MICROSECONDS


# --- timeouts ------------------------------------------------------------------------------------


def test_a_task_that_nobody_takes_times_out_and_is_stopped():
    run = one(timeout={"queued": "5s"}).timers(4.9)
    assert run.node("a").status == "queued"
    run.timers(0.1).then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TIMEOUT_QUEUED
    stop = run.effects[0]
    assert isinstance(stop, StopTask)
    assert stop.task_subject.startswith("penstock.default.task.default.work.")


def test_the_queued_timeout_ends_with_the_start():
    run = one(timeout={"queued": "5s", "total": "20s"})
    run.when(run.started_of("a")).then(TaskStarted)
    run.timers(19)
    assert run.node("a").status == "running"
    run.timers(1).then(NodeFailed, RunFailed)
    assert run.last(NodeFailed).error.code == Code.TIMEOUT_TOTAL


def test_a_timeout_is_tried_again_where_retries_are_left():
    run = one(timeout={"total": "10s"}, retry={"attempts": 2, "delay": "1s", "jitter": 0})
    run.timers(10).then(AttemptFailed)
    assert isinstance(run.effects[0], StopTask)
    run.timers(1).then(TaskScheduled)
    queued = run.effects[0]
    assert isinstance(queued, QueueTask)
    assert queued.task.attempt == 2


def test_the_word_of_an_attempt_that_timed_out_is_late():
    run = one(timeout={"total": "10s"}, retry={"attempts": 2, "delay": "1s"}).timers(20)
    run.succeed("a", 1).stale(Code.STALE)
    run.succeed("a", 2).then(NodeSucceeded, RunSucceeded)


def test_the_run_timeout_ends_everything():
    document = workflow(nodes={"a": node(), "b": node(agent="pay")}, timeout="30s")
    run = RunStory(document).start().claim("b")
    run.timers(30).then(RunFailed)
    assert run.last(RunFailed).cause.error.code == Code.TIMEOUT_RUN
    assert run.last(RunFailed).ended_us == run.now_us
    assert [type(effect) for effect in run.effects] == [StopTask, StopTask]
    assert run.statuses() == {"a": "cancelled", "b": "cancelled"}


def test_a_timer_in_the_time_of_its_state_only():
    run = one(timeout={"queued": "5s"})
    run.later(4).when(FireTimers())
    assert run.refused
    run.succeed("a").later(100).when(FireTimers()).stale(Code.STALE)


# --- started -------------------------------------------------------------------------------------


def test_a_start_is_told_once():
    run = one()
    run.when(run.started_of("a")).then(TaskStarted)
    run.when(run.started_of("a")).stale(Code.STALE)
    run.succeed("a").then(NodeSucceeded, RunSucceeded)


def test_a_once_task_cannot_start_without_a_claim():
    run = once()
    run.when(run.started_of("a")).stale(Code.CLAIMED)
    assert run.node("a").status == "queued"


# --- claims --------------------------------------------------------------------------------------


def answers(run: RunStory) -> list[tuple[str, bool]]:
    given = (*run.effects, *run.replies)
    bodies = [effect.body for effect in given if isinstance(effect, Answer)]
    return [(body.nonce, body.granted) for body in bodies if isinstance(body, ClaimAnswer)]


def test_one_nonce_is_granted_and_answered_again_and_every_other_refused():
    run = once()
    run.claim("a", nonce="n1").then(TaskStarted)
    assert answers(run) == [("n1", True)]
    run.claim("a", nonce="n2").stale(Code.CLAIMED)
    assert answers(run) == [("n2", False)]
    run.claim("a", nonce="n1").stale(Code.STALE)
    assert answers(run) == [("n1", True)]
    assert len([event for event in run.events if isinstance(event, TaskStarted)]) == 1


def test_the_result_must_carry_the_granted_nonce():
    run = once().claim("a", nonce="n1")
    run.when(run.result("a", nonce="n2")).stale(Code.CLAIMED)
    run.when(run.result("a")).stale(Code.CLAIMED)
    run.when(run.result("a", nonce="n1")).then(NodeSucceeded, RunSucceeded)


def test_success_without_a_claim_is_not_believed_of_a_once_agent():
    run = once()
    run.when(run.result("a", nonce="n1")).stale(Code.CLAIMED)


def test_the_running_time_counts_from_the_claim():
    run = once(timeout={"running": "10s", "total": "1h"}).later(50).claim("a")
    until_us = run.now_us + int((10 + LAST_WORD_S) * MICROSECONDS)
    assert run.last(TaskStarted).running_until_us == until_us


def test_a_claimed_task_is_not_asked_for_again():
    run = once()
    assert len(run.decider.outstanding(run.state)) == 1
    run.claim("a")
    assert run.decider.outstanding(run.state) == ()


def test_an_unclaimed_once_task_may_be_tried_again_and_the_old_one_is_refused():
    run = once(retry={"attempts": 2, "delay": "1s"}, timeout={"queued": "5s"})
    run.timers(5).then(AttemptFailed)
    run.timers(1).then(TaskScheduled)
    run.claim("a", 1, "late").stale(Code.CLAIMED)
    assert answers(run) == [("late", False)]
    run.claim("a", 2, "new").then(TaskStarted)


def test_a_claim_after_the_total_time_is_refused_though_no_timer_has_fired():
    run = once(timeout={"total": "5s"}).later(5)
    run.claim("a").stale(Code.CLAIMED)
    assert answers(run) == [("nonce-1", False)]


def test_a_declared_failure_after_the_claim_may_be_tried_again():
    run = once(retry={"attempts": 2}).claim("a")
    error = Failure(code=Code.AGENT_FAILED, message="declined", retryable=True)
    run.when(run.result("a", error=error, nonce="nonce-1")).then(AttemptFailed)


def test_any_other_failure_after_the_claim_is_final():
    run = once(retry={"attempts": 2}).claim("a")
    error = Failure(code=Code.SANDBOX_FAILED, message="lost", retryable=True)
    run.when(run.result("a", error=error, nonce="nonce-1")).then(NodeFailed, RunFailed)


# --- copies --------------------------------------------------------------------------------------


def test_a_result_counts_once():
    run = RunStory(workflow(nodes={"a": node(), "b": node()})).start()
    run.succeed("a").then(NodeSucceeded)
    run.succeed("a").stale(Code.STALE)
    run.fail("a").stale(Code.STALE)
    run.when(run.result("b", 2)).stale(Code.STALE)
    run.when(run.result("nowhere")).stale(Code.STALE)
    run.when(run.result("b", phase=Phase.APPLY)).stale(Code.STALE)


def test_a_second_start_is_answered_again_and_changes_nothing():
    run = one()
    run.start().stale(Code.STALE)
    (confirm,) = run.replies
    assert isinstance(confirm, SendCommand)
    assert confirm.subject.endswith(".confirm_start")
    run.succeed("a").start().stale(Code.STALE)
    assert len(run.replies) == 1


@pytest.mark.parametrize("settle", ["succeed", "fail", "cancel"])
def test_copies_of_every_command_are_refused_once_the_run_has_ended(settle: str):
    run = RunStory(workflow(nodes={"a": node(agent="pay"), "b": node(approval={})}))
    copies = [
        run.claim_of("a"),
        run.result("a", nonce="nonce-1"),
        run.started_of("a"),
        run.result("b"),
        run.start_command,
    ]
    run.start().then(RunStarted, TaskScheduled, type(run.events[-1])).claim("a")
    match settle:
        case "succeed":
            run.when(run.result("a", nonce="nonce-1")).approve("b").succeed("b")
        case "fail":
            run.when(run.result("a", nonce="nonce-1", error=Failure(code="agent_failed")))
        case _:
            run.cancel()
    ended, versions = run.state, len(run.events)
    for copy in copies:
        run.when(copy)
        assert run.refused
    assert (run.state, len(run.events)) == (ended, versions)
