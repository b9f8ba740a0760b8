"""Agents, workflows, tokens, and the runs that triggers start."""

from dataclasses import replace
from typing import Any

import pytest

from penstock_contracts.agent.v1 import (
    AgentRegistered,
    AgentRemoved,
    AgentUnchanged,
    CommandRejected,
    RegisterAgent,
    RemoveAgent,
)
from penstock_contracts.codes import Code
from penstock_contracts.executor.v1 import BreakerChanged, BreakerState, ReportBreaker
from penstock_contracts.ids import derive, run_id
from penstock_contracts.partition.v1 import StoreRecovered
from penstock_contracts.run.v1 import CancelRun, StartRun
from penstock_contracts.trigger.v1 import (
    ConfirmStart,
    IssueToken,
    ReceiveTrigger,
    RevokeToken,
    StartConfirmed,
    TokenIssued,
    TokenRevoked,
    TokenUnchanged,
    TriggerIgnored,
    TriggerMatched,
)
from penstock_contracts.values import MICROSECONDS, JsonObject
from penstock_contracts.workflow.v1 import (
    ApplyWorkflow,
    RemoveWorkflow,
    WorkflowApplied,
    WorkflowRemoved,
    WorkflowUnchanged,
)
from penstock_core.catalog.decider import CatalogDecider
from penstock_core.catalog.library import Library
from penstock_core.catalog.state import EntryState
from penstock_core.decision import BrokenInvariant, Context, Decision, Rejection
from penstock_core.effects import REASK_FIRST_US, SendCommand
from penstock_core.workflow.plan import definition_digest
from penstock_testkit.builders.workflows import DIGESTS, PAY, WORK, linear, node, workflow
from penstock_testkit.given import START_US, Story

FLOW = workflow(nodes=linear("a", "b"))


def library(*documents: JsonObject) -> Library:
    found = Library()
    for agent in (WORK, PAY):
        event = AgentRegistered(tenant="default", digest=DIGESTS[agent.name], manifest=agent)
        found = found.apply(event)
    for document in documents:
        digest = definition_digest(document)
        found = found.apply(WorkflowApplied(tenant="default", digest=digest, document=document))
    return found


def entry(known: Library | None = None, partitions: int = 1) -> Story[EntryState]:
    context = Context(now_us=START_US, library=known or Library(), run_partitions=partitions)
    return Story(CatalogDecider(), EntryState(derive("trigger", "entry")), context)


def received(path: str, data: Any = None, trigger_id: str = "t1", **event: Any) -> ReceiveTrigger:
    whole = {"id": trigger_id, "path": path, "data": data, **event}
    return ReceiveTrigger(trigger_id=trigger_id, path=path, event=whole)


# --- agents and workflows ------------------------------------------------------------------------


def test_registering_again_changes_nothing_and_is_answered():
    story = entry().when(RegisterAgent(manifest=WORK)).then(AgentRegistered)
    assert story.last(AgentRegistered).digest == DIGESTS["work"]
    story.when(RegisterAgent(manifest=WORK)).then(AgentUnchanged)
    changed = WORK.model_copy(update={"version": "2"})
    story.when(RegisterAgent(manifest=changed)).then(AgentRegistered)
    assert story.last(AgentRegistered).digest != DIGESTS["work"]


def test_an_agent_in_use_stays():
    story = entry(library(FLOW)).given(
        AgentRegistered(tenant="default", digest=DIGESTS["work"], manifest=WORK)
    )
    story.when(RemoveAgent(name="work")).rejected(Code.IN_USE, "used by flow")


def test_a_removed_agent_can_come_back():
    story = entry().when(RegisterAgent(manifest=WORK)).when(RemoveAgent(name="work"))
    story.then(AgentRemoved).when(RemoveAgent(name="work")).rejected(Code.UNKNOWN_AGENT)
    story.when(RegisterAgent(manifest=WORK)).then(AgentRegistered)


