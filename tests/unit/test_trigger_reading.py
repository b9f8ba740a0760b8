"""Who asks for a run follows from where a trigger stands, never from what it says."""

from __future__ import annotations

import json

import pytest

from penstock_contracts import subjects
from penstock_contracts.codes import Code
from penstock_contracts.envelope import Envelope, MalformedMessage
from penstock_contracts.ids import TRIGGER_ID_MAX_CHARS, event_trigger_id, gateway_trigger_id
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import TASK_TYPE
from penstock_contracts.trigger.v1 import GatewayTrigger, ReceiveTrigger
from penstock_runtime.domain import Addressed, Refused
from penstock_runtime.ports.inbox import Received
from penstock_scheduler.triggers import read_trigger

TENANT = "acme"


def read(subject: str, payload: bytes, **headers: str) -> Addressed:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_trigger(Received(Stream.TRIGGERS.value, subject, 7, 1_000, payload, named))


def event(actor: str | None = "token:olga", kind: str = GatewayTrigger.MANUAL) -> bytes:
    return Envelope(
        id="e1", source="penstock/webhook-gateway/olga", type=kind, actor=actor, data={"inputs": {}}
    ).encode()


def path_of(addressed: Addressed) -> str:
    assert isinstance(addressed.command, ReceiveTrigger)
    assert addressed.command.event["path"] == addressed.command.path
    assert addressed.command.event["actor"] == addressed.actor
    return addressed.command.path


@pytest.mark.parametrize("kind", list(GatewayTrigger))
def test_the_gateway_is_believed_and_rules_do_not_see_its_token(kind: GatewayTrigger):
    found = read(subjects.gateway_trigger(TENANT, "workflow.demo"), event(kind=kind))
    assert (found.actor, found.tenant) == ("token:olga", TENANT)
    assert path_of(found) == "workflow.demo"


def test_nobody_else_is_believed_whatever_they_say():
    found = read(subjects.trigger(TENANT, "workflow.demo"), event(actor="token:admin"))
    assert found.actor == "trigger:workflow"
    assert path_of(found) == "workflow.demo"
    binary = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t"}
    found = read(subjects.trigger(TENANT, "ci.push"), b"{}", **binary, ce_actor="token:admin")
    assert found.actor == "trigger:ci"
    found = read(subjects.trigger(TENANT, "ci.push"), b'{"actor": "token:admin"}')
    assert found.actor == "trigger:ci"
    assert path_of(found) == "ci.push"


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps({"stream": "TRIGGERS", "seq": 4}).encode(),  # an acknowledgement led here
        json.dumps({"type": "penstock.manual", "actor": "token:admin"}).encode(),
        event(kind=TASK_TYPE),  # a task that was pulled, and led here
        event(actor=None),
        event(actor=""),
        b"",
    ],
)
def test_below_the_gateways_token_nothing_else_is_a_trigger(payload: bytes):
    with pytest.raises(Refused) as refused:
        read(subjects.gateway_trigger(TENANT, "workflow.demo"), payload)
    assert refused.value.code == Code.FORGED


def test_the_gateways_token_alone_is_no_path():
    with pytest.raises(Refused):
        read(subjects.trigger(TENANT, "gateway"), event())


def test_what_is_no_json_is_malformed_everywhere():
    for subject in (subjects.gateway_trigger(TENANT, "a"), subjects.trigger(TENANT, "a")):
        with pytest.raises(MalformedMessage):
            read(subject, b"{not json")


def test_nobody_takes_the_id_of_a_request_before_it_comes():
    body = event()
    from_http = read(subjects.gateway_trigger(TENANT, "workflow.demo"), body)
    from_bus = read(subjects.trigger(TENANT, "workflow.demo"), body)
    assert from_http.command_id == gateway_trigger_id("penstock/webhook-gateway/olga", "e1")
    assert from_bus.command_id == event_trigger_id("penstock/webhook-gateway/olga", "e1")
    assert from_http.aggregate_id != from_bus.aggregate_id


def test_long_ids_are_replaced_by_their_hash():
    exact = "x" * (TRIGGER_ID_MAX_CHARS - len("ce:s#"))
    assert event_trigger_id("s", exact) == f"ce:s#{exact}"
    assert event_trigger_id("s", exact + "x").startswith("sha256:")
    assert event_trigger_id("s", exact + "xxxxx") != gateway_trigger_id("s", exact + "xxxxx")
