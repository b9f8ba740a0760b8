"""Run directed tests where a rule is missing; in a process of its own.

`python -m penstock_testkit.sim.mutants_directed NAME=TEST ...` prints a line of JSON for each: what
pytest has ended with, 1 where the test has noticed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

import pytest

from penstock_testkit.sim.mutants import all_mutants

OPTIONS = ("-q", "-p", "no:cacheprovider", "-x", "--no-header", "--tb=line")


def directed(name: str, test: str) -> tuple[int, str]:
    """Run a test without the rule that a mutant lacks; give pytest's exit code and last words.

    Raises:
        KeyError: there is no such mutant.
    """
    said = StringIO()
    with all_mutants()[name].apply(), redirect_stdout(said):
        code = int(pytest.main([*OPTIONS, test]))
    return code, said.getvalue()[-1_000:]


def main(arguments: Sequence[str]) -> None:
    """Run what is named."""
    for argument in arguments:
        name, _, test = argument.partition("=")
        code, said = directed(name, test)
        print(json.dumps({"mutant": name, "code": code, "said": said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