def test_applying_again_changes_nothing_and_is_answered():
    story = entry(library()).when(ApplyWorkflow(document=FLOW)).then(WorkflowApplied)
    assert story.last(WorkflowApplied).agents == {"work": DIGESTS["work"]}
    story.when(ApplyWorkflow(document={**FLOW, "timeout": "1d"})).then(WorkflowUnchanged)
    story.when(ApplyWorkflow(document={**FLOW, "timeout": "2d"})).then(WorkflowApplied)
    story.when(RemoveWorkflow(name="flow")).then(WorkflowRemoved)
    story.when(RemoveWorkflow(name="flow")).rejected(Code.UNKNOWN_WORKFLOW)
    story.when(ApplyWorkflow(document=FLOW)).then(WorkflowApplied)


def test_a_definition_with_faults_is_refused_with_all_of_them():
    bad = workflow(nodes={"a": node(agent="wrok"), "b": node("c")})
    story = entry(library()).when(ApplyWorkflow(document=bad)).rejected(Code.INVALID_DEFINITION)
    assert isinstance(story.outcome, Rejection)
    assert {problem.pointer.split("/")[2] for problem in story.outcome.problems} == {"a", "b"}
    assert "more)" in story.outcome.detail


def test_tokens_are_issued_once_and_revoked():
    issue = IssueToken(name="ci", sha256="0" * 64, roles=("viewer", "admin"))
    story = entry().when(issue).then(TokenIssued)
    story.when(issue.model_copy(update={"roles": ("admin", "viewer")})).then(TokenUnchanged)
    story.when(issue.model_copy(update={"roles": ("viewer",)})).then(TokenIssued)
    story.when(RevokeToken(name="ci")).then(TokenRevoked)
    story.when(RevokeToken(name="ci")).rejected(Code.NO_MATCH)


def test_a_copy_of_a_command_brings_nothing_back_however_late_it_comes():
    token = IssueToken(name="ci", sha256="0" * 64, roles=("viewer",))
    story = entry().when(token, "issue-1").when(RevokeToken(name="ci"), "revoke-1")
    story.when(token, "issue-1").stale()
    assert not story.state.in_use

    older, newer = (RegisterAgent(manifest=WORK.model_copy(update={"version": v})) for v in "12")
    story = entry().when(older, "register-1").when(newer, "register-2").when(newer, "register-3")
    digest = story.state.digest
    for copied in ("register-1", "register-2", "register-3"):
        story.when(older, copied).stale()
    assert story.state.digest == digest


def breaker(state: BreakerState, since_us: int) -> ReportBreaker:
    return ReportBreaker(
        executor="host.one", pool="default", adapter="dagger", state=state, failures=5,
        reason="no engine", since_us=since_us, until_us=60 * (state is BreakerState.OPEN),
    )  # fmt: skip


def test_a_breaker_that_never_opened_is_no_event():
    story = entry().when(breaker(BreakerState.CLOSED, 1)).stale(Code.STALE)
    story.when(breaker(BreakerState.CLOSED, 2)).stale(Code.STALE)


def test_each_change_of_a_breaker_is_one_event():
    story = entry().when(breaker(BreakerState.OPEN, 1)).then(BreakerChanged)
    assert isinstance(story.outcome, Decision)
    (changed,) = story.outcome.events
    assert changed == BreakerChanged(
        tenant="default", executor="host.one", pool="default", adapter="dagger",
        state=BreakerState.OPEN, failures=5, reason="no engine", since_us=1, until_us=60,
    )  # fmt: skip
    story.when(breaker(BreakerState.OPEN, 1)).stale(Code.STALE)
    story.when(breaker(BreakerState.HALF_OPEN, 2)).then(BreakerChanged)
    story.when(breaker(BreakerState.OPEN, 3)).then(BreakerChanged)
    story.when(breaker(BreakerState.OPEN, 4)).then(BreakerChanged)  # what lay between was lost
    story.when(breaker(BreakerState.HALF_OPEN, 2)).stale(Code.STALE)
    story.when(breaker(BreakerState.CLOSED, 5)).then(BreakerChanged)
    story.when(breaker(BreakerState.CLOSED, 6)).stale(Code.STALE)
    story.when(breaker(BreakerState.OPEN, 4)).stale(Code.STALE)


