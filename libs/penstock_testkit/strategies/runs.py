"""Commands to a run: what can come, in any order, as often as it likes."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from penstock_contracts.run.v1 import CancelRun, Verdict
from penstock_contracts.values import Failure, Wire
from penstock_testkit.builders.runs import RunStory

ATTEMPTS = st.integers(1, 3)
NONCES = st.sampled_from(["n1", "n2"])
FAILURES = st.sampled_from(
    [
        Failure(code="agent_failed", retryable=True),
        Failure(code="agent_failed"),
        Failure(code="sandbox_failed", retryable=True),
    ]
)


@dataclass(frozen=True, slots=True)
class Step:
    """Time passes (with or without timers), then a command comes; None: none does."""

    seconds: float
    timers: bool
    command: Wire | None


def steps(run: RunStory) -> st.SearchStrategy[Step]:
    """Give any step that a run may meet, sensible or not."""
    names = st.sampled_from(sorted(run.plan.nodes))
    commands = st.one_of(
        st.just(run.start_command),
        st.builds(
            lambda name, attempt, nonce: run.result(name, attempt, nonce=nonce),
            names, ATTEMPTS, st.none() | NONCES,
        ),
        st.builds(
            lambda name, attempt, nonce, error: run.result(name, attempt, nonce=nonce, error=error),
            names, ATTEMPTS, st.none() | NONCES, FAILURES,
        ),
        st.builds(run.claim_of, names, ATTEMPTS, NONCES),
        st.builds(run.started_of, names, ATTEMPTS),
        st.builds(run.verdict_of, names, st.sampled_from(Verdict), st.just("why")),
    )  # fmt: skip
    rare = st.just(CancelRun(run_id=run.run_id, reason="enough"))
    often = st.one_of(st.none(), commands, commands, commands, commands)
    drawn = st.integers(0, 19).flatmap(lambda number: rare if number == 0 else often)
    return st.builds(Step, st.sampled_from([0.0, 0.0, 1.0, 15.0, 100.0]), st.booleans(), drawn)
