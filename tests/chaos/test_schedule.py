"""What a seed decides: which fault happens when, and what is said of it afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock_testkit.chaos.observed import Log, Operation, Promise, availability, first_after
from penstock_testkit.chaos.schedule import EVERY, GENTLE, Fault, Kind, plan
from penstock_testkit.chaos.stack import LINKS, TARGETS

LONG_S = 900.0


def busy(fault: Fault) -> tuple[float, float]:
    return fault.at_s, fault.at_s + fault.hold_s


def test_a_seed_gives_the_same_faults_each_time() -> None:
    assert plan(7, LONG_S) == plan(7, LONG_S)
    assert plan(7, LONG_S) != plan(8, LONG_S)


def test_a_long_run_meets_every_fault_of_every_target() -> None:
    met = {(fault.kind, fault.target) for fault in plan(1, LONG_S)}
    assert {kind for kind, _ in met} == EVERY
    for target in TARGETS:
        assert (Kind.KILL, target) in met
        assert (Kind.LONG_PAUSE, target) in met
    assert {target for kind, target in met if kind is Kind.CUT} == set(LINKS)


@pytest.mark.parametrize("seed", range(20))
def test_no_target_has_two_faults_at_once(seed: int) -> None:
    faults = plan(seed, LONG_S)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for index, one in enumerate(faults):
        assert one.at_s + one.hold_s < LONG_S
        for other in faults[index + 1 :]:
            if one.needs & other.needs:
                assert busy(one)[1] <= busy(other)[0] + 0.02  # both are rounded


def test_only_the_faults_that_are_asked_for_are_drawn() -> None:
    kinds = {fault.kind for fault in plan(3, LONG_S, GENTLE, lanes=1)}
    assert kinds == GENTLE


def test_a_fault_says_what_it_is() -> None:
    fault = Fault(3, 1.0, Kind.SKEW, "executor", 2.5, -40.0)
    assert fault.line == "#3 skew executor by -40.00 s for 2.5 s"


def operation(kind: str, began_s: float, ended_s: float, *, ok: bool) -> Operation:
    return Operation(kind, "key", began_s, ended_s, "200" if ok else "503", ok)


def test_availability_counts_what_was_asked_and_finds_the_longest_outage() -> None:
    asked = [
        operation("vote", 1.0, 1.5, ok=True),
        operation("vote", 2.0, 2.5, ok=False),
        operation("vote", 7.0, 8.0, ok=True),
        operation("read", 3.0, 3.1, ok=True),
        operation("vote", 20.0, 20.1, ok=True),
    ]
    found = availability(asked, 0.0, 10.0, ("vote",))
    assert (found.asked, found.done, found.outage_s) == (3, 2, 6.5)
    assert found.share == pytest.approx(2 / 3)
    assert availability([], 0.0, 4.0, ("vote",)).share == 1.0
    assert availability([], 0.0, 4.0, ("vote",)).outage_s == 4.0


def test_only_what_was_begun_behind_a_fault_tells_that_work_goes_on() -> None:
    times = [(0.5, 9.0), (3.0, 4.0), (3.5, 6.5), (4.0, 7.0)]
    assert first_after(times, began_s=2.0, ended_s=5.0) == 6.5
    assert first_after(times, began_s=5.0, ended_s=5.0) is None


def test_what_clients_were_told_is_written_down_at_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "history.jsonl")
    log.operation(operation("vote", 1.0, 2.0, ok=True))
    log.promise(Promise("chain", "run", "key", "msg:key", ("succeeded",), 2.0))
    log.note("fault", fault="#1 kill nats")
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert ['"is": "operation"' in lines[0], '"is": "promise"' in lines[1]] == [True, True]
    assert "#1 kill nats" in lines[2]
    log.close()
    log.note("late")  # who is cut short may still say so
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3


def test_the_plan_can_be_read_without_doing_it() -> None:
    command = [sys.executable, "-m", "penstock_testkit.chaos", "--plan", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    faults = plan(5, 120.0)
    assert done.stdout.splitlines() == [f"{one.at_s:8.1f} s  {one.line}" for one in faults]
