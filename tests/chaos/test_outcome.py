"""What a finished chaos says of itself: what was done counts, and not what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock_contracts.subjects import Stream
from penstock_contracts.values import MICROSECONDS
from penstock_testkit.chaos.campaign import Aftermath, Orders, Outcome, table
from penstock_testkit.chaos.gather import EXACT_US, old_times_of, skew_of
from penstock_testkit.chaos.nemesis import Done
from penstock_testkit.chaos.observed import Availability
from penstock_testkit.chaos.schedule import Fault, Kind
from penstock_testkit.chaos.verdict import Counts

ASKED = frozenset((Kind.KILL, Kind.PAUSE, Kind.SKEW))


def done(kind: Kind, size: float = 0.0) -> Done:
    return Done(Fault(1, 1.0, kind, "scheduler", size=size), 1.0, 2.0, 3.0)


def outcome_of(faults: Sequence[Done]) -> Outcome:
    good = Availability(100, 90, 1.0)
    return Outcome(
        orders=Orders(1, lasts_s=10.0, kinds=ASKED),
        aftermaths=[Aftermath(one, 1.0, None, good, alone=True) for one in faults],
        skipped=[],
        broken=[],
        counts=Counts(
            runs=1, events=1, acts=1, repeated=0, unknown=0, compared=1, duplicates=0, parked=0
        ),
        overall=good,
        accepted=1,
        healed_s=1.0,
        settled=0,
    )


def test_a_chaos_without_a_fault_shows_nothing() -> None:
    outcome = outcome_of([])
    assert not outcome.good
    told = table(outcome).splitlines()
    assert "never done: kill, pause, skew" in told
    assert told[-1] == "NOT HELD"


def test_what_was_asked_for_and_never_done_is_named() -> None:
    outcome = outcome_of([done(Kind.PAUSE), done(Kind.KILL)])
    assert outcome.good
    told = table(outcome).splitlines()
    assert "never done: skew" in told
    assert told[-1] == "held"
    assert "never done" not in table(outcome_of([done(kind) for kind in ASKED]))


@pytest.mark.parametrize(
    ("sizes", "skew_s"), [([], 0.0), ([0.5], 1.0), ([5.0, -40.0], 80.0)]
)  # fmt: skip
def test_times_may_differ_by_what_clocks_were_set_wrong(
    sizes: Sequence[float], skew_s: float
) -> None:
    slow = done(Kind.SLOW, size=300.0)  # is no clock
    faults = [slow, *(done(Kind.SKEW, size) for size in sizes)]
    assert skew_of(faults) == EXACT_US + skew_s * MICROSECONDS


def test_old_times_come_from_streams_that_were_put_back_only() -> None:
    assert old_times_of([done(Kind.LOSE_JETSTREAM), done(Kind.SKEW, 5.0)]) == frozenset()
    assert old_times_of([done(Kind.OLD_JETSTREAM)]) == {stream.value for stream in Stream}
