"""Start a service with its connections through our proxies; run as a script, never imported.

Usage: launched.py NAME CONTROL PROGRAM [ARGUMENT...]

CONTROL is a JSON file: `links` maps a service and a server to the port that stands for it,
`preload` and `clock` name the library and the file by which the process gets a clock of its own.
The pid stays the same, so whoever supervises it sees the service and nothing else.
"""

import json
import os
import re
import sys

VARIABLES = {
    "PENSTOCK_NATS_URL": "nats",
    "PENSTOCK_POSTGRES_URL": "postgres",
    "PENSTOCK_POSTGRES_OWNER_URL": "postgres",
}
_PLACE = re.compile(r"127\.0\.0\.1:\d+")


def main(arguments: list[str]) -> None:
    """Become the program, with a changed environment."""
    name, control, *command = arguments
    with open(control, encoding="utf-8") as source:  # noqa: PTH123 - started before every service
        told = json.load(source)
    environ = dict(os.environ)
    for variable, server in VARIABLES.items():
        port = told["links"].get(f"{name}/{server}")
        if port is not None and variable in environ:
            environ[variable] = _PLACE.sub(f"127.0.0.1:{port}", environ[variable])
    if told["preload"]:
        environ["LD_PRELOAD"] = told["preload"]
        environ["CHAOS_CLOCK"] = f"{told['clocks']}/{name}"
    # penstock: ignore[command-injection] -- becomes what the supervisor started, without a shell
    os.execve(command[0], command, environ)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
