"""Whether a task may be executed: what people approved must be exactly what it would do.

The message of a task comes over the bus, so nothing in it is believed because it is there. The
grant is signed by the approval service, whose public keys are in this executor's own settings;
it names the one attempt it is for, and the digests of agent, input, plan and base, which are
worked out here again from what is at hand.
"""

from datetime import UTC, datetime

from penstock_contracts.agent.v1 import Risk
from penstock_contracts.approval.v1 import Proposal
from penstock_contracts.codes import Code
from penstock_contracts.grant.v1 import Binding, Grant, SignedGrant
from penstock_contracts.ids import idempotency_key, task_id
from penstock_contracts.task.v1 import TaskMessage
from penstock_contracts.values import MICROSECONDS, Failure, Phase
from penstock_core.binding import bind, differences
from penstock_executor.intake import Delivery
from penstock_executor.outcomes import failed
from penstock_runtime.bundles import Bundle
from penstock_runtime.ports.clock import Clock
from penstock_runtime.ports.signing import GrantRefused, GrantVerifier

SETTING = "PENSTOCK_GRANT_KEYS"
_ASK_AGAIN = "start the run again, so that people decide on what is there now"


def needs_grant(task: TaskMessage, bundle: Bundle) -> bool:
    """Whether a person must have allowed this task; planning has no side effects."""
    if task.phase is Phase.APPLY or task.grant is not None:
        return True
    return task.phase is Phase.RUN and bundle.manifest.risk is Risk.APPROVAL_REQUIRED


class Grants:
    """Checks the grants of tasks.

    Args:
        verifier: None: this executor was given no keys, and refuses every task that needs one.
    """

    def __init__(self, verifier: GrantVerifier | None, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock

    def check(self, delivery: Delivery, bundle: Bundle) -> Grant | Failure:
        """Give the grant of a task that needs one, or what is wrong with it and how to mend it.

        Args:
            delivery: the task, of which nothing is believed yet.
            bundle: the agent as it is here, whose digest was compared with the task's.
        """
        task = delivery.task
        if self._verifier is None:
            return _refused(
                f"this executor has no key to check the approval of {task.agent} with: "
                f"set {SETTING} to the approval service's public keys"
            )
        if task.grant is None:
            return _refused(
                f"{task.agent} may run only when a person has allowed it, and the task carries no "
                f"grant: {_ASK_AGAIN}"
            )
        if task.phase is Phase.APPLY and task.plan is None:
            return _refused(f"the task carries no plan that could be applied: {_ASK_AGAIN}")
        grant = self._verified(self._verifier, task.grant)
        if isinstance(grant, Failure):
            return grant
        return (
            self._of_another(delivery, grant)
            or self.ended(grant)
            or _of_another_thing(task, bundle, grant)
            or grant
        )

    @staticmethod
    def _verified(verifier: GrantVerifier, signed: SignedGrant) -> Grant | Failure:
        try:
            return verifier.verify(signed)
        except GrantRefused as refusal:
            return _refused(f"{refusal}; {SETTING} names the keys that are trusted here")

    @staticmethod
    def _of_another(delivery: Delivery, grant: Grant) -> Failure | None:
        task = delivery.task
        # Without a plan people allow an input, which a later attempt of the node has in common.
        again = task.phase is Phase.RUN and grant.attempt < task.attempt
        compared = (
            ("tenant", grant.tenant, delivery.tenant),
            ("run", grant.run_id, task.run_id),
            ("node", grant.node, task.node),
            ("attempt", str(task.attempt if again else grant.attempt), str(task.attempt)),
        )
        wrong = [
            f"its {what} is {granted}, the task's {here}"
            for what, granted, here in compared
            if granted != here
        ]
        # What follows from these four is not in the grant; it must not be anybody's choice either.
        if task.task_id != task_id(task.run_id, task.node, task.attempt, task.phase.value):
            wrong.append("the task's id is not the one of its run, node, attempt and phase")
        if task.idempotency_key != idempotency_key(task.run_id, task.node):
            wrong.append("the task's idempotency key is not the one of its run and node")
        if not wrong:
            return None
        return _refused(
            f"the grant is for another task: {'; '.join(wrong)}. Each attempt needs its own "
            f"approval: {_ASK_AGAIN}"
        )

    def ended(self, grant: Grant) -> Failure | None:
        """Say that a grant has ended; None: what it allows may begin now."""
        now_us = self._clock.now_us()
        if now_us < grant.expires_us:
            return None
        return _refused(
            f"the grant ended at {_time(grant.expires_us)}, and it is {_time(now_us)} by this "
            "executor's clock: start a new run, or let grants last longer (the gate's `grant_for`)"
        )


def _of_another_thing(task: TaskMessage, bundle: Bundle, grant: Grant) -> Failure | None:
    proposal = Proposal(
        agent=bundle.manifest.name, agent_digest=bundle.digest, input=task.input, plan=task.plan
    )
    try:
        found = bind(proposal)
    except ValueError as error:
        return _refused(f"what the task would do has no digest: {error}")
    if found == grant.binding:
        return None
    parts = differences(grant.binding, found)
    named = "; ".join(_difference(part, grant.binding, found) for part in parts)
    named = named or "the digest of the whole is not that of its parts"
    return _refused(f"what was approved is not what the task would do: {named}. {_ASK_AGAIN}")


def _difference(part: str, approved: Binding, found: Binding) -> str:
    was, now = getattr(approved, part), getattr(found, part)
    return f"{part} was {_short(was)}, is {_short(now)}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // MICROSECONDS, UTC).isoformat()


def _refused(message: str) -> Failure:
    return failed(Code.GRANT_REFUSED, message)
