"""Entry point: `python -m penstock_agent_security_scanner`."""

import sys

from penstock_agent_sdk import run_agent
from penstock_agent_security_scanner.models import ScanInput, ScanOutput
from penstock_agent_security_scanner.scan import scan


def _handle(task: ScanInput) -> ScanOutput:
    return scan(task)


if __name__ == "__main__":
    sys.exit(run_agent(ScanInput, ScanOutput, _handle))
