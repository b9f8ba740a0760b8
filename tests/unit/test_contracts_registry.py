"""Types, models, and how older shapes become today's."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import penstock_contracts
from penstock_contracts import registry
from penstock_contracts.agent.v1 import AgentManifest, Effect, Risk
from penstock_contracts.approval.v1 import FireTimers as ApprovalTimers
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MalformedMessage
from penstock_contracts.partition.v1 import Marker
from penstock_contracts.registry import (
    COMMANDS,
    EVENTS,
    UPCASTERS,
    UnknownType,
    Upcaster,
    kind_of,
    name_of,
    read_command,
    read_event,
    type_of,
)
from penstock_contracts.run.v1 import CancelRun, NodeSkipped, RecoverRun
from penstock_contracts.run.v1 import FireTimers as RunTimers
from penstock_contracts.trigger.v1 import ReceiveTrigger
from penstock_contracts.values import Wire

NEVER_ON_THE_BUS = {RunTimers, ApprovalTimers, ReceiveTrigger, RecoverRun}
NEITHER = {Marker}


def models() -> Iterator[type[Wire]]:
    """Every model with a TYPE in the package."""
    for module_info in pkgutil.walk_packages(penstock_contracts.__path__, "penstock_contracts."):
        module = importlib.import_module(module_info.name)
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, Wire)
                and "TYPE" in vars(value)
                and value.__module__ == module.__name__
            ):
                yield value


def test_every_type_is_registered_exactly_once():
    known = [*EVENTS.values(), *COMMANDS.values()]
    found = [model for model in models() if model not in NEVER_ON_THE_BUS | NEITHER]
    assert sorted(map(repr, known)) == sorted(map(repr, found))
    assert set(EVENTS).isdisjoint(COMMANDS)


@pytest.mark.parametrize("topic", [*EVENTS, *COMMANDS])
def test_a_type_is_named_after_its_model(topic: str):
    model = {**EVENTS, **COMMANDS}[topic]
    words = "".join(word.capitalize() for word in name_of(topic).split("_"))
    assert model.__name__ == words
    home = {"token": "trigger"}.get(kind_of(topic), kind_of(topic))
    assert model.__module__ == f"penstock_contracts.{home}.{topic.rpartition('.')[2]}"
    assert topic.count(".") == 2


@pytest.mark.parametrize("topic", EVENTS)
def test_events_are_past_tense(topic: str):
    if name_of(topic) == "outcome_unknown":  # nothing happened that anybody has seen
        return
    assert name_of(topic).endswith(("ed", "cast", "drawn", "driven", "made", "pushed_back")), topic


def test_a_message_knows_its_type():
    assert type_of(CancelRun(run_id="x" * 36)) == "run.cancel_run.v1"


def test_unknown_fields_of_a_newer_writer_are_tolerated():
    body = read_event("run.node_skipped.v1", {"node": "a", "reason": "upstream", "later": 1})
    assert body == NodeSkipped.model_validate({"node": "a", "reason": "upstream"})


@pytest.mark.parametrize("read", [read_event, read_command])
def test_an_unknown_type_is_told(read: Any):
    with pytest.raises(UnknownType, match=r"unknown type 'run\.node_exploded\.v1'"):
        read("run.node_exploded.v1", {})


def test_data_that_does_not_fit_is_told_with_its_place():
    with pytest.raises(MalformedMessage, match=r"run\.node_skipped\.v1: reason: Input should be"):
        read_event("run.node_skipped.v1", {"node": "a", "reason": "mood"})
    with pytest.raises(MalformedMessage, match=r"run\.cancel_run\.v1: message: Input should be"):
        read_command("run.cancel_run.v1", [])


# --- upcasting ----------------------------------------------------------------------------------


def rename(data: dict[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in data.items() if key != "step"}, "node": data["step"]}


def explain(data: dict[str, Any]) -> dict[str, Any]:
    return {"reason": "upstream", **data}


OLD: dict[str, tuple[str, Upcaster]] = {
    "run.step_skipped.v1": ("run.step_skipped.v2", rename),
    "run.step_skipped.v2": ("run.node_skipped.v1", explain),
}


def test_an_old_shape_passes_every_upcaster_on_its_way():
    wanted = NodeSkipped.model_validate({"node": "a", "reason": "upstream"})
    assert read_event("run.step_skipped.v1", {"step": "a"}, OLD) == wanted
    assert read_event("run.step_skipped.v2", {"node": "a"}, OLD) == wanted
    assert read_event("run.node_skipped.v1", wanted.to_data(), OLD) == wanted


def test_the_stored_data_are_left_as_they_are():
    data = {"step": "a"}
    read_event("run.step_skipped.v1", data, OLD)
    assert data == {"step": "a"}


def test_an_upcaster_that_leads_nowhere_is_told():
    nowhere: dict[str, tuple[str, Upcaster]] = {"run.old.v1": ("run.gone.v1", explain)}
    with pytest.raises(UnknownType, match=r"run\.gone\.v1"):
        read_event("run.old.v1", {}, nowhere)


def test_data_that_an_upcaster_cannot_read_are_malformed():
    with pytest.raises(MalformedMessage, match=r"run\.step_skipped\.v1: cannot be upcast"):
        read_event("run.step_skipped.v1", {"stp": "a"}, OLD)


def test_upcasters_lead_from_types_of_the_past_to_one_that_is_known():
    for topic in UPCASTERS:
        assert topic not in EVENTS
        seen = {topic}
        while topic in UPCASTERS:
            topic = UPCASTERS[topic][0]  # noqa: PLW2901 - follows the chain
            assert topic not in seen
            seen.add(topic)
        assert topic in EVENTS
    assert registry.UPCASTERS is UPCASTERS


# --- codes and small values ---------------------------------------------------------------------


def test_codes_are_unique_words():
    values = [code.value for code in Code]
    assert len(values) == len(set(values)) == len(Code.__members__)
    for name, code in Code.__members__.items():
        assert code.value == name.lower()


@pytest.mark.parametrize(
    ("risk", "effect", "repeats"),
    [
        (Risk.AUTO, None, True),
        (Risk.APPROVAL_REQUIRED, None, False),
        (Risk.AUTO, Effect.ONCE, False),
        (Risk.APPROVAL_REQUIRED, Effect.REPEATABLE, True),
    ],
)
def test_a_risky_agent_runs_once_unless_it_says_otherwise(
    risk: Risk, effect: Effect | None, repeats: bool
):
    assert AgentManifest(name="a", risk=risk, effect=effect).repeats is repeats
