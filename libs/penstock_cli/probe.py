"""The health check of a container: `python -m penstock_cli.probe live|ready`.

Asks this container's own service, and ends with 0 or 1. It is started every few seconds, so it
loads nothing but the standard library.
"""

from __future__ import annotations

import http.client
import os
import sys

LOOPBACK = "127.0.0.1"
PORT_VARIABLE = "PENSTOCK_OPS_PORT"
QUESTIONS = ("live", "ready")
ANSWER_WITHIN_S = 4.0
USAGE = 2


def ask(question: str, port: int) -> str:
    """Ask `/health/<question>`; gives what is wrong, empty when nothing is."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", f"/health/{question}")
        answer = connection.getresponse()
        text = answer.read(1024).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else f"{answer.status} {text}"


def main(arguments: list[str]) -> int:
    """Ask what the one argument names; gives the exit code."""
    port = os.environ.get(PORT_VARIABLE, "")
    if len(arguments) != 1 or arguments[0] not in QUESTIONS or not port.isdecimal():
        sys.stderr.write(f"usage: {PORT_VARIABLE}=PORT probe {'|'.join(QUESTIONS)}\n")
        return USAGE
    fault = ask(arguments[0], int(port))
    sys.stdout.write(fault)
    return int(bool(fault))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
