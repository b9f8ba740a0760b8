"""Bodies that clients send. Unknown fields are refused, so that a typing error is seen."""

from pydantic import ConfigDict, Field

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.values import Digest, JsonObject, Name, NodeName, Wire
from penstock_webhook_gateway.http.access import Role

REASON_MAX = 4_096  # characters
GROUPS_MAX = 100  # that one principal is in


class Body(Wire):
    """A request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ManualTrigger(Body):
    """Start one workflow."""

    inputs: JsonObject = Field(default={})


class Cancellation(Body):
    """Stop a run."""

    reason: str = Field(default="", max_length=REASON_MAX)


class Settlement(Body):
    """Say whether the effect of an attempt happened whose outcome nobody knows.

    Attributes:
        attempt: that you looked into; refused if it is not the node's current one.
        output: the node's, if it happened.
    """

    happened: bool
    reason: str = Field(min_length=1, max_length=REASON_MAX)
    output: JsonObject = Field(default={})
    attempt: int | None = Field(default=None, ge=1)


class Decision(Body):
    """Decide on an approval.

    Attributes:
        reason: of a push back: the feedback.
        to: node that is to work again, of a push back; None: the only one the gate names.
        answers: to the gate's form.
        digest: of what you were shown; refused if that is not what would be executed.
    """

    decision: Choice
    reason: str = Field(default="", max_length=REASON_MAX)
    to: NodeName | None = None
    answers: JsonObject = Field(default={})
    digest: Digest | None = None


class NewToken(Body):
    """Issue an API token."""

    name: Name
    roles: tuple[Role, ...] = Field(min_length=1, max_length=len(Role))
    groups: tuple[Name, ...] = Field(default=(), max_length=GROUPS_MAX)
