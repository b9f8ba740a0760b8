"""Commands to a run: what can come, in any order, as often as it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from penstock_contracts.run.v1 import CancelRun, Verdict
from penstock_contracts.values import Failure, Phase, Wire
from penstock_core.run.approvals import targets_of
from penstock_core.run.state import NodeStatus
from penstock_testkit.builders.runs import ARTIFACT, PLAN, RunStory

ATTEMPTS = st.integers(1, 4)
NONCES = st.sampled_from(["n1", "n2"])
PHASES = st.sampled_from(Phase)
LOST = Failure(code="unknown_outcome")
FAILURES = (
    Failure(code="agent_failed", retryable=True),
    Failure(code="agent_failed"),
    Failure(code="base_changed", retryable=True),
    Failure(code="sandbox_failed", retryable=True),
    LOST,
)
DENIALS = (Verdict.REJECTED, Verdict.EXPIRED)

CHOICES = 20  # ways of answering

Command = Callable[[RunStory], Wire]


@dataclass(frozen=True, slots=True)
class Step:
    """Time passes (with or without timers), then a command comes; None: none does.

    A command may depend on how far the run has come by then: only so is every corner reached.
    """

    seconds: float
    timers: bool
    command: Command | None


def sequences(run: RunStory, most: int) -> st.SearchStrategy[list[Step]]:
    """Give up to so many steps; long ones as often as short ones, or few runs would get far."""
    one = _step(run)
    return st.integers(0, most).flatmap(lambda size: st.lists(one, min_size=size, max_size=size))


def _step(run: RunStory) -> st.SearchStrategy[Step]:
    """Give any step that a run may meet, sensible or not."""
    names = st.sampled_from(sorted(run.plan.nodes))
    odd = _any_command(run, names).map(_always)
    sensible = st.builds(_answer, names, st.integers(0, CHOICES - 1))
    cancel = st.just(_always(CancelRun(run_id=run.run_id, reason="enough")))
    drawn = st.integers(0, 39).flatmap(
        lambda n: cancel if n == 0 else st.none() if n < 4 else odd if n < 10 else sensible
    )
    seconds = st.sampled_from([0.0] * 6 + [1.0, 1.0, 15.0, 100.0])
    return st.builds(Step, seconds, st.booleans(), drawn)


def _always(command: Wire) -> Command:
    return lambda _run: command


def _any_command(run: RunStory, names: st.SearchStrategy[str]) -> st.SearchStrategy[Wire]:
    """Give commands that take no notice of the run: copies, late ones, nonsense."""
    return st.one_of(
        st.just(run.start_command),
        st.builds(
            lambda name, attempt, nonce, phase: run.result(name, attempt, nonce=nonce, phase=phase),
            names, ATTEMPTS, st.none() | NONCES, PHASES,
        ),
        st.builds(
            lambda name, attempt: run.result(name, attempt, phase=Phase.PLAN, plan=PLAN),
            names, ATTEMPTS,
        ),
        st.builds(
            lambda name, attempt, nonce, error, phase: run.result(
                name, attempt, nonce=nonce, error=error, phase=phase
            ),
            names, ATTEMPTS, st.none() | NONCES, st.sampled_from(FAILURES), PHASES,
        ),
        st.builds(
            lambda name, attempt, nonce, phase: run.result(
                name, attempt, nonce=nonce, phase=phase, artifacts=(ARTIFACT,)
            ),
            names, ATTEMPTS, st.none() | NONCES, PHASES,
        ),
        st.builds(
            lambda name, attempt, lost, phase: run.confirmation_of(
                name, attempt, lost=lost, phase=phase
            ),
            names, ATTEMPTS, st.sampled_from(("", "lost")), PHASES,
        ),
        st.just(run.restoration_of(ARTIFACT.digest)),
        st.builds(run.claim_of, names, ATTEMPTS, NONCES, PHASES),
        st.builds(run.started_of, names, ATTEMPTS, PHASES),
        st.builds(
            lambda name, attempt, verdict: run.verdict_of(name, verdict, "why", attempt=attempt),
            names, ATTEMPTS, st.sampled_from((Verdict.APPROVED, *DENIALS)),
        ),
        st.builds(
            lambda name, attempt, happened: run.settlement_of(name, attempt, happened=happened),
            names, ATTEMPTS, st.booleans(),
        ),
    )  # fmt: skip


def _answer(name: str, choice: int) -> Command:
    """Answer what the node waits for; if it is not its turn, the next one that waits."""

    def command(run: RunStory) -> Wire:
        names = sorted(run.state.nodes)
        place = names.index(name) if name in names else 0
        for one in (*names[place:], *names[:place]):
            answer = _answer_of(run, one, choice)
            if answer is not None:
                return answer
        return run.start_command

    return command


def _answer_of(run: RunStory, name: str, choice: int) -> Wire | None:
    node = run.state.nodes[name]
    match node.status:
        case NodeStatus.GATED:
            return _verdict(run, name, choice)
        case NodeStatus.STORING:
            lost = "nobody has it" if choice < 5 else ""
            return run.confirmation_of(name, node.attempt, lost=lost, phase=node.phase)
        case NodeStatus.UNKNOWN if choice < 6:
            return run.result(name, node.attempt, nonce=node.nonce, phase=node.phase)
        case NodeStatus.UNKNOWN:
            return run.settlement_of(name, node.attempt, happened=choice % 2 == 0)
        case NodeStatus.QUEUED | NodeStatus.RUNNING:
            return _result(run, name, choice)
        case _:
            return None


def _verdict(run: RunStory, name: str, choice: int) -> Wire:
    node = run.state.nodes[name]
    attempt = node.reviewed.gate_attempt
    targets = targets_of(run.plan.nodes[name], node)
    if targets and choice < 7:
        to = targets[choice % len(targets)]
        said = f"feedback {choice}"
        return run.verdict_of(name, Verdict.PUSHED_BACK, said, attempt=attempt, to=to)
    if choice == CHOICES - 1:
        return run.verdict_of(name, DENIALS[attempt % 2], "no", attempt=attempt)
    return run.verdict_of(name, Verdict.APPROVED, "yes", attempt=attempt)


def _result(run: RunStory, name: str, choice: int) -> Wire:
    node, once = run.state.nodes[name], not run.plan.nodes[name].repeats
    if once and node.phase is not Phase.PLAN and node.nonce is None:
        return run.claim_of(name, node.attempt, "n1", node.phase)
    if choice < len(FAILURES):
        error = FAILURES[choice]
        return run.result(name, node.attempt, nonce=node.nonce, phase=node.phase, error=error)
    plan = PLAN if node.phase is Phase.PLAN and choice < CHOICES - 1 else None
    left = (ARTIFACT,) if choice % 3 == 0 else ()
    return run.result(
        name, node.attempt, nonce=node.nonce, phase=node.phase, plan=plan, artifacts=left
    )
