"""Agents that plan first: what a person has seen and allowed is what `apply` is handed."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from penstock_agent_sdk.errors import AgentError
from penstock_agent_sdk.runner import InputT, OutputT, dumped, run_task, validated

PLAN_PHASE = "plan"
APPLY_PHASE = "apply"
MAX_SUMMARY_CHARS = 1_024

InputT_contra = TypeVar("InputT_contra", contravariant=True)
OutputT_co = TypeVar("OutputT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, and to what.

    The approval covers effect and base to the letter, and both are stored and shown: they hold no
    secret. Together they are at most 64 KiB of JSON.

    Attributes:
        effect: The change itself: a diff, files, commands. JSON.
        base: The state it was made against: blob ids, an ETag. JSON.
        summary: One line for people; not part of what is approved.
    """

    effect: Mapping[str, Any]
    base: Mapping[str, Any] = field(default_factory=dict[str, Any])
    summary: str = ""

    def as_output(self) -> dict[str, object]:
        """The content of the output file for this plan."""
        summary = " ".join(self.summary.split())[:MAX_SUMMARY_CHARS]
        plan = {"effect": dict(self.effect), "base": dict(self.base), "summary": summary}
        return {"plan": plan}


@dataclass(frozen=True, slots=True)
class Context:
    """What an agent is told besides its input.

    Attributes:
        phase: `run`, `plan` or `apply`.
        feedback: What an approver said who sent the work back; only while planning, and ''
            where nobody did.
        idempotency_key: The same over all attempts of a node; hand it to what you call.
    """

    phase: str = "run"
    feedback: str = ""
    run_id: str = ""
    workflow: str = ""
    node: str = ""
    attempt: int = 1
    task_id: str = ""
    idempotency_key: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "Context":
        """Read it from the environment that the executor sets."""
        told = os.environ if environment is None else environment
        attempt = told.get("PENSTOCK_ATTEMPT", "1")
        return cls(
            phase=told.get("PENSTOCK_PHASE", "run"),
            feedback=told.get("PENSTOCK_FEEDBACK", ""),
            run_id=told.get("PENSTOCK_RUN_ID", ""),
            workflow=told.get("PENSTOCK_WORKFLOW", ""),
            node=told.get("PENSTOCK_NODE", ""),
            attempt=int(attempt) if attempt.isdecimal() else 1,
            task_id=told.get("PENSTOCK_TASK_ID", ""),
            idempotency_key=told.get("PENSTOCK_IDEMPOTENCY_KEY", ""),
        )


class PlanningAgent(Protocol[InputT_contra, OutputT_co]):
    """An agent in two phases: an object, or a module, with these two functions."""

    def plan(self, task: InputT_contra, context: Context, /) -> "Plan | OutputT_co":
        """Say what would be done, without doing anything; an output: there is nothing to do."""
        ...

    def apply(self, task: InputT_contra, plan: Plan, context: Context, /) -> OutputT_co:
        """Do exactly what the approved plan says; never plan again."""
        ...


def run_planning_agent(
    input_model: type[InputT],
    output_model: type[OutputT],
    agent: PlanningAgent[InputT, OutputT],
    *,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run one phase of an agent that plans, and return the exit code for `sys.exit`.

    What is said of `run_agent` about errors and exit codes holds here too. `PENSTOCK_PHASE` says
    which phase; anything but `plan` or `apply` is a declared failure.

    Args:
        input_model: Validates the input; `apply` gets the same as `plan` did.
        output_model: What `apply` returns, and `plan` if there is nothing to apply.
        agent: Anything with the functions `plan` and `apply`.
        environment: As of `run_agent`.

    Raises:
        TypeError: The agent returned something else.
    """
    settings = os.environ if environment is None else environment
    context = Context.read(settings)

    def call(payload: object) -> str:
        if context.phase == PLAN_PHASE:
            said = agent.plan(validated(input_model, payload), context)
            if isinstance(said, Plan):
                return _encoded(said.as_output())
            return f'{{"output": {dumped(said, output_model)}}}'
        if context.phase == APPLY_PHASE:
            given, plan = _approved(payload)
            return dumped(agent.apply(validated(input_model, given), plan, context), output_model)
        raise AgentError("unknown_phase", f"this agent plans and applies; told was {context.phase}")

    return run_task(settings, call)


def _encoded(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _approved(payload: object) -> tuple[object, Plan]:
    match payload:
        case {"input": given, "plan": {"effect": dict() as effect, "base": dict() as base}}:
            return given, Plan(effect, base)
        case _:
            raise AgentError("invalid_input", "to apply, an input and the approved plan are needed")
