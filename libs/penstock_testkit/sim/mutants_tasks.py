"""Without a rule of tasks: claims, nonces, attempts, results, and ids."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from penstock_contracts.codes import Code
from penstock_contracts.ids import run_id
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.trigger.v1 import ReceiveTrigger
from penstock_contracts.values import Failure, Wire
from penstock_core.catalog import decide as catalog_decide
from penstock_core.catalog import decider as catalog_decider
from penstock_core.catalog import matching
from penstock_core.decision import Context, Decision, Outcome, Stale
from penstock_core.run import attempts
from penstock_core.run import decide as run_decide
from penstock_core.run.draft import Draft
from penstock_core.run.effects import claim_answer
from penstock_core.run.state import NodeState, RunState
from penstock_executor.claims import Claim, Claims
from penstock_runtime.batch import Batch
from penstock_scheduler import triggers
from penstock_scheduler.runs import RunDomain
from penstock_testkit.sim.mutants import Mutant, swapped

# What is replaced is not public; that is the point.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false


def _claim_not_asked() -> AbstractContextManager[None]:
    async def granted(self: Claims, nonce: str, message: object) -> Claim:
        del self, nonce, message
        return Claim.GRANTED

    return swapped((Claims, "ask", granted))


def _silence_is_consent() -> AbstractContextManager[None]:
    ask = Claims.ask

    async def hopeful(self: Claims, nonce: str, message: Any) -> Claim:  # noqa: ANN401
        outcome = await ask(self, nonce, message)
        return Claim.GRANTED if outcome is Claim.SILENT else outcome

    return swapped((Claims, "ask", hopeful))


def _granted_to_anyone() -> AbstractContextManager[None]:
    claim = run_decide.claim

    def yes(state: RunState, command: ClaimTask, context: Context) -> Outcome:
        outcome = claim(state, command, context)
        node = state.nodes.get(command.node)
        claimed = node is not None and node.nonce is not None
        if isinstance(outcome, Stale) and claimed and node and node.attempt == command.attempt:
            return Stale(outcome.code, (claim_answer(state, command, granted=True),))
        return outcome

    return swapped((run_decide, "claim", yes))


def _granted_to_its_executor() -> AbstractContextManager[None]:
    claim = run_decide.claim

    def to_the_same(state: RunState, command: ClaimTask, context: Context) -> Outcome:
        outcome = claim(state, command, context)
        node = state.nodes.get(command.node)
        if node is None or node.nonce is None or node.attempt != command.attempt:
            return outcome
        if isinstance(outcome, Stale) and node.executor == command.executor:
            return Stale(outcome.code, (claim_answer(state, command, granted=True),))
        return outcome

    return swapped((run_decide, "claim", to_the_same))


def _granted_before_the_commit() -> AbstractContextManager[None]:
    """Answer a claim without an event: nothing of it is committed."""
    claim = run_decide.claim

    def answered(state: RunState, command: ClaimTask, context: Context) -> Outcome:
        outcome = claim(state, command, context)
        if isinstance(outcome, Decision):
            return Stale(Code.CLAIMED, (claim_answer(state, command, granted=True),))
        return outcome

    return swapped((run_decide, "claim", answered))


def _nonce_ignored() -> AbstractContextManager[None]:
    report = run_decide.report_result

    def from_anybody(state: RunState, command: ReportResult, context: Context) -> Outcome:
        node = state.nodes.get(command.node)
        if node is not None and node.nonce is not None:
            command = command.model_copy(update={"nonce": node.nonce})
        return report(state, command, context)

    return swapped((run_decide, "report_result", from_anybody))


def _unknown_retried() -> AbstractContextManager[None]:
    end = attempts.end_attempt
    code = Code.TIMEOUT_RUNNING

    def once_more(
        draft: Draft, name: str, error: Failure, report: ReportResult | None = None
    ) -> None:
        if error.code == Code.UNKNOWN_OUTCOME:
            error = Failure(code=code, message=error.message, retryable=True)
        end(draft, name, error, report)

    known = frozenset({*attempts._DID_NOT_HAPPEN, code})
    return swapped(
        (attempts, "end_attempt", once_more),
        (run_decide, "end_attempt", once_more),
        (attempts, "_DID_NOT_HAPPEN", known),
    )


def _attempt_ignored() -> AbstractContextManager[None]:
    def of_any_attempt(
        state: RunState,
        name: str,
        attempt: int,
        statuses: Iterable[object] = attempts._IN_FLIGHT,
    ) -> NodeState | None:
        del attempt
        node = state.nodes.get(name)
        return node if node is not None and node.status in tuple(statuses) else None

    return swapped((attempts, "_current", of_any_attempt))


def _phase_ignored() -> AbstractContextManager[None]:
    report = run_decide.report_result

    def of_any_phase(state: RunState, command: ReportResult, context: Context) -> Outcome:
        node = state.nodes.get(command.node)
        if node is not None:
            command = command.model_copy(update={"phase": node.phase})
        return report(state, command, context)

    return swapped((run_decide, "report_result", of_any_phase))


def _codes_not_checked() -> AbstractContextManager[None]:
    def believe(self: RunDomain, run_id: str, command: object, *phases: object) -> None:
        del self, run_id, command, phases

    return swapped((RunDomain, "_check_code", believe))


def _trigger_id_with_its_place() -> AbstractContextManager[None]:
    event_of = triggers._event

    def placed(message: Any, headers: dict[str, str]) -> tuple[Any, str]:  # noqa: ANN401
        event, trigger_id = event_of(message, headers)
        return event, f"{trigger_id}@{message.time_us}"

    return swapped((triggers, "_event", placed))


def _triggers_decided_again() -> AbstractContextManager[None]:
    decide = catalog_decider.CatalogDecider.decide

    def again(self: Any, state: Any, command: Wire, context: Context) -> Outcome:  # noqa: ANN401
        if isinstance(command, ReceiveTrigger) and state.version:
            return Decision((catalog_decide.match_trigger(command, context),))
        return decide(self, state, command, context)

    return swapped((catalog_decider.CatalogDecider, "decide", again))


def _ids_not_derived() -> AbstractContextManager[None]:
    numbers = count(1)

    def drawn(tenant: str, workflow: str, trigger_id: str) -> str:
        return run_id(tenant, workflow, f"{trigger_id}/{next(numbers)}")

    return swapped((matching, "run_id", drawn))


def _retries_not_counted() -> AbstractContextManager[None]:
    return swapped((NodeState, "tries", property(lambda _node: 0)))


def _batch_forgets_itself() -> AbstractContextManager[None]:
    handle = Batch.handle

    def on_what_was_read(self: Batch, message: Any, addressed: Any) -> None:  # noqa: ANN401
        cell = self.cells[addressed.aggregate_id]
        before = cell.state
        handle(self, message, addressed)
        cell.state = before

    return swapped((Batch, "handle", on_what_was_read))


MUTANTS = (
    Mutant(
        "claim-not-asked",
        "a `once` effect begins behind a committed claim",
        "two deliveries of one task both act",
        _claim_not_asked,
    ),
    Mutant(
        "silence-is-consent",
        "without an answer the executor gives up",
        "the claim may have been another's",
        _silence_is_consent,
    ),
    Mutant(
        "claim-granted-to-anyone",
        "a claim is granted to one nonce, and every other is refused",
        "an effect happens twice",
        _granted_to_anyone,
    ),
    Mutant(
        "claim-granted-by-name",
        "the claimant is a nonce drawn for each delivery, never an executor's name",
        "an executor acts, dies, returns under its name, and is granted again",
        _granted_to_its_executor,
    ),
    Mutant(
        "claim-granted-before-the-commit",
        "a claim is committed before it is answered",
        "nobody remembers who holds it",
        _granted_before_the_commit,
    ),
    Mutant(
        "nonce-ignored",
        "the result of a claimed task carries its nonce",
        "who was refused says how it ended",
        _nonce_ignored,
    ),
    Mutant(
        "unknown-retried",
        "an unknown outcome is never tried again by itself",
        "the effect may have happened",
        _unknown_retried,
    ),
    Mutant(
        "attempt-ignored",
        "a command states the attempt that it is about",
        "copies of any age are applied again",
        _attempt_ignored,
    ),
    Mutant(
        "phase-ignored",
        "a result states the phase that it is about",
        "a copy of a plan ends what applies it",
        _phase_ignored,
    ),
    Mutant(
        "codes-not-checked",
        "a result carries the task's code",
        "any executor ends another's task",
        _codes_not_checked,
    ),
    Mutant(
        "trigger-id-with-its-place",
        "a trigger's id never includes where it stands in its stream",
        "a stream that is made again starts every run twice",
        _trigger_id_with_its_place,
    ),
    Mutant(
        "triggers-decided-again",
        "a trigger is decided on once for its id",
        "a copy starts its runs again",
        _triggers_decided_again,
    ),
    Mutant(
        "ids-not-derived",
        "ids are derived and never drawn",
        "nobody can say whether a run is there already",
        _ids_not_derived,
    ),
    Mutant(
        "retries-not-counted",
        "the scheduler counts attempts",
        "an attempt follows the last one",
        _retries_not_counted,
    ),
    Mutant(
        "batch-forgets-itself",
        "later messages of a batch see what earlier ones made of its states",
        "two messages of a batch are decided as if each were the only one",
        _batch_forgets_itself,
    ),
)