def test_a_refusal_is_told_once():
    story = entry().when(RemoveAgent(name="work"), "c1").rejected(Code.UNKNOWN_AGENT)
    story.given(CommandRejected(command_id="c1", command="x", code="unknown_agent"))
    story.when(RemoveAgent(name="work"), "c1").stale(Code.STALE)


def test_what_is_no_command_or_event_of_the_catalog_is_a_defect():
    with pytest.raises(BrokenInvariant, match="no command to the catalog"):
        entry().when(CancelRun(run_id="0" * 36))
    with pytest.raises(BrokenInvariant, match="StartConfirmed while the entry is absent"):
        entry().given(StartConfirmed(run_id="0" * 36))
    with pytest.raises(BrokenInvariant, match="AgentRemoved while"):
        entry().given(AgentRemoved(tenant="default", name="x"))


# --- triggers ------------------------------------------------------------------------------------


def test_a_workflow_is_started_by_name():
    story = entry(library(FLOW)).when(received("workflow.flow", {"inputs": {"n": 1}}))
    story.then(TriggerMatched)
    (run,) = story.last(TriggerMatched).runs
    assert run.run_id == run_id("default", "flow", "t1")
    assert (run.inputs, run.agents) == ({"n": 1}, {"work": DIGESTS["work"]})
    assert run.definition_digest == definition_digest(FLOW)


def test_a_trigger_counts_once():
    story = entry(library(FLOW)).when(received("workflow.flow"))
    story.when(received("workflow.flow")).stale(Code.STALE)
    ignored = entry(library()).when(received("workflow.flow")).then(TriggerIgnored)
    ignored.when(received("workflow.flow")).stale(Code.STALE)


def test_a_start_is_outstanding_until_it_is_confirmed():
    story = entry(library(FLOW)).when(received("workflow.flow"))
    (start,) = story.effects
    assert isinstance(start, SendCommand)
    assert isinstance(start.body, StartRun)
    assert [item.effect for item in story.decider.outstanding(story.state)] == [start]
    assert story.bound == START_US + REASK_FIRST_US
    confirm = ConfirmStart(run_id=start.about, trigger_aggregate="0" * 36)
    story.when(confirm).then(StartConfirmed)
    assert story.decider.outstanding(story.state) == ()
    assert not story.decider.is_open(story.state)
    story.when(confirm).stale(Code.STALE)


def test_what_was_confirmed_before_the_store_was_put_back_is_asked_for_again():
    """The run may be forgotten with it; were it believed, nobody would ever start it."""
    lost = StoreRecovered(
        recovery=derive("recovery", "a"), partition="catalog", by="ann", store_n=2, epoch=7,
        recovered_us=START_US + 30 * MICROSECONDS,
    )  # fmt: skip
    story = entry(library(FLOW).apply(lost)).when(received("workflow.flow"))
    (start,) = story.effects
    assert isinstance(start, SendCommand)
    confirm = ConfirmStart(run_id=start.about, trigger_aggregate="0" * 36)
    story.when(confirm).stale(Code.STALE)
    assert [item.effect for item in story.decider.outstanding(story.state)] == [start]
    story.later(31).when(confirm).then(StartConfirmed)
    assert not story.decider.is_open(story.state)


def test_an_unknown_workflow_is_said():
    story = entry(library(FLOW)).when(received("workflow.folw")).then(TriggerIgnored)
    ignored = story.last(TriggerIgnored)
    assert (ignored.code, ignored.detail) == (
        Code.UNKNOWN_WORKFLOW, "there is no workflow 'folw'",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"inputs": {"n": "three"}}, "flow: "),
        ({"inputs": {}}, "n"),
        ({"inputs": [1]}, "inputs must be a JSON object"),
        ("text", "inputs must be a JSON object"),
        ({"inputs": {"n": 1, "pad": "x" * 70_000}}, "larger than 64 KiB"),
    ],
)
def test_inputs_that_do_not_fit_start_nothing(data: Any, says: str):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    story = entry(library({**FLOW, "inputs": schema})).when(received("workflow.flow", data))
    story.then(TriggerIgnored)
    assert story.last(TriggerIgnored).code == Code.INVALID_INPUTS
    assert says in story.last(TriggerIgnored).detail


