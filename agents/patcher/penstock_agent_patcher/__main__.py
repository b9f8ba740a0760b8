"""Entry point: `python -m penstock_agent_patcher`, with the phase in `PENSTOCK_PHASE`."""

import sys

from penstock_agent_patcher.models import PatcherInput, PatcherOutput, Proposal
from penstock_agent_patcher.planning import apply_effect, propose
from penstock_agent_sdk.planning import Context, Plan, run_planning_agent


class Patcher:
    """Both phases; neither keeps anything between them."""

    def plan(self, task: PatcherInput, context: Context, /) -> Plan | PatcherOutput:
        """Make the change in the private clone; only its blobs stay there."""
        if context.feedback:
            # What a person wrote cannot be turned into another diff here: whoever made the input
            # gets it as `run.feedback` of the workflow.
            print(f"sent back with: {context.feedback!r}")
        made = propose(task)
        if isinstance(made, Proposal):
            return Plan(effect=made.effect(), summary=made.summary)
        return made

    def apply(self, task: PatcherInput, plan: Plan, context: Context, /) -> PatcherOutput:
        """Turn the approved diff into blobs; the executor makes the commit."""
        return apply_effect(task, plan.effect)


if __name__ == "__main__":
    sys.exit(run_planning_agent(PatcherInput, PatcherOutput, Patcher()))
