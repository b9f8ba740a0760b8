"""All checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock_testkit.checking import (
    attempts,
    clients,
    delivered,
    effects,
    gates,
    leaks,
    outstanding,
    parking,
    run_ends,
    run_order,
    streams,
    structure,
    timing,
    triggers,
    views,
    votes,
)
from penstock_testkit.checking.history import History, Violation

Check = Callable[[History], Iterator[Violation]]

CHECKS: tuple[Check, ...] = (
    structure.numbers_are_gap_free,
    structure.versions_are_gap_free,
    structure.aggregates_have_one_home,
    structure.events_can_be_read,
    structure.chain_is_whole,
    structure.causes_act_once,
    run_ends.runs_start_once,
    run_ends.runs_end_once,
    run_ends.success_means_all_settled,
    run_ends.runs_have_ended,
    run_order.parents_come_first,
    run_order.settled_nodes_stay_settled,
    attempts.attempts_keep_their_order,
    timing.timers_wait_for_their_time,
    timing.the_inbox_comes_before_timers,
    timing.results_in_time_count,
    gates.leave_comes_first,
    gates.gates_are_bound_to_plans,
    gates.gates_follow_decisions,
    votes.approvals_are_decided_once,
    votes.votes_are_valid,
    votes.decisions_have_their_votes,
    triggers.triggers_are_decided_once,
    triggers.run_ids_are_derived,
    triggers.runs_start_as_matched,
    triggers.starts_are_confirmed,
    triggers.accepted_triggers_are_there,
    delivered.what_was_delivered_is_decided,
    effects.effects_were_asked_for,
    effects.once_is_claimed_first,
    effects.once_happens_once,
    parking.parked_messages_say_why,
    parking.no_invariant_is_broken,
    parking.the_frozen_stand_still,
    streams.events_are_the_stores,
    streams.events_are_complete,
    streams.markers_tell_the_truth,
    streams.the_last_marker_has_no_hole,
    views.nothing_is_shown_that_is_not_stored,
    views.views_are_the_fold_of_the_store,
    views.views_are_the_fold_of_the_stream,
    outstanding.histories_fold_by_production_code,
    outstanding.open_ones_are_indexed_by_production_code,
    leaks.no_secret_is_written,
    clients.observed_ends_stand,
)


def check(history: History) -> list[Violation]:
    """Give every violation of a history; an empty list: everything that was promised holds."""
    return [violation for one in CHECKS for violation in one(history)]