def test_an_agent_that_is_gone_starts_nothing():
    known = library(FLOW).apply(AgentRemoved(tenant="default", name="work"))
    story = entry(known).when(received("workflow.flow")).then(TriggerIgnored)
    assert story.last(TriggerIgnored).code == Code.UNKNOWN_AGENT


def rule(on: str, **fields: Any) -> JsonObject:
    return {"on": on, **fields}


def test_rules_with_a_filter_start_what_fits_with_rendered_inputs():
    deploy = workflow("deploy", nodes=linear("a"), triggers=[
        rule("git.push.*", when="trigger.data.branch == 'main'",
             inputs={"sha": "{{trigger.data.sha}}", "from": "{{trigger.id}}"}),
    ])  # fmt: skip
    audit = workflow("audit", nodes=linear("a"), triggers=[rule("git.>")])
    known = library(deploy, audit)
    story = entry(known).when(received("git.push.web", {"branch": "main", "sha": "abc"}))
    runs = {run.workflow: run for run in story.then(TriggerMatched).last(TriggerMatched).runs}
    assert set(runs) == {"deploy", "audit"}
    assert runs["deploy"].inputs == {"sha": "abc", "from": "t1"}
    assert runs["audit"].inputs == {"branch": "main", "sha": "abc"}
    other = entry(known).when(received("git.push.web", {"branch": "dev", "sha": "abc"}))
    assert [run.workflow for run in other.last(TriggerMatched).runs] == ["audit"]
    entry(known).when(received("mail.push")).then(TriggerIgnored)


def test_a_rule_that_breaks_is_a_fault_beside_those_that_fit():
    broken = workflow("b", nodes=linear("a"), triggers=[rule("x", when="trigger.data.n > 1")])
    absent = workflow(
        "c", nodes=linear("a"), triggers=[rule("x", inputs={"n": "{{trigger.data.q}}"})]
    )
    fine = workflow("d", nodes=linear("a"), triggers=[rule("x")])
    matched = entry(library(broken, absent, fine)).when(received("x", {})).last(TriggerMatched)
    assert [run.workflow for run in matched.runs] == ["d"]
    assert len(matched.faults) == 2
    ignored = entry(library(broken)).when(received("x", {})).last(TriggerIgnored)
    assert ignored.code == Code.CONDITION_FAILED


def test_another_tenants_workflows_are_not_matched():
    audit = workflow("audit", nodes=linear("a"), triggers=[rule(">")])
    story = entry(library(audit))
    story._context = replace(story._context, tenant="other")
    story.when(received("x")).then(TriggerIgnored)


def test_runs_are_spread_over_the_partitions_by_their_ids():
    known = library(FLOW)
    partitions = set[str]()
    for number in range(60):
        trigger = received("workflow.flow", trigger_id=f"t{number}")
        (run,) = entry(known, 4).when(trigger).last(TriggerMatched).runs
        again = entry(known, 4).when(trigger).last(TriggerMatched)
        assert again.runs == (run,)
        partitions.add(run.partition)
    assert partitions == {"run-0", "run-1", "run-2", "run-3"}


def test_the_library_forgets_what_was_removed():
    known = library(FLOW)
    assert known.agents_of("default").keys() == {"work", "pay"}
    assert known.agents_of("other") == {}
    assert known.digests_of("default", frozenset({"pay", "nobody"})) == {"pay": DIGESTS["pay"]}
    gone = known.apply(WorkflowRemoved(tenant="default", name="flow"))
    assert not gone.workflows
    assert gone.apply(WorkflowRemoved(tenant="default", name="flow")) == gone
    assert known.apply(StartConfirmed(run_id="0" * 36)) is known


def test_the_state_is_the_fold_of_its_events():
    story = entry(library(FLOW)).when(received("workflow.flow"))
    assert story.refold() == story.state
