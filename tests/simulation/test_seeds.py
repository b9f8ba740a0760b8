"""Many worlds, each from one seed: every promise is kept in all of them."""

import os
import re
import subprocess
import sys

import pytest

from penstock_testkit.sim import run_seed
from penstock_testkit.sim.plan import plan_of

SEEDS = 200
RUNS_MIN, EFFECTS_MIN = 300, 600  # of so many seeds: who does nothing breaks no promise
FEW = range(5_000, 5_008)  # in this process, where coverage is measured


def simulate(*arguments: str, **environ: str) -> str:
    """Run the simulation in a process of its own; gives what it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "penstock_testkit.sim", *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, **environ},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(1_000)
def test_every_seed_keeps_every_promise() -> None:
    told = simulate("--seeds", str(SEEDS), "--jobs", "2")
    last = told.splitlines()[-1]
    assert last.startswith(f"{SEEDS} seeds in ")
    assert last.endswith("; 0 seeds with violations")
    done = {what: int(number) for number, what in re.findall(r"(\d+) (runs|effects)\b", last)}
    assert done["runs"] >= RUNS_MIN, last
    assert done["effects"] >= EFFECTS_MIN, last


@pytest.mark.parametrize("seed", FEW)
def test_a_seed_keeps_every_promise(seed: int) -> None:
    report = run_seed(seed)
    assert report.violations == [], report.line
    assert report.events


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_seed_is_the_same_story_on_every_machine() -> None:
    told = {simulate("--seed", "17", PYTHONHASHSEED=str(number)) for number in (0, 1, 2)}
    assert len(told) == 1


def test_seeds_differ_in_everything_that_is_drawn() -> None:
    plans = [plan_of(seed) for seed in range(200)]
    assert {plan.topology.partitions for plan in plans} == {1, 2, 3}
    assert {plan.topology.schedulers for plan in plans} == {1, 2, 3}
    assert {plan.restores for plan in plans} == {False, True}
    assert {len(plan.documents) for plan in plans} == {1, 2}
    kinds = {
        node.get("agent", "gate")
        for plan in plans
        for document in plan.documents
        for node in document["nodes"].values()
    }
    assert kinds == {"work", "pay", "patch", "gate"}
