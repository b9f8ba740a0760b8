"""What metrics are called, and what the owner of a partition says about its work."""

from __future__ import annotations

import pytest

from penstock_contracts.approval import v1 as approval
from penstock_contracts.codes import Code
from penstock_contracts.run import v1 as run
from penstock_contracts.trigger.v1 import TriggerIgnored
from penstock_contracts.values import MICROSECONDS
from penstock_core.run.state import RunState
from penstock_runtime.telemetry import metrics as m
from penstock_runtime.telemetry.tally import COUNTED, tally
from penstock_testkit.fakes.measured import KeptMetrics

IDS = ("run", "task", "node", "attempt", "approval", "trace", "user", "id", "tenant", "workflow")


def test_every_name_is_ours_and_used_once():
    names = [metric.name for metric in m.ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("penstock_") for name in names)


@pytest.mark.parametrize("metric", m.ALL, ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is(metric: m.Metric):
    assert metric.help.strip()
    assert not set(metric.labels) & set(IDS), "an id, or whatever people name, is no label"
    assert metric.name.endswith("_total") == (metric.kind is m.Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is m.Kind.HISTOGRAM)
    if metric.kind is m.Kind.HISTOGRAM:
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert m.unit_of(metric) in ("seconds", "messages", "events")


def test_units_are_read_from_names():
    assert m.unit_of(m.COMMIT_SECONDS) == "seconds"
    assert m.unit_of(m.INBOX_OLDEST) == "timestamp_seconds"
    assert m.unit_of(m.UP) == m.COUNTED_OR_STATE


def test_a_run_that_ended_is_counted_with_its_time():
    kept = KeptMetrics()
    state = RunState("a-run", started_us=10 * MICROSECONDS)
    tally(kept, run.RunSucceeded(ended_us=0), state, 13 * MICROSECONDS)
    assert kept.of(m.RUNS_ENDED, "succeeded") == 1
    assert kept.of(m.RUN_SECONDS, "succeeded") == 3


def test_time_does_not_run_backwards():
    kept = KeptMetrics()
    tally(kept, run.RunSucceeded(ended_us=0), RunState("a-run", started_us=20), 10)
    assert kept.of(m.RUN_SECONDS, "succeeded") == 0


def test_votes_and_ignored_triggers_are_counted():
    kept = KeptMetrics()
    tally(kept, approval.VoteCast(choice=approval.Choice.APPROVE, user="ann"), None, 0)
    ignored = TriggerIgnored.model_construct(code=Code.MALFORMED)
    tally(kept, ignored, None, 0)
    assert kept.of(m.VOTES, approval.Choice.APPROVE.value) == 1
    assert kept.of(m.TRIGGERS_DECIDED, "ignored") == 1


def test_every_end_of_a_run_and_of_an_approval_is_counted():
    ends = {run.RunSucceeded, run.RunFailed, run.RunCancelled}
    settled = {
        approval.ApprovalGranted,
        approval.ApprovalRejected,
        approval.ApprovalPushedBack,
        approval.ApprovalExpired,
        approval.ApprovalWithdrawn,
    }
    assert ends | settled <= set(COUNTED)
