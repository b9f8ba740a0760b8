"""What the owners' partitions understand of a message, and what they refuse to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic_core import to_json

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_approval.approvals import ApprovalDomain
from penstock_contracts import subjects
from penstock_contracts.agent.v1 import RemoveAgent
from penstock_contracts.approval.v1 import CastVote, Choice, WithdrawApproval
from penstock_contracts.approval.v1 import FireTimers as FireApprovalTimers
from penstock_contracts.codes import Code
from penstock_contracts.envelope import MAX_BODY_BYTES, Envelope, MalformedMessage, OversizedMessage
from penstock_contracts.executor.v1 import BreakerState, ReportBreaker
from penstock_contracts.ids import (
    agent_id,
    derive,
    executor_id,
    run_id,
    task_id,
    token_id,
    workflow_id,
)
from penstock_contracts.ids import trigger_aggregate_id as trigger_id
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.registry import UnknownType, name_of, type_of
from penstock_contracts.run.v1 import CancelRun, ClaimTask, FireTimers, ReportResult, ReportStarted
from penstock_contracts.subjects import Stream
from penstock_contracts.task.v1 import Outcome
from penstock_contracts.trigger.v1 import ConfirmStart, ReceiveTrigger, RevokeToken
from penstock_contracts.values import DEFAULT_TENANT, Phase, Wire
from penstock_contracts.workflow.v1 import RemoveWorkflow
from penstock_core.decision import Rejection
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.domain import Domain, Refused
from penstock_runtime.ports.inbox import Received
from penstock_runtime.telemetry.trace import parse_traceparent, trigger_trace
from penstock_scheduler.catalog import CatalogDomain
from penstock_scheduler.runs import RunDomain
from penstock_testkit.fakes.clock import ManualClock

TENANT = DEFAULT_TENANT
AT_US = 1_800_000_000_000_000
RUN = run_id(TENANT, "flow", "t1")
APPROVAL = derive("approval", RUN)
CODES = TaskCodeBook(b"a secret of the schedulers of this test")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STRUCTURED = {"specversion": "1.0", "id": "7", "source": "git/main", "type": "push"}

# --- triggers ------------------------------------------------------------------------------------


def trigger(payload: bytes, headers: Mapping[str, str] | None = None) -> Received:
    path = subjects.trigger(TENANT, "nats.push.main")
    return Received(Stream.TRIGGERS, path, 12, AT_US, payload, headers or {})


def read(payload: bytes, headers: Mapping[str, str] | None = None) -> tuple[str, ReceiveTrigger]:
    """Give the aggregate and the command."""
    addressed = CatalogDomain().read(trigger(payload, headers))
    assert isinstance(addressed.command, ReceiveTrigger)
    assert addressed.command_id == addressed.command.trigger_id
    assert addressed.founds
    return addressed.aggregate_id, addressed.command


def test_plain_json_is_known_by_the_id_it_was_sent_with():
    aggregate, command = read(b'{"ref": "main"}', {"Nats-Msg-Id": "push-7"})

    assert command.trigger_id == "msg:push-7"
    assert aggregate == trigger_id(TENANT, "msg:push-7")
    assert command.path == "nats.push.main"
    assert command.event == {
        "id": "msg:push-7", "data": {"ref": "main"}, "path": "nats.push.main",
        "actor": "trigger:nats",
    }  # fmt: skip


def test_plain_json_without_an_id_is_known_by_its_place():
    assert read(b"[1]")[1].trigger_id == f"seq:12/{AT_US}"


def test_a_trigger_without_a_payload_has_no_data():
    assert read(b"")[1].event["data"] is None


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/cloudevents+json; charset=utf-8"}]
)
def test_a_structured_cloud_event_is_known_by_its_source_and_id(headers: Mapping[str, str]):
    event = {**STRUCTURED, "data": {"ref": "main"}, "actor": "user:ann", "traceparent": TRACE}
    addressed = CatalogDomain().read(trigger(to_json(event), {**headers, "Nats-Msg-Id": "x"}))

    assert addressed.command_id == "ce:git/main#7"
    assert addressed.actor == "trigger:nats"  # whatever a publisher says of itself
    assert addressed.traceparent == TRACE
    assert isinstance(addressed.command, ReceiveTrigger)
    told = {"path": "nats.push.main", "actor": "trigger:nats"}
    assert addressed.command.event == {**event, **told}


def test_a_binary_cloud_event_has_its_attributes_in_headers():
    headers = {f"ce-{name}": value for name, value in STRUCTURED.items()}
    _, command = read(b'{"ref": "main"}', {**headers, "CE-Subject": "repo", "other": "ignored"})

    assert command.trigger_id == "ce:git/main#7"
    assert command.event == {
        **STRUCTURED, "subject": "repo", "data": {"ref": "main"}, "path": "nats.push.main",
        "actor": "trigger:nats",
    }  # fmt: skip


def test_without_a_trace_the_source_and_the_header_speak():
    addressed = CatalogDomain().read(trigger(b"{}", {"traceparent": TRACE}))

    assert addressed.actor == "trigger:nats"
    assert addressed.traceparent == TRACE


@pytest.mark.parametrize("given", [{}, {"traceparent": "00-c-d-01"}, {"traceparent": "x" * 9999}])
def test_a_trigger_without_a_valid_trace_begins_one_and_the_same_when_read_again(
    given: Mapping[str, str],
):
    headers = {"Nats-Msg-Id": "one", **given}
    first, again = (CatalogDomain().read(trigger(b"{}", headers)) for _ in range(2))

    assert parse_traceparent(first.traceparent) == trigger_trace(first.aggregate_id, AT_US)
    assert again.traceparent == first.traceparent


def test_a_long_id_is_replaced_by_its_hash_and_stays_the_same():
    headers = {"Nats-Msg-Id": "x" * 300}
    first, again = read(b"{}", headers), read(b"{}", headers)
    other = read(b"{}", {"Nats-Msg-Id": "x" * 301})

    assert first[1].trigger_id.startswith("sha256:")
    assert len(first[1].trigger_id) < 80
    assert first == again
    assert first[0] != other[0]


@pytest.mark.parametrize(
    ("payload", "headers", "says"),
    [
        (b"{not json", {}, "the payload is not JSON"),
        (b'{"a": NaN}', {}, "the payload is not JSON"),
        (b"[]", {"content-type": "application/cloudevents+json"}, "is a JSON object"),
        (b'{"specversion": "0.3"}', {}, "specversion must be 1.0, not '0.3'"),
        (b'{"specversion": 1}', {}, "specversion must be 1.0, not 1"),
        (b'{"specversion": "1.0", "id": "7"}', {}, "attribute 'source' is missing or empty"),
        (b'{"specversion": "1.0", "id": ""}', {}, "attribute 'id' is missing or empty"),
        (b"{}", {"ce-specversion": "1.0"}, "attribute 'id' is missing or empty"),
        (b"{", {"ce-specversion": "1.0"}, "the data is not JSON"),
    ],
)
def test_what_is_no_trigger_says_why(payload: bytes, headers: Mapping[str, str], says: str):
    with pytest.raises(MalformedMessage, match=says):
        CatalogDomain().read(trigger(payload, headers))


def test_a_payload_over_the_limit_is_not_read():
    largest = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'

    assert read(largest)[1].event["data"] == "x" * (MAX_BODY_BYTES - 2)
    with pytest.raises(OversizedMessage, match="larger than 10 MB"):
        CatalogDomain().read(trigger(largest + b" "))


# --- commands ------------------------------------------------------------------------------------


def command(stream: Stream, subject: str, body: Wire, tenant: str = TENANT) -> Received:
    message = Envelope(
        id="c-1", source="test", type=type_of(body), tenant=tenant, data=body.to_data()
    )
    return Received(stream, subject, 1, AT_US, message.encode())


def to_catalog(body: Wire, kind: str, name: str) -> Received:
    path = subjects.catalog(TENANT, kind, name, name_of(type_of(body)))
    return command(Stream.CATALOG, path, body)


def to_run(body: Wire, run: str = RUN) -> Received:
    path = subjects.run(TENANT, "run-0", run, name_of(type_of(body)))
    return command(Stream.RUNS, path, body)


def to_approval(body: Wire, approval: str = APPROVAL) -> Received:
    path = subjects.approval(TENANT, approval, name_of(type_of(body)))
    return command(Stream.APPROVALS, path, body)


def runs() -> RunDomain:
    return RunDomain(Definitions(MemoryLedger(ManualClock())), CODES)


def result(code: str, node: str = "a", phase: Phase = Phase.RUN) -> ReportResult:
    return ReportResult(
        task_id=task_id(RUN, "a", 1, phase), node=node, attempt=1, phase=phase,
        executor="executor-1", token=code, outcome=Outcome.SUCCEEDED, output={},
    )  # fmt: skip


CONFIRMED = trigger_id(TENANT, "msg:push-7")
NAMED = [
    (RemoveAgent(name="work"), "agent", "work", agent_id(TENANT, "work")),
    (RemoveWorkflow(name="flow"), "workflow", "flow", workflow_id(TENANT, "flow")),
    (RevokeToken(name="ci"), "token", "ci", token_id(TENANT, "ci")),
    (ConfirmStart(run_id=RUN, trigger_aggregate=CONFIRMED), "trigger", CONFIRMED, CONFIRMED),
    (
        ReportBreaker(
            executor="host.one", pool="default", adapter="dagger", state=BreakerState.OPEN,
            since_us=1,
        ),
        "executor", "host-one", executor_id(TENANT, "host-one"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "name", "aggregate"), NAMED)
def test_a_catalog_command_is_for_what_subject_and_data_name(
    body: Wire, kind: str, name: str, aggregate: str
):
    addressed = CatalogDomain().read(to_catalog(body, kind, name))

    assert (addressed.aggregate_id, addressed.command) == (aggregate, body)
    assert not addressed.founds


@pytest.mark.parametrize(("body", "kind", "name", "aggregate"), NAMED)
def test_a_catalog_command_about_another_than_its_subject_is_forged(
    body: Wire, kind: str, name: str, aggregate: str
):
    del name, aggregate
    with pytest.raises(Refused, match=Code.FORGED):
        CatalogDomain().read(to_catalog(body, kind, "another"))


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (CatalogDomain(), to_catalog(RedriveMessages(aggregate=APPROVAL), "any", "any")),
        (runs(), to_run(RedriveMessages(aggregate=APPROVAL))),
        (ApprovalDomain(), to_approval(RedriveMessages(aggregate=APPROVAL), derive("other"))),
    ],
)
def test_a_redrive_names_its_aggregate_itself(domain: Domain[Any], message: Received):
    assert domain.read(message).aggregate_id == APPROVAL


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (CatalogDomain(), to_catalog(CancelRun(run_id=RUN), "run", RUN)),
        (runs(), to_run(WithdrawApproval(approval_id=APPROVAL))),
        (ApprovalDomain(), to_approval(CancelRun(run_id=RUN))),
    ],
)
def test_a_command_for_another_door_is_refused(domain: Domain[Any], message: Received):
    with pytest.raises(Refused, match=Code.UNKNOWN_TYPE):
        domain.read(message)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (runs(), to_run(FireTimers())),
        (ApprovalDomain(), to_approval(FireApprovalTimers())),
        (CatalogDomain(), to_catalog(ReceiveTrigger(trigger_id="t", path="p", event={}), "t", "t")),
    ],
)
def test_what_owners_say_to_themselves_is_no_command(domain: Domain[Any], message: Received):
    with pytest.raises(UnknownType):
        domain.read(message)


def test_a_run_or_approval_other_than_the_subjects_is_forged():
    other = derive("another")
    vote = CastVote(approval_id=APPROVAL, choice=Choice.APPROVE, user="user:bob")

    assert runs().read(to_run(CancelRun(run_id=RUN))).aggregate_id == RUN
    assert ApprovalDomain().read(to_approval(vote)).aggregate_id == APPROVAL
    with pytest.raises(Refused, match=Code.FORGED):
        runs().read(to_run(CancelRun(run_id=RUN), other))
    with pytest.raises(Refused, match=Code.FORGED):
        ApprovalDomain().read(to_approval(vote, other))


def test_a_subject_or_tenant_that_contradicts_the_message_is_forged():
    cancel = CancelRun(run_id=RUN)
    path = subjects.run(TENANT, "run-0", RUN, "apply_decision")
    with pytest.raises(Refused, match=Code.FORGED):
        runs().read(command(Stream.RUNS, path, cancel))
    path = subjects.run(TENANT, "run-0", RUN, "cancel_run")
    with pytest.raises(Refused, match=Code.FORGED):
        runs().read(command(Stream.RUNS, path, cancel, tenant="other"))


def test_an_executor_is_believed_with_the_code_of_that_very_task():
    code = CODES.code(task_id(RUN, "a", 1, Phase.RUN))
    started = ReportStarted(
        task_id=task_id(RUN, "a", 1, Phase.RUN), node="a", attempt=1, executor="e", token=code
    )
    claim = ClaimTask(**started.model_dump(), nonce="n")
    for told in (result(code), started, claim):
        assert runs().read(to_run(told)).aggregate_id == RUN
    for forged in (
        result(CODES.code(RUN)),
        result(code, node="b"),  # the code of one task does for no other
        started.model_copy(update={"token": ""}),
        claim.model_copy(update={"attempt": 2}),
    ):
        with pytest.raises(Refused, match=Code.FORGED):
            runs().read(to_run(forged))
    with pytest.raises(Refused, match=Code.FORGED):  # of another run, with its own code
        runs().read(to_run(result(code), derive("another")))


# --- refusals ------------------------------------------------------------------------------------


def test_people_are_told_of_a_refusal_and_services_are_not():
    rejection = Rejection(Code.NOT_FOUND, "x" * 5_000)
    cancel = CancelRun(run_id=RUN)
    vote = CastVote(approval_id=APPROVAL, choice=Choice.APPROVE, user="user:bob")
    for domain, asked in (
        (CatalogDomain(), RemoveAgent(name="work")),
        (CatalogDomain(), RemoveWorkflow(name="flow")),
        (CatalogDomain(), RevokeToken(name="ci")),
        (runs(), cancel),
        (ApprovalDomain(), vote),
    ):
        told = domain.refusal(asked, "c-1", rejection)
        assert told is not None
        data = told.to_data()
        assert (data["command_id"], data["command"], data["code"]) == (
            "c-1", type_of(asked), Code.NOT_FOUND,
        )  # fmt: skip
        assert data["detail"] == "x" * 4_096
    for domain, asked in (
        (CatalogDomain(), ConfirmStart(run_id=RUN, trigger_aggregate=CONFIRMED)),
        (runs(), result("")),
        (ApprovalDomain(), WithdrawApproval(approval_id=APPROVAL)),
    ):
        assert domain.refusal(asked, "c-1", rejection) is None
