"""Checkers of runs and people: silent on what is right, and each one speaks on its own wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from penstock_testkit.checking import History, check
from penstock_testkit.checking.samples import valid
from penstock_testkit.checking.tape import Row, Tape

Break = Callable[[Tape], Tape]


def tape() -> Tape:
    return Tape.of(valid().store)


def found_in(broken: Tape, **more: Any) -> set[str]:
    """Judge the store alone, so that only what is said of it can be wrong."""
    return {violation.check for violation in check(History(broken.store(), **more))}


def row(broken: Tape, place: int, **data: object) -> Row:
    """Give a copy of an event with other data, as if another message had caused it."""
    one = broken.rows[place]
    meta = replace(one.meta, causation_id="another message")
    return replace(one, meta=meta, data={**one.data, **data})


def again(name: str, *, behind: int = 1, number: int = 0, **data: object) -> Break:
    """Repeat an event further on."""

    def change(of: Tape) -> Tape:
        place = of.find(name, number, **data)
        return of.insert(place + behind, row(of, place))

    return change


def changed(name: str, number: int = 0, find: dict[str, object] | None = None, **data: object):
    """Change an event's data."""
    return lambda of: of.change(of.find(name, number, **(find or {})), **data)


def dropped(name: str, number: int = 0, **data: object) -> Break:
    """Take an event away."""
    return lambda of: of.drop(of.find(name, number, **data))


def early(name: str, seconds: float, number: int = 0, **data: object) -> Break:
    """Let a timer act too early, as it says itself."""

    def change(of: Tape) -> Tape:
        place = of.find(name, number, **data)
        time_us = of.rows[place].meta.time_us - int(seconds * 1_000_000)
        return of.mark(place, time_us=time_us, causation_id=f"timer/{time_us}")

    return change


def _ended_twice(of: Tape) -> Tape:
    place = of.find("run_succeeded")
    copy = row(of, place)
    return of.insert(
        place + 1, replace(copy, topic="run.run_cancelled.v1", data={"by": "x", "ended_us": 1})
    )


def _without_parent(of: Tape) -> Tape:
    return of.move(of.find("task_scheduled", node="z"), of.find("task_scheduled", node="w") + 1)


def _after_a_failed_parent(of: Tape) -> Tape:
    """Let `a` fail, and what needs it go on."""
    place = of.find("node_succeeded", node="a")
    failed = {"node": "a", "attempt": 2, "error": {"code": "agent_failed"}}
    return of.put(place, replace(of.rows[place], topic="run.node_failed.v1", data=failed))


def _unknown_again(of: Tape) -> Tape:
    """Try an attempt of unknown outcome again, by a timer and without anybody's word."""
    place = of.find("attempt_failed", node="q")
    one = of.rows[place]
    error = {"code": "unknown_outcome", "retryable": True}
    meta = replace(one.meta, causation_id=f"timer/{one.meta.time_us}")
    broken = of.put(place, replace(one, meta=meta, data={**one.data, "error": error}))
    return broken.drop(broken.find("outcome_settled"))


def _third_attempt(of: Tape) -> Tape:
    """Make one attempt more than the policy of `a` allows."""
    ended = of.find("node_succeeded", node="a")
    failed, queued = of.find("attempt_failed", node="a"), of.find("task_scheduled", 1, node="a")
    time_us = of.rows[ended].meta.time_us
    more = [row(of, failed, attempt=2), row(of, queued, attempt=3)]
    more = [replace(one, meta=replace(one.meta, time_us=time_us)) for one in more]
    return of.insert(ended, *more).change(ended + 2, attempt=3)


def _vote_late(of: Tape) -> Tape:
    place = of.find("vote_cast")
    asked = of.rows[of.find("approval_requested", node="ok")]
    return of.mark(place, time_us=asked.data["expires_us"])


def _granted_by_one(of: Tape) -> Tape:
    place = of.find("approval_granted")
    return of.change(place, by=["user:eve"])


def _grant_of_another(of: Tape) -> Tape:
    one, other = of.find("gate_passed", node="ok"), of.find("gate_passed", node="f")
    return of.change(one, grant=of.rows[other].data["grant"])


def _unplanned_apply(of: Tape) -> Tape:
    return of.drop(of.find("gate_passed", node="f"))


def _trigger_twice(of: Tape) -> Tape:
    place = of.find("trigger_matched")
    return of.insert(
        place + 1, replace(row(of, place), aggregate="0" * 8 + of.rows[place].aggregate[8:])
    )


def _of_a_timer_later(of: Tape) -> Tape:
    """Let a message be decided behind a timer that is later than itself."""
    place = of.find("node_succeeded", node="s")
    return of.mark(place, time_us=of.rows[of.find("attempt_failed", node="s")].meta.time_us - 1_000)


