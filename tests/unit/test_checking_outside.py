"""Checkers of what is outside of runs: the store's order, EVENTS, views, effects, clients."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json

from penstock_contracts import subjects
from penstock_contracts.envelope import Envelope
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.records import ReadEvent, StoredRecord, read_record
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_testkit.checking import Accepted, Effected, History, Observed, Published, check
from penstock_testkit.checking.delivered import Said, answered_of, reported_in
from penstock_testkit.checking.folding import rows_of
from penstock_testkit.checking.leaks import forms_of
from penstock_testkit.checking.samples import valid
from penstock_testkit.checking.tape import Row, Tape

RUNS = "run-0"
SECRET = b"tok-3/ecret+word"


def told_of(**changes: Any) -> set[str]:
    """Judge the right history with some of its fields changed."""
    return {violation.check for violation in check(replace(valid(), **changes))}


def stored(changes: Sequence[StoredRecord]) -> set[str]:
    """Judge a store whose runs are these."""
    store = {**valid().store, RUNS: changes}
    return {violation.check for violation in check(History(store))}


# --- the order of the store ----------------------------------------------------------------------


def test_a_number_left_out_is_told():
    records = valid().store[RUNS]
    assert "numbers" in stored(records[1:])
    assert "numbers" in stored((*records[:5], *records[6:]))


def test_a_number_taken_twice_is_told():
    records = valid().store[RUNS]
    assert "numbers" in stored((*records, records[-1]))


def test_a_version_left_out_is_told():
    records = list(valid().store[RUNS])
    records[-1] = replace(records[-1], version=records[-1].version + 1)
    assert stored(records) == {"versions"}


def test_an_aggregate_in_two_partitions_is_told():
    of = Tape.of(valid().store)
    place = of.find("run_succeeded")
    moved = of.put(place, replace(of.rows[place], partition=CATALOG_PARTITION))
    assert "homes" in {violation.check for violation in check(History(moved.store()))}


def test_a_changed_record_breaks_the_chain():
    records = list(valid().store[RUNS])
    state = records[3].state.replace(b'"attempt":1', b'"attempt":1 ')
    records[3] = replace(records[3], state=state)
    assert stored(records) == {"chain"}


def test_a_record_that_cannot_be_read_is_told():
    records = list(valid().store[RUNS])
    records[-1] = replace(records[-1], topic="run.never_heard_of.v1")
    assert stored(records) == {"readable", "folds"}


# --- parking -------------------------------------------------------------------------------------


def _parked(code: str, **data: object) -> Tape:
    of = Tape.of(valid().store)
    place = of.find("task_scheduled", node="a")
    one = of.rows[place]
    said = {"stream": "RUNS", "sequence": 7, "subject": "x", "code": code, **data}
    meta = replace(one.meta, causation_id="broken")
    return of.insert(place, Row(RUNS, one.aggregate, "partition.message_parked.v1", meta, said))


def test_a_defect_is_told():
    found = check(History(_parked("invariant_broken", detail="a defect").store()))
    assert ("defects", "a defect") in {(one.check, one.detail) for one in found}


def test_what_is_frozen_and_goes_on_is_told():
    assert "frozen" in {one.check for one in check(History(_parked("malformed").store()))}


def test_a_parked_message_that_does_not_say_why_is_told():
    assert "parked" in {one.check for one in check(History(_parked("because").store()))}


def test_what_is_put_back_and_was_never_parked_is_told():
    of = _parked("malformed")
    place = of.find("message_parked")
    back = replace(
        of.rows[place],
        topic="partition.message_redriven.v1",
        data={"stream": "RUNS", "sequence": 8},
    )
    assert "frozen" in {one.check for one in check(History(of.insert(place + 1, back).store()))}


# --- EVENTS --------------------------------------------------------------------------------------


def published() -> list[Published]:
    return list(valid().published or ())


def _places(partition: str) -> list[int]:
    head = f'"id":"{partition}/'.encode()
    messages = published()
    found = [place for place, one in enumerate(messages) if head in one.payload[:80]]
    return [place for place in found if place not in _markers(messages)]


def _renumbered(messages: Sequence[Published]) -> list[Published]:
    return [replace(one, sequence=place) for place, one in enumerate(messages, 1)]


def _markers(messages: Sequence[Published]) -> list[int]:
    return [place for place, one in enumerate(messages) if b"partition.marker" in one.payload]


def test_a_hole_in_the_stream_is_told_once_it_must_be_mended():
    hole = published()
    del hole[_places(RUNS)[4]]
    assert told_of(published=hole, caught_up=False) == {"last marker"}
    assert "relayed" in told_of(published=hole)


def test_a_unit_that_comes_again_is_no_fault():
    """2 3 / 1 2 3: the repair lies behind the gap."""
    messages, places = published(), _places(RUNS)
    swapped = [
        *(one for place, one in enumerate(messages) if place not in places[:3]),
        *(messages[place] for place in places[1:3]),
        *(messages[place] for place in places),
    ]
    without = [one for place, one in enumerate(swapped) if place not in _markers(swapped)]
    assert told_of(published=_renumbered(without)) == set()


def test_an_event_that_the_store_does_not_hold_is_told():
    store = {**valid().store, RUNS: valid().store[RUNS][:-1]}
    found = {one.check for one in check(replace(valid(), store=store, ended=False))}
    assert {"published", "markers", "seen"} <= found


def test_an_event_that_differs_from_the_stores_is_told():
    messages = published()
    place = _places(RUNS)[3]
    payload = messages[place].payload.replace(b'"attempt":1', b'"attempt":2')
    messages[place] = replace(messages[place], payload=payload)
    assert "published" in told_of(published=messages)


def test_an_event_under_anothers_subject_is_told():
    messages, places = published(), _places(RUNS)
    messages[places[0]] = replace(messages[places[0]], subject=messages[places[-1]].subject)
    assert told_of(published=messages) == {"published"}


def test_what_is_no_event_is_told():
    messages, place = published(), _places(RUNS)[0]
    messages.append(replace(messages[place], sequence=len(messages) + 1, payload=b"{}"))
    assert told_of(published=messages) == {"published"}


def _with_marker(**changes: object) -> set[str]:
    messages = published()
    place = next(p for p in reversed(_markers(messages)) if b'"run-0"' in messages[p].payload)
    envelope = Envelope.decode(messages[place].payload)
    marker = Marker.model_validate(envelope.data).model_copy(update=changes)
    again = envelope.model_copy(update={"data": marker.model_dump(mode="json")})
    messages[place] = replace(messages[place], payload=again.encode())
    return told_of(published=messages, caught_up=False)


def test_a_marker_of_another_history_is_told():
    assert _with_marker(chain_head="00" * 32) == {"markers"}


def test_a_marker_ahead_of_the_store_is_told():
    assert "markers" in _with_marker(last=1_000)


def test_a_valid_marker_behind_a_hole_is_told():
    """The middle of the last unit has failed alone; its end and its marker stand."""
    messages = published()
    hole = [one for place, one in enumerate(messages) if place != _places(RUNS)[-3]]
    assert told_of(published=hole, caught_up=False) == {"last marker"}


def test_a_stream_whose_beginning_has_aged_out_is_read_from_what_is_left():
    messages = published()
    kept = [one for one in messages if one.sequence > 10]
    assert told_of(published=kept, first_sequence=11) == set()


# --- views ---------------------------------------------------------------------------------------


def test_a_row_that_differs_is_told():
    views = dict(valid().views or {})
    key = next(key for key in views if key[0] == "run")
    views[key] = {**views[key], "status": "running"}
    assert told_of(views=views) == {"view of store", "view of stream"}


def test_a_row_that_is_missing_is_told():
    views = dict(valid().views or {})
    del views[next(key for key in views if key[0] == "approval")]
    assert told_of(views=views) == {"view of store", "view of stream"}


def test_a_row_of_nothing_is_told():
    views = {**(valid().views or {}), ("run", "default", "nobody"): {}}
    assert told_of(views=views) == {"view of store", "view of stream"}


def test_a_view_that_stops_is_told_once_it_must_have_caught_up():
    seen = {**valid().seen, RUNS: valid().seen[RUNS] - 1}
    assert "seen" in told_of(seen=seen)


def test_a_view_that_is_behind_is_judged_by_what_it_has_seen():
    history = valid()
    seen = {**history.seen, RUNS: 20}
    events = [one for one in _events(history) if one.n <= seen.get(one.partition, 0)]
    assert told_of(seen=seen, views=rows_of(events), caught_up=False) == set()


def _events(history: History) -> list[ReadEvent]:
    return [read_record(record) for records in history.store.values() for record in records]


# --- effects -------------------------------------------------------------------------------------


def effect(node: str, number: int = 0) -> Effected:
    return [one for one in valid().effects if one.node == node][number]


def with_effects(*more: Effected, without: Sequence[Effected] = ()) -> set[str]:
    return told_of(effects=[*(one for one in valid().effects if one not in without), *more])


def test_a_once_effect_that_happens_twice_is_told():
    assert with_effects(effect("p")) == {"once"}


def test_a_once_effect_in_a_further_attempt_is_told_unless_the_first_did_nothing():
    assert len([one for one in valid().effects if one.node == "q"]) == 2
    of = Tape.of(valid().store)
    happened = of.change(of.find("outcome_settled"), happened=True)
    found = check(History(happened.store(), effects=valid().effects))
    assert "once" in {one.check for one in found}


def test_that_the_first_did_nothing_may_stand_in_what_was_forgotten():
    of = Tape.of(valid().store)
    unsettled = of.change(of.find("outcome_settled"), happened=True).store()
    history = History(unsettled, effects=valid().effects, forgotten=valid().store)
    assert "once" not in {one.check for one in check(history)}
    twice = replace(history, effects=[*valid().effects, effect("p")])
    assert "once" in {one.check for one in check(twice)}


def test_an_effect_without_a_claim_is_told():
    of = Tape.of(valid().store)
    unclaimed = of.drop(of.find("task_started", node="p"))
    history = History(unclaimed.store(), effects=[effect("p")])
    assert {one.check for one in check(history)} == {"claims"}


def test_an_effect_on_anothers_claim_is_told():
    mine = effect("p")
    assert with_effects(replace(mine, nonce="another"), without=[mine]) == {"claims"}
    assert with_effects(replace(mine, nonce=None), without=[mine]) == {"claims"}


def test_an_effect_before_its_claim_is_told():
    mine = effect("p")
    assert with_effects(replace(mine, at_us=mine.at_us - 10), without=[mine]) == {"claims"}


def test_an_effect_that_was_never_asked_for_is_told():
    assert with_effects(replace(effect("a"), attempt=7)) == {"asked for"}


def test_an_effect_of_another_agent_or_key_is_told():
    mine = effect("a")
    assert with_effects(replace(mine, agent="pay"), without=[mine]) == {"asked for"}
    assert with_effects(replace(mine, key="another"), without=[mine]) == {"asked for"}


def test_a_result_that_came_before_the_timer_that_passed_it_over_is_told():
    (timed_out,) = valid().results
    of = Tape.of(valid().store)
    runs = [place for place, one in enumerate(of.rows) if one.partition == RUNS]
    late = valid().facts[RUNS][runs.index(of.find("attempt_failed", node="s"))]
    run = late.aggregate
    reported = replace(timed_out, run_id=run, node="s", at_us=late.meta.time_us - 1)
    assert told_of(results=[reported]) == {"results in time"}
    assert told_of(results=[replace(reported, at_us=late.meta.time_us)]) == set()
    assert told_of(results=[replace(reported, attempt=2)]) == set()


# --- the index -----------------------------------------------------------------------------------


def _open_run() -> tuple[Tape, str]:
    of = Tape.of(valid().store)
    place = of.find("node_succeeded", node="s")
    run = of.rows[place].aggregate
    ends = [p for p, one in enumerate(of.rows) if one.aggregate == run and p >= place]
    return of.drop(*ends), run


@pytest.mark.parametrize(
    ("due_us", "due"),
    [(0, set()), (1, set()), (None, {"indexed"}), (2**60, {"indexed"})],
    ids=["early", "also early", "absent", "late"],
)
def test_an_open_run_stands_in_the_index_in_time(due_us: int | None, due: set[str]):
    of, run = _open_run()
    index = {} if due_us is None else {run: due_us}
    history = History(of.store(), open_index={RUNS: index})
    assert {one.check for one in check(history)} == due


def test_a_re_ask_must_not_come_late():
    of, run = _open_run()
    asked = of.rows[of.find("task_scheduled", 1, node="s")].meta.time_us
    ends = of.rows[of.find("task_scheduled", 1, node="s")].data["ends_by_us"]
    soon = History(of.store(), open_index={RUNS: {run: ends}}, now_us=asked)
    assert check(soon) == []


def test_an_approval_that_waits_stands_in_the_index():
    of = Tape.of(valid().store)
    pending = of.drop(of.find("approval_expired"))
    found = check(History(pending.store(), open_index={"approval": {}}))
    assert "indexed" in {one.check for one in found}


# --- clients -------------------------------------------------------------------------------------


def test_an_accepted_trigger_that_is_not_there_is_told():
    assert told_of(accepted=[Accepted("msg:lost", (), 0)]) == {"accepted"}
    assert told_of(accepted=[Accepted("msg:t-full", ("1" * 36,), 0)]) == {"accepted"}


def said(subject: str, command_id: str, message_id: str = "") -> Said:
    headers = {"Nats-Msg-Id": message_id} if message_id else {}
    return subject, b'{"id": "' + command_id.encode() + b'"}', headers


def test_what_was_taken_and_never_decided_is_told():
    vote = said(subjects.approval("default", "x", "cast_vote"), "command-9")
    lost = said(subjects.approval("default", "x", "cast_vote"), "never-seen")
    trigger = said(subjects.trigger("default", "workflow.full"), "", "t-full")
    copied = said(subjects.run("default", "run-0", "x", "report_result"), "never-answered")
    assert told_of(delivered=tuple(answered_of([vote, trigger, copied]))) == set()
    assert told_of(delivered=tuple(answered_of([vote, lost]))) == {"delivered"}
    assert told_of(delivered=tuple(answered_of([lost])), caught_up=False) == set()
    assert told_of(delivered=tuple(answered_of([lost], {"APPROVALS"}))) == set()


def test_garbage_has_no_id_that_could_be_missed():
    broken = (subjects.approval("default", "x", "cast_vote"), b'{"id": "com', {})
    assert list(answered_of([broken])) == []


def test_a_result_is_known_by_its_subject():
    path = subjects.run("default", "run-0", "the-run", "report_result")
    body = {"task_id": "1" * 36, "node": "a", "attempt": 2, "executor": "e", "token": "t"}
    payload = to_json({"data": {**body, "outcome": "succeeded"}})
    found = reported_in(path, payload, 7)
    assert found is not None
    assert (found.run_id, found.node, found.attempt, found.phase) == ("the-run", "a", 2, "run")
    assert reported_in(path, b"{", 7) is None
    other = subjects.run("default", "run-0", "the-run", "claim_task")
    assert reported_in(other, payload, 7) is None


def test_an_end_that_changes_is_told():
    run = next(iter(valid().runs))
    read = [Observed(run, "succeeded", 1), Observed(run, "failed", 2)]
    assert told_of(observed=read) == {"observed"}
    assert told_of(observed=[Observed(run, "succeeded", 1), Observed(run, "running", 2)]) == {
        "observed"
    }


def test_an_end_that_the_store_does_not_hold_is_told():
    run = next(iter(valid().runs))
    assert told_of(observed=[Observed(run, "failed", 1)]) == {"observed"}
    assert told_of(observed=[Observed("1" * 36, "failed", 1)]) == {"observed"}


# --- secrets -------------------------------------------------------------------------------------


def written_in(payload: bytes) -> set[str]:
    return told_of(secrets=[SECRET], messages=[("LOGS/1", payload)])


@pytest.mark.parametrize("before", range(4))
def test_a_secret_is_found_however_it_is_written(before: int):
    inner = b"x" * before + SECRET + b"yy"
    for written in (
        inner,
        base64.b64encode(inner),
        base64.urlsafe_b64encode(inner),
        inner.hex().encode(),
        inner.hex().upper().encode(),
        b"tok-3%2Fecret%2Bword",
    ):
        assert written_in(b'{"said":"' + written + b'"}') == {"secrets"}


def test_a_secret_in_an_event_is_found():
    of = Tape.of(valid().store)
    leaking = of.change(of.find("vote_cast"), reason=SECRET.decode())
    found = check(History(leaking.store(), secrets=[SECRET]))
    assert {one.check for one in found} == {"secrets"}


def test_nothing_is_found_where_there_is_no_secret():
    assert written_in(b"nothing to see") == set()


def test_a_secret_that_would_be_found_by_accident_is_refused():
    with pytest.raises(ValueError, match="by accident"):
        list(forms_of(b"short"))
