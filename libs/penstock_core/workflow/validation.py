"""Validation of a whole definition, and of inputs against their schemas."""

from collections.abc import Mapping

from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import Problem, TriggerRule


def validate(document: JsonObject, agents: Mapping[str, AgentManifest]) -> tuple[Problem, ...]:
    """Give every problem of a definition at once; none: it may be stored and compiled."""
    raise NotImplementedError


def check_inputs(schema: JsonObject, inputs: JsonObject) -> str | None:
    """Say the first fault of `inputs` as one sentence with its place; None: they fit."""
    raise NotImplementedError


def with_defaults(schema: JsonObject, inputs: JsonObject) -> JsonObject:
    """Give `inputs` with the schema's top-level defaults filled in."""
    raise NotImplementedError


def match_rule(rule: TriggerRule, path: str, trigger: JsonObject) -> bool:
    """Tell whether a trigger on `path` starts the rule's workflow.

    Raises:
        ConditionError: the rule's condition failed.
    """
    raise NotImplementedError
