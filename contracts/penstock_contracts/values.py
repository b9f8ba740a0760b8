"""Small value types shared by every contract, and the frozen model they are built on."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

DEFAULT_TENANT = "default"
SYSTEM_TENANT = "sys"  # reserved: markers and what belongs to no tenant
MICROSECONDS = 1_000_000  # per second; wire times are integer microseconds since the epoch

# One NATS subject token that is also safe as a file name and a label.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
NODE_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"  # no hyphen: a node's name is a CEL identifier as well

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NodeName = Annotated[str, StringConstraints(pattern=NODE_PATTERN)]
Id = Annotated[str, StringConstraints(min_length=36, max_length=36)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
TimeUs = Annotated[int, Field(ge=0, description="microseconds since the epoch, UTC")]
JsonObject = dict[str, JsonValue]


class Wire(BaseModel):
    """A frozen wire model that tolerates unknown fields when it is consumed."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_data(self) -> dict[str, Any]:
        """Give the JSON-ready dictionary, without fields that stand at their default."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class Phase(StrEnum):
    """What a task does: the only phase of an ordinary agent, or one of a risky agent's two."""

    RUN = "run"
    PLAN = "plan"
    APPLY = "apply"


class Failure(Wire):
    """Why something failed: a stable code, a sentence for people, and whether again may help.

    Attributes:
        partial: what an agent that was ended before its time had said it had so far, redacted
            and bounded; it was checked against nothing and is never an output.
    """

    code: str
    message: str = ""
    retryable: bool = False
    partial: JsonObject | None = None
