"""The simulation has teeth: where a rule of the delivery protocol is missing, it says so.

`CAUGHT` remembers for each mutant a seed that shows it. When the simulation draws otherwise than
it did, that seed may show nothing any more: then all seeds from 0 on are tried, which takes longer,
and a warning tells which seed to remember instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from penstock_testkit.sim.loop import run_shuffled
from penstock_testkit.sim.mutants import all_mutants
from penstock_testkit.sim.mutants_hunt import BROKEN_OFF, NOBODY, Endless, bounded

SEEDS_MAX = 1_000
HUNT_S = 800.0  # for one mutant on a loaded machine; with a seed that shows it, seconds
PATIENCE_S = 800.0  # for many
TOLD_LAST = 2_000  # characters

CAUGHT: Mapping[str, int] = {
    "batch-forgets-itself": 0,
    "claim-granted-before-the-commit": 0,
    "claim-granted-by-name": 64,
    "claim-granted-to-anyone": 62,
    "claim-not-asked": 0,
    "gate-left-out": 2,
    "ids-not-derived": 7,
    "late-vote-counted": 40,
    "marker-condition-absent": 42,
    "own-due-time-not-checked": 5,
    "position-before-the-transaction": 152,
    "put-back-not-noticed": 53,
    "reader-applies-anything": 34,
    "retries-not-counted": 5,
    "secrets-left-in": 1,
    "timer-tells-another-time": 13,
    "triggers-decided-again": 3,
    "unit-not-repeated": 13,
    "unknown-retried": 7,
    "vote-counted-twice": 62,
}
"""Mutant -> a seed that shows it."""

LEDGER = "tests/conformance/test_ledger.py::TestMemoryLedger"
INBOX = "tests/conformance/test_inbox.py::TestMemoryInbox"
RELAY = "tests/conformance/test_relay.py::TestMemoryRelay"
FAULTS = "tests/unit/test_runtime_faults.py"
ATTEMPTS = "tests/unit/test_run_attempts.py"
PARKING = "tests/unit/test_runtime_parking.py"
GATES = "tests/unit/test_runtime_gates.py"
MARGINS = "tests/unit/test_runtime_margins.py"
CHECKED = "tests/unit/test_checking_world.py"

DIRECTED: Mapping[str, str] = {
    "attempt-ignored": ATTEMPTS,
    "caches-kept-after-a-failed-commit": "tests/unit/test_runtime_conflicts.py",
    "claim-not-answered-again": (
        f"{ATTEMPTS}::test_one_nonce_is_granted_and_answered_again_and_every_other_refused"
    ),
    "codes-not-checked": f"{GATES}::test_a_claim_is_believed_with_its_own_tasks_code_only",
    "commit-number-not-compared": f"{LEDGER}::test_stale_commit_number_is_refused",
    "decision-not-answered-again": f"{FAULTS}::test_a_lost_decision_is_given_again_when_asked",
    "effects-not-republished": (
        f"{FAULTS}::test_a_decision_is_not_lost_with_the_approval_service_that_made_it"
    ),
    "epoch-not-compared": f"{LEDGER}::test_stale_epoch_is_refused",
    "gate-ignored": (
        "tests/unit/test_run_gates.py::test_a_decision_counts_once_and_only_for_its_own_approval"
    ),
    "incarnation-not-committed": f"{MARGINS}::test_a_new_incarnation_is_new_once",
    "index-not-lowered": f"{CHECKED}::test_every_promise_is_kept_at_every_moment",
    "loss-forgotten": (
        "tests/unit/test_catalog_decider.py"
        "::test_what_was_confirmed_before_the_store_was_put_back_is_asked_for_again"
    ),
    "marker-before-acknowledgements": (
        f"{CHECKED}::test_a_unit_of_which_a_message_fails_alone_gets_no_marker"
    ),
    "marker-not-read-again": f"{FAULTS}::test_events_cut_short_are_published_again",
    "markers-believed": f"{RELAY}::test_a_marker_whose_event_is_not_there_is_void",
    "nonce-ignored": f"{ATTEMPTS}::test_the_result_must_carry_the_granted_nonce",
    "phase-ignored": (
        "tests/unit/test_run_plans.py"
        "::test_a_late_failure_of_a_repeated_plan_does_not_end_what_applies_it"
    ),
    "purge-at-the-position": (
        f"{INBOX}::test_purges_its_filter_and_keeps_the_message_at_the_position"
    ),
    "purge-of-all-subjects": (
        f"{INBOX}::test_purges_its_filter_and_keeps_the_message_at_the_position"
    ),
    "purge-to-the-end": (
        f"{PARKING}::test_inputs_are_purged_behind_a_margin_and_never_the_message_at_the_position"
    ),
    "purge-without-margin": (
        f"{MARGINS}::test_a_store_put_back_within_the_margin_of_the_purge_reads_everything_again"
    ),
    "re-ask-absent": f"{FAULTS}::test_a_lost_start_is_asked_for_again_after_a_minute",
    "reader-waits-at-gaps": f"{CHECKED}::test_a_reader_goes_on_to_the_repair_behind_a_gap",
    "relay-before-effects": (
        "tests/unit/test_runtime_relay.py::test_nothing_is_relayed_before_its_effects_are_out"
    ),
    "row-not-compared": f"{LEDGER}::test_stale_commit_number_is_refused",
    "silence-is-consent": (
        "tests/unit/test_executor_claims.py"
        "::test_a_claim_is_sent_each_second_and_given_up_after_thirty"
    ),
    "start-never-settled": (
        "tests/unit/test_catalog_decider.py::test_a_start_is_outstanding_until_it_is_confirmed"
    ),
    "start-not-answered-again": (
        f"{ATTEMPTS}::test_a_second_start_is_answered_again_and_changes_nothing"
    ),
    "sweep-absent": (
        f"{MARGINS}::test_what_is_lost_while_nobody_owns_it_is_asked_for_by_the_next_owner_at_once"
    ),
    "timers-before-the-inbox": PARKING,
    "trigger-id-with-its-place": (
        "tests/unit/test_runtime_world.py::test_three_copies_of_a_trigger_start_one_run"
    ),
    "witness-never": f"{FAULTS}::test_a_stream_put_back_to_an_older_copy_is_read_anew",
    "witness-not-before-the-commit": (
        f"{FAULTS}::test_a_witness_that_fails_before_the_commit_holds_the_batch_back"
    ),
    "witness-without-time": f"{FAULTS}::test_a_stream_put_back_to_an_older_copy_is_read_anew",
}
"""Mutant -> a directed test that shows it."""


def _apart(
    module: str, *arguments: str, within_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, of which nothing is measured."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    try:
        return subprocess.run(
            [sys.executable, "-m", f"penstock_testkit.sim.{module}", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        told = "\n".join(_last(words) for words in (late.stdout, late.stderr))
        pytest.fail(f"{module} {arguments} has not ended within {within_s:g} s; it told:\n{told}")


def _last(words: bytes | str | None) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words or ""
    return text[-TOLD_LAST:]


def _hunted(
    seeds_max: int, wanted: Sequence[tuple[str, int]], within_s: float
) -> list[dict[str, Any]]:
    named = [f"{name}:{seed}" for name, seed in wanted]
    ended = _apart("mutants_hunt", str(seeds_max), *named, within_s=within_s)
    assert ended.returncode == 0, _last(ended.stderr)
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(HUNT_S + 30)
@pytest.mark.filterwarnings("always:remember seed:UserWarning")
@pytest.mark.parametrize("name", sorted(CAUGHT))
def test_each_missing_rule_is_found(name: str):
    (found,) = _hunted(SEEDS_MAX, [(name, CAUGHT[name])], HUNT_S)
    assert found["mutant"] == name
    assert found["seed"] is not None, f"nothing within {found['tried']} seeds: {found}"
    assert set(found["checks"]) - BROKEN_OFF, found
    if found["seed"] != CAUGHT[name]:
        warnings.warn(f"remember seed {found['seed']} for {name}", UserWarning, stacklevel=1)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 30)
def test_the_same_seeds_find_nothing_where_no_rule_is_missing():
    """What is found is the missing rule, and not something about the seed."""
    seeds = sorted(set(CAUGHT.values()))
    found = _hunted(0, [(NOBODY, seed) for seed in seeds], PATIENCE_S)
    assert len(found) == len(seeds)
    assert [one["detail"] for one in found if one["seed"] is not None] == []
    assert all(one["endless"] == 0 for one in found), found


def test_what_turns_for_ever_is_broken_off_and_nothing_takes_it_for_an_end():
    """In a callback too, where a loop only logs most of what is raised."""

    def turn() -> None:
        # penstock: ignore[endless-loop] -- plays what turns for ever
        while True:
            pass

    async def waiting() -> None:
        asyncio.get_running_loop().call_soon(turn)
        await asyncio.Event().wait()

    with pytest.raises(Endless), bounded(0.2):
        run_shuffled(0, lambda _loop: waiting())


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 30)
def test_each_other_one_is_shown_by_a_directed_test():
    ended = _apart("mutants_directed", *(f"{name}={test}" for name, test in DIRECTED.items()))
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["mutant"] for one in told] == list(DIRECTED), _last(ended.stderr)
    assert [(one["mutant"], one["said"]) for one in told if one["code"] != 1] == []


def test_at_least_fifteen_are_found_and_every_other_one_is_shown():
    assert len(CAUGHT) >= 15
    assert not CAUGHT.keys() & DIRECTED.keys()
    assert {*CAUGHT, *DIRECTED} == all_mutants().keys()


def test_each_mutant_says_what_it_lacks_and_leaves_nothing_behind():
    for name, mutant in all_mutants().items():
        assert mutant.name == name
        assert mutant.rule
        assert mutant.why
        assert mutant.guards in ("safety", "liveness", "saved time")
    with ExitStack() as stack:
        for mutant in all_mutants().values():
            stack.enter_context(mutant.apply())
    assert NOBODY not in all_mutants()
