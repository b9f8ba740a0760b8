"""What becomes of a delivery, and of one that did not come to its own end."""

from dataclasses import dataclass, replace

from penstock_contracts.codes import Code
from penstock_executor.landing import NOTHING_LANDED, where_to_look
from penstock_executor.outcomes import Ending, failed
from penstock_executor.running import Interruption, Running
from penstock_runtime.ports.sandbox import ExitReason

DELAY_AWAY_S = 5.0  # what runs tasks was away; this executor looks again before it takes more


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The task goes back to the queue."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The task is acknowledged without a result: somebody else has settled it."""

    reason: str


Fate = Ending | GiveBack | Drop


class Away(Exception):
    """What runs agents is not there: `reason` is UNAVAILABLE or LOST, the message says more."""

    def __init__(self, reason: ExitReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def interrupted(running: Running) -> Fate:
    """Give the fate of a task that was ended from outside, before its outcome stood."""
    if running.interruption is Interruption.CANCELLED:
        return Drop("cancelled")
    if running.nonce is None:
        return GiveBack(0.0, "stopping")
    what = "the executor was stopped while the agent ran"
    if running.lands_in is not None:
        # Landing is never interrupted; whether the agent did anything else, a person has to say.
        return _unknown(f"{what}; {NOTHING_LANDED} ({running.lands_in})")
    return _unknown(f"{what}; the effect may have happened")


def left_alone(running: Running, away: Away) -> Fate:
    """Give the fate of a task whose sandbox was away before it began, or went away under it.

    A task without a claim goes back to the queue and costs no attempt. With one it cannot: nobody
    else would be let begin.
    """
    if running.nonce is None:
        return GiveBack(DELAY_AWAY_S, f"sandbox {away.reason.value}")
    if away.reason is ExitReason.UNAVAILABLE:
        message = f"nothing was started: {away}"
        return Ending(None, failed(Code.SANDBOX_FAILED, message, retryable=True))
    what = "what ran the agent went away"
    if running.lands_in is not None:
        return _unknown(f"{what}; {NOTHING_LANDED} ({running.lands_in})")
    return _unknown(f"{what}; the effect may have happened")


def cut_short(running: Running, fate: Fate) -> Fate:
    """Give the fate of a task whose agent was ended because its time was over.

    Where nobody but the agent itself could have had the effect, nobody else knows about it.
    """
    if not isinstance(fate, Ending) or running.nonce is None or running.lands_in is not None:
        return fate
    if fate.error is None or fate.error.code != Code.TIMEOUT_RUNNING:
        return fate
    what = f"the agent {fate.error.message} and was ended; the effect may have happened"
    return replace(fate, error=_unknown(what).error)


def broken(running: Running, error: Exception) -> Ending:
    """Give the fate of a task that ended by a defect of the executor, its sandbox or git."""
    # Only the type: the text of a foreign error may hold what must not be stored.
    kind = type(error).__name__
    if running.lands_in is not None and running.work is None:
        task = running.delivery.task
        what = "the executor failed while it landed the plan, which may be in the repository"
        return _unknown(f"{what} ({kind}): {where_to_look(task, running.lands_in)}")
    message = f"the sandbox failed: {kind}"
    if running.lands_in is not None:
        message = f"{message}; {NOTHING_LANDED}"
    elif running.nonce is not None:
        return _unknown("the executor failed while the agent ran; the effect may have happened")
    return Ending(None, failed(Code.SANDBOX_FAILED, message, retryable=True))


def _unknown(message: str) -> Ending:
    return Ending(None, failed(Code.UNKNOWN_OUTCOME, message))
