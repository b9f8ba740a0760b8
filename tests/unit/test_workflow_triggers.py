"""Trigger rules: which triggers they take."""

from __future__ import annotations

import pytest

from penstock_contracts.workflow.v1 import TriggerRule
from penstock_core.workflow.conditions import ConditionError
from penstock_core.workflow.triggers import match_rule, pattern_fault

TRIGGER = {"source": "nats", "type": "push", "data": {"branch": "main"}}


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("nats.scan.*", "nats.scan.main", True),
        ("nats.scan.*", "nats.scan", False),
        ("nats.scan.*", "nats.scan.a.b", False),
        ("nats.>", "nats.scan.a.b", True),
        ("nats.>", "nats", False),
        (">", "github.push", True),
        ("github.push", "github.push", True),
        ("github.push", "github.pull", False),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool):
    assert match_rule(TriggerRule(on=pattern), path, {}) is fits


def test_a_condition_narrows():
    rule = TriggerRule(on="nats.>", when="trigger.data.branch == 'main'")
    assert match_rule(rule, "nats.push", {**TRIGGER})
    assert not match_rule(rule, "nats.push", {**TRIGGER, "data": {"branch": "x"}})
    assert not match_rule(rule, "github.push", {})
    with pytest.raises(ConditionError):
        match_rule(rule, "nats.push", {"data": {}})


@pytest.mark.parametrize("pattern", ["nats.scan.*", "*.>", ">", "a", "github.Push_1.x-y"])
def test_sound_patterns(pattern: str):
    assert pattern_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "a..b", ".a", "a.", "a.>.b", "a.b*", "a b", "workflow.x", "a.b>"]
)
def test_faulty_patterns(pattern: str):
    fault = pattern_fault(pattern)
    assert fault is not None
    assert fault[0]
