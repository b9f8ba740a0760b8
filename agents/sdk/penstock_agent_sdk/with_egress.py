"""Runs a program of any language with the network that its agent has.

    command: [python, -m, penstock_agent_sdk.with_egress, /penstock/agent/run]

The program finds `HTTP_PROXY` and `HTTPS_PROXY` set, which curl and most HTTP libraries honour;
the executor's proxy decides what is reachable. Its exit code is the agent's.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from penstock_agent_sdk.egress import open_egress
from penstock_agent_sdk.errors import AgentError
from penstock_agent_sdk.runner import DEFAULT_OUTPUT, EXIT_FAILED, declare_failure

NOT_FOUND = 127
_SIGNALLED = 128


def main(command: Sequence[str]) -> int:
    """Run the program to its end; gives its exit code."""
    try:
        _ = open_egress()
    except AgentError as failure:
        declare_failure(os.environ.get("PENSTOCK_OUTPUT", DEFAULT_OUTPUT), failure)
        return EXIT_FAILED
    try:
        # penstock: ignore[command-injection] -- starts what it is told to, without a shell
        program = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        return NOT_FOUND

    def pass_on(number: int, _frame: FrameType | None) -> None:
        program.send_signal(number)

    _ = signal.signal(signal.SIGTERM, pass_on)
    code = program.wait()
    return code if code >= 0 else _SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
