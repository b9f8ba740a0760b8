"""Entry point: `python -m penstock_agent_compliance_checker`."""

import sys

from penstock_agent_compliance_checker.models import CheckInput, CheckOutput
from penstock_agent_compliance_checker.scan import check
from penstock_agent_sdk import run_agent


def _handle(task: CheckInput) -> CheckOutput:
    return check(task)


if __name__ == "__main__":
    sys.exit(run_agent(CheckInput, CheckOutput, _handle))