CASES: dict[str, tuple[Break, set[str]]] = {
    "a run that ends twice": (_ended_twice, {"run ends once", "folds"}),
    "a run that starts twice": (again("run_started"), {"run starts once", "causes", "folds"}),
    "a run in a partition it does not name": (
        changed("run_started", partition="run-1"),
        {"run starts once", "started as matched"},
    ),
    "progress behind the end": (
        lambda of: of.move(of.find("node_succeeded", node="f"), of.find("run_succeeded", 1) + 1),
        {"run ends once", "folds"},
    ),
    "success without a node": (
        dropped("node_succeeded", node="a", attempt=2),
        {"success", "parents first", "folds"},
    ),
    "a child before its parent": (_without_parent, {"parents first", "causes"}),
    "a child of a failed parent": (_after_a_failed_parent, {"parents first"}),
    "an attempt started twice": (again("task_scheduled", node="a"), {"attempts", "folds"}),
    "an attempt begun twice": (again("task_started", node="p"), {"attempts", "folds"}),
    "two outcomes of an attempt": (
        again("node_succeeded", node="a", attempt=2),
        {"attempts", "settled", "causes", "folds"},
    ),
    "an attempt left out": (
        lambda of: of.change(of.find("task_scheduled", 1, node="a"), attempt=3).change(
            of.find("node_succeeded", node="a"), attempt=3
        ),
        {"attempts"},
    ),
    "an outcome of an earlier attempt": (
        changed("node_succeeded", find={"node": "a"}, attempt=1),
        {"attempts"},
    ),
    "more attempts than the policy": (_third_attempt, {"attempts"}),
    "an unknown outcome tried again": (_unknown_again, {"attempts"}),
    "a claimed attempt tried again after a crash": (
        changed("attempt_failed", find={"node": "q"}, error={"code": "agent_crashed"}),
        {"attempts"},
    ),
    "an unknown outcome of what was never claimed": (
        changed("task_started", find={"node": "q", "attempt": 1}, nonce=None),
        {"attempts"},
    ),
    "a retry before its time": (early("task_scheduled", 0.5, 1, node="a"), {"due times"}),
    "a timeout before its time": (early("attempt_failed", 1, node="s"), {"due times"}),
    "an unknown outcome before its time": (early("outcome_unknown", 1), {"due times"}),
    "an approval that expires too early": (
        early("approval_expired", 1),
        {"due times"},
    ),
    "a timer called by another time": (
        lambda of: of.mark(of.find("approval_expired"), causation_id="timer/1"),
        {"due times"},
    ),
    "a message behind a later timer": (_of_a_timer_later, {"inbox first"}),
    "an effect without leave": (_unplanned_apply, {"leave first", "attempts", "folds"}),
    "leave for another thing": (_grant_of_another, {"decisions"}),
    "leave that nobody gave": (
        lambda of: of.drop(of.find("vote_cast", 3), of.find("approval_granted", 1)),
        {"decisions"},
    ),
    "leave without a grant": (changed("gate_passed", grant=None), {"decisions"}),
    "a gate for another plan": (
        lambda of: of.change(
            of.find("gate_opened", node="f"),
            binding=of.rows[of.find("gate_opened", node="ok")].data["binding"],
        ),
        {"bindings", "decisions"},
    ),
    "a plan under another digest": (
        changed("plan_made", plan={"effect": {"write": "something else"}, "base": {"at": 1}}),
        {"bindings"},
    ),
    "a denial that nobody decided": (dropped("approval_expired"), {"decisions"}),
    "a late vote": (_vote_late, {"votes"}),
    "a vote cast twice": (again("vote_cast"), {"votes"}),
    "a vote of a stranger": (changed("vote_cast", roles=["viewer"]), {"votes"}),
    "a vote on one's own request": (
        changed("approval_requested", find={"node": "ok"}, requested_by="user:bob"),
        {"votes"},
    ),
    "a decision by one of two": (_granted_by_one, {"quorum", "decisions"}),
    "a decision by who did not vote": (
        changed("vote_cast", choice="reject", reason="no"),
        {"quorum"},
    ),
    "a vote behind the decision": (
        lambda of: of.move(of.find("vote_cast"), of.find("approval_granted") + 1),
        {"decided once", "quorum", "folds"},
    ),
    "an approval decided twice": (again("approval_granted"), {"decided once", "folds"}),
    "a trigger decided twice": (_trigger_twice, {"triggers"}),
    "a run id that follows from nothing": (
        lambda of: of.change(
            of.find("trigger_matched"),
            runs=[{**of.rows[of.find("trigger_matched")].data["runs"][0], "run_id": "1" * 36}],
        ),
        {"run ids", "started as matched"},
    ),
    "a run with other inputs": (changed("run_started", inputs={"x": 1}), {"started as matched"}),
    "a run that nothing has matched": (
        lambda of: of.drop(of.find("trigger_matched"), of.find("start_confirmed")),
        {"started as matched"},
    ),
    "a start confirmed twice": (again("start_confirmed"), {"confirmations"}),
    "a cause that acts twice": (
        lambda of: of.mark(
            of.find("node_succeeded", node="a"),
            causation_id=of.rows[of.find("task_scheduled", node="a")].meta.causation_id,
        ),
        {"causes"},
    ),
}


def test_nothing_is_said_of_a_history_that_is_right():
    assert check(valid()) == []
    assert found_in(tape(), ended=True) == set()


@pytest.mark.parametrize(("change", "due"), CASES.values(), ids=CASES)
def test_a_wrong_is_told_by_its_own_check(change: Break, due: set[str]):
    assert found_in(change(tape())) == due


def test_a_run_that_never_ends_is_told_once_it_must_have_ended():
    of = tape()
    broken = of.drop(of.find("run_succeeded"))
    assert found_in(broken) == set()
    assert found_in(broken, ended=True) == {"run ends"}


def test_a_start_that_is_never_confirmed_is_told_in_the_end():
    of = tape()
    broken = of.drop(of.find("start_confirmed"))
    assert found_in(broken) == set()
    assert found_in(broken, ended=True) == {"confirmations"}


def test_old_messages_of_a_stream_put_back_are_no_fault():
    broken = _of_a_timer_later(tape())
    assert found_in(broken, old_times=frozenset({"RUNS"})) == set()


def test_clocks_may_differ_as_far_as_is_said():
    assert found_in(_of_a_timer_later(tape()), skew_us=2_000_000) == set()
