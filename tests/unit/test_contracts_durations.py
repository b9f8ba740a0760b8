"""Durations as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from penstock_contracts.workflow.v1 import MAX_DURATION_S, Node, WorkflowDefinition, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (1, 1.0),
        (0.25, 0.25),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("30", 30.0),
        ("1.5m", 90.0),
        ("1h", 3600.0),
        ("7d", 604_800.0),
        ("366d", MAX_DURATION_S),
        (" 5m ", 300.0),
    ],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(text: Any, seconds: float):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (True, "a duration is a number of seconds or a text"),
        (None, "a duration is a number of seconds or a text"),
        ([1], "a duration is a number of seconds or a text"),
        ("5w", "unknown unit 'w' in a duration; known: ms, s, m, h, d"),
        ("5 fortnights", "unknown unit 'fortnights'"),
        ("five s", "not a duration: 'five s'"),
        ("", "not a duration: ''"),
        ("h", "not a duration: 'h'"),
        ("1h30m", "not a duration: '1h30m'"),
        (0, "more than 0 and at most 366 days"),
        (-1, "more than 0 and at most 366 days"),
        ("-5m", "more than 0 and at most 366 days"),
        ("367d", "more than 0 and at most 366 days"),
        (float("nan"), "more than 0 and at most 366 days"),
        ("nan", "unknown unit 'nan' in a duration"),
        (float("inf"), "more than 0 and at most 366 days"),
        ("1e999s", "more than 0 and at most 366 days"),
    ],
)
def test_anything_else_is_refused_with_a_hint(text: Any, told: str):
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_duration(text)
    assert told in str(caught.value)


def test_a_definition_reads_durations_and_writes_seconds():
    document = {"name": "demo", "timeout": "2h", "nodes": {"a": {"retry": {"delay": "500ms"}}}}
    definition = WorkflowDefinition.model_validate(document)
    assert definition.to_data() == {
        "name": "demo",
        "timeout": 7200.0,
        "nodes": {"a": {"retry": {"delay": 0.5}}},
    }


def test_with_is_read_and_written_by_its_own_name():
    node = Node.model_validate({"with": {"x": 1}})
    assert node.with_ == {"x": 1}
    assert node.to_data() == {"with": {"x": 1}}
    with pytest.raises(ValidationError):
        Node.model_validate({"witth": {}})
