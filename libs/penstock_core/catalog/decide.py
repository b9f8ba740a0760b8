"""Decide on a command to the catalog."""

from penstock_contracts.agent import v1 as agent
from penstock_contracts.codes import Code
from penstock_contracts.executor import v1 as executor
from penstock_contracts.trigger import v1 as trigger
from penstock_contracts.values import Wire
from penstock_contracts.workflow import v1 as workflow
from penstock_core.catalog.evolve import token_mark
from penstock_core.catalog.matching import match_trigger
from penstock_core.catalog.state import EntryState
from penstock_core.decision import BrokenInvariant, Context, Decision, Outcome, Rejection, Stale
from penstock_core.workflow.plan import (
    canonical_document,
    definition_digest,
    manifest_digest,
)
from penstock_core.workflow.validation import validate, validate_manifest


def decide(state: EntryState, command: Wire, context: Context) -> Outcome:
    """Answer a command to one catalog entry.

    Raises:
        BrokenInvariant: the command is of another kind.
    """
    if context.command_id in state.rejected or context.command_id in state.done:
        return Stale(Code.STALE)
    match command:
        case trigger.ReceiveTrigger():
            if state.version:
                return Stale(Code.STALE)
            return Decision((match_trigger(command, context),))
        case trigger.ConfirmStart():
            return _confirm(state, command, context)
        case agent.RegisterAgent():
            return _register(state, command, context)
        case agent.RemoveAgent():
            return _remove_agent(state, command, context)
        case workflow.ApplyWorkflow():
            return _apply(state, command, context)
        case workflow.RemoveWorkflow():
            if not state.in_use:
                return Rejection(Code.UNKNOWN_WORKFLOW, f"there is no workflow {command.name!r}")
            removed = workflow.WorkflowRemoved(
                tenant=context.tenant, name=command.name, command_id=context.command_id
            )
            return Decision((removed,))
        case executor.ReportBreaker():
            return _breaker(state, command, context)
        case trigger.IssueToken():
            return _issue(state, command, context)
        case trigger.RevokeToken():
            if not state.in_use:
                return Rejection(Code.NO_MATCH, f"there is no token {command.name!r}")
            revoked = trigger.TokenRevoked(
                tenant=context.tenant, name=command.name, command_id=context.command_id
            )
            return Decision((revoked,))
        case _:
            raise BrokenInvariant(f"{type(command).__name__} is no command to the catalog")


def _confirm(state: EntryState, command: trigger.ConfirmStart, context: Context) -> Outcome:
    """Note that a run has begun; a run that may be forgotten since is asked for again."""
    waited_for = any(run.run_id == command.run_id for run in state.waiting)
    if not waited_for or context.library.was_lost(context.now_us):
        return Stale(Code.STALE)
    return Decision((trigger.StartConfirmed(run_id=command.run_id),))


def _register(state: EntryState, command: agent.RegisterAgent, context: Context) -> Outcome:
    problems = validate_manifest(command.manifest)
    if problems:
        return _refused(problems)
    digest = manifest_digest(command.manifest)
    if state.in_use and state.digest == digest:
        return Decision((agent.AgentUnchanged(digest=digest, command_id=context.command_id),))
    registered = agent.AgentRegistered(
        tenant=context.tenant,
        digest=digest,
        manifest=command.manifest,
        command_id=context.command_id,
    )
    return Decision((registered,))


def _remove_agent(state: EntryState, command: agent.RemoveAgent, context: Context) -> Outcome:
    if not state.in_use:
        return Rejection(Code.UNKNOWN_AGENT, f"there is no agent {command.name!r}")
    users = sorted(
        name
        for (tenant, name), entry in context.library.workflows.items()
        if tenant == context.tenant
        and any(node.agent == command.name for node in entry.definition.nodes.values())
    )
    if users:
        return Rejection(Code.IN_USE, f"agent {command.name!r} is used by {', '.join(users)}")
    removed = agent.AgentRemoved(
        tenant=context.tenant, name=command.name, command_id=context.command_id
    )
    return Decision((removed,))


def _apply(state: EntryState, command: workflow.ApplyWorkflow, context: Context) -> Outcome:
    agents = context.library.agents_of(context.tenant)
    problems = validate(command.document, agents)
    if problems:
        return _refused(problems)
    definition = workflow.WorkflowDefinition.model_validate(command.document)
    digest = definition_digest(command.document)
    if state.in_use and state.digest == digest:
        same = workflow.WorkflowUnchanged(digest=digest, command_id=context.command_id)
        return Decision((same,))
    names = frozenset(node.agent for node in definition.nodes.values() if node.agent)
    applied = workflow.WorkflowApplied(
        tenant=context.tenant,
        digest=digest,
        document=canonical_document(command.document),
        agents=context.library.digests_of(context.tenant, names),
        command_id=context.command_id,
    )
    return Decision((applied,))


def _refused(problems: tuple[workflow.Problem, ...]) -> Rejection:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    detail = f"{first.pointer or '/'}: {first.message}{more}"
    return Rejection(Code.INVALID_DEFINITION, detail, problems)


def _issue(state: EntryState, command: trigger.IssueToken, context: Context) -> Outcome:
    if state.in_use and state.digest == token_mark(command.sha256, command.roles, command.groups):
        same = trigger.TokenUnchanged(name=command.name, command_id=context.command_id)
        return Decision((same,))
    issued = trigger.TokenIssued(
        tenant=context.tenant,
        name=command.name,
        sha256=command.sha256,
        roles=command.roles,
        groups=command.groups,
        command_id=context.command_id,
    )
    return Decision((issued,))


def _breaker(state: EntryState, command: executor.ReportBreaker, context: Context) -> Outcome:
    """Note a change. A copy, a report that was overtaken, and one that all is well still: none."""
    well = command.state is executor.BreakerState.CLOSED
    if command.since_us <= state.since_us or (well and state.breaker is command.state):
        return Stale(Code.STALE)
    changed = executor.BreakerChanged(
        tenant=context.tenant,
        executor=command.executor,
        pool=command.pool,
        adapter=command.adapter,
        state=command.state,
        failures=command.failures,
        reason=command.reason,
        since_us=command.since_us,
        until_us=command.until_us,
    )
    return Decision((changed,))
