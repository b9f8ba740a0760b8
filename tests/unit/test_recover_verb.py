"""What `penstock recover` concludes from a plan, and what its questions are about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock_adapters.embedded.home import StateFolder
from penstock_cli import recover
from penstock_cli.recover_place import events_of, stores_of
from penstock_runtime.recovering import RecoveryPlan
from penstock_runtime.recovering_events import Finding


def plan_of(*findings: Finding) -> RecoveryPlan:
    return RecoveryPlan(findings, (), 0, 0, sum(finding.events_n for finding in findings))


def test_stores_that_hold_nothing_were_not_put_back_yet() -> None:
    plan = plan_of(Finding("catalog", "scheduler", 0, 7), Finding("run-0", "scheduler", 0, 20))
    assert plan.put_back
    fault = recover.doubt_of(plan)
    assert fault is not None
    assert "nothing was put back yet" in fault.message
    assert "penstock restore FILE" in fault.mend
    assert "--force" in fault.mend


def test_an_events_that_holds_nothing_tells_nothing() -> None:
    fault = recover.doubt_of(plan_of(Finding("catalog", "scheduler", 7, 0)))
    assert fault is not None
    assert "EVENTS holds nothing" in fault.message
    assert "--force" in fault.mend


@pytest.mark.parametrize(
    "plan",
    [
        plan_of(),
        plan_of(Finding("catalog", "scheduler", 7, 7)),
        plan_of(Finding("catalog", "scheduler", 5, 7), Finding("approval", "approval", 0, 2)),
    ],
)
def test_any_other_plan_is_told_by_events(plan: RecoveryPlan) -> None:
    assert recover.doubt_of(plan) is None


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no username set")])
def test_a_user_without_an_account_is_named_by_number(error: Exception) -> None:
    def ask() -> str:
        raise error

    assert recover.this_user(ask) == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "of {root}"),
        ("postgresql://ann:secret@db-1:5432,db-2:5432/x?sslmode=require", "at db-1:5432,db-2:5432"),
        ("nats://a:secret@n-0:4222,nats://a:secret@n-1:4222", "at n-0:4222, n-1:4222"),
    ],
)
def test_a_question_names_what_it_is_about_and_no_login(
    tmp_path: Path, url: str, said: str
) -> None:
    folder = StateFolder.at(tmp_path)
    environ = {"PENSTOCK_POSTGRES_URL": url, "PENSTOCK_NATS_URL": url}
    wanted = said.format(root=folder.root)
    assert stores_of(folder, environ) == wanted
    assert events_of(folder, environ) == wanted
