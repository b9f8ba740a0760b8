"""Base model of agent inputs and outputs."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class AgentModel(BaseModel):
    """Frozen, closed model: snake_case names, camelCase aliases accepted, unknown fields refused.

    Output is always written in snake_case.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        loc_by_alias=False,
    )
