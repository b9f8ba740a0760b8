"""Bodies that clients send. Unknown fields are refused, so that a typing error is seen."""

from pydantic import ConfigDict, Field

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.values import JsonObject, Name, Wire
from penstock_webhook_gateway.http.access import Role

REASON_MAX = 4_096  # characters


class Body(Wire):
    """A request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ManualTrigger(Body):
    """Start one workflow."""

    inputs: JsonObject = Field(default={})


class Cancellation(Body):
    """Stop a run."""

    reason: str = Field(default="", max_length=REASON_MAX)


class Decision(Body):
    """Decide on an approval."""

    decision: Choice
    reason: str = Field(default="", max_length=REASON_MAX)


class NewToken(Body):
    """Issue an API token."""

    name: Name
    roles: tuple[Role, ...] = Field(min_length=1, max_length=len(Role))
