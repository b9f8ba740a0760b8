"""Entry point: `python -m penstock_agent_code_reviewer`."""

import sys

from penstock_agent_code_reviewer.models import ReviewInput, ReviewOutput
from penstock_agent_code_reviewer.review import reviewed
from penstock_agent_sdk import run_agent


def _handle(task: ReviewInput) -> ReviewOutput:
    return reviewed(task)


if __name__ == "__main__":
    sys.exit(run_agent(ReviewInput, ReviewOutput, _handle))
