"""Entry point of `penstock`; what needs no framework is answered before one is loaded."""

from __future__ import annotations

import sys

_LAST = 2  # arguments of `penstock serve NAME`


def main() -> int:
    """Run the command line; gives the process' exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from penstock_cli.version import version  # noqa: PLC0415 - nothing else is needed

        sys.stdout.write(f"penstock {version()}\n")
        return 0
    if len(arguments) == _LAST and arguments[0] == "serve" and not arguments[1].startswith("-"):
        from penstock_cli.services import run_known_service  # noqa: PLC0415 - starts sooner

        code = run_known_service(arguments[1])
        if code is not None:
            return code
    from penstock_cli.app import run  # noqa: PLC0415 - loads the framework

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
