"""Look for the first seed that shows a mutant for what it is; in a process of its own.

`python -m penstock_testkit.sim.mutants_hunt 1000 NAME:SEED ...` prints a line of JSON for each:
the seed that is remembered is tried first, then all from 0 on.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from types import FrameType

from penstock_testkit.sim import run_seed
from penstock_testkit.sim.mutants import all_mutants

SEED_CPU_S = 4.0  # a mutant may turn for ever: such a seed shows nothing
NOBODY = "nobody"  # the name of the protocol as it is


class _Endless(BaseException):
    """A seed has taken too long."""


@dataclass(frozen=True, slots=True)
class Catch:
    """What a hunt has come to.

    Attributes:
        seed: the first that violates something; None: none of them does.
        checks: which.
        detail: the first violation.
        endless: seeds that were given up.
    """

    mutant: str
    seed: int | None = None
    checks: tuple[str, ...] = ()
    detail: str = ""
    tried: int = 0
    endless: int = 0


def hunt(name: str, seeds: Iterable[int]) -> Catch:
    """Run seeds until one violates something.

    Raises:
        KeyError: there is no such mutant.
    """
    logging.disable(logging.CRITICAL)
    apply: AbstractContextManager[None] = (
        nullcontext() if name == NOBODY else all_mutants()[name].apply()
    )
    tried = endless = 0
    with apply:
        for seed in seeds:
            tried += 1
            try:
                found = _bounded(seed)
            except _Endless:
                endless += 1
                continue
            if found:
                checks = tuple(sorted({check for check, _ in found}))
                return Catch(name, seed, checks, found[0][1][:300], tried, endless)
    return Catch(name, tried=tried, endless=endless)


def _bounded(seed: int) -> list[tuple[str, str]]:
    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise _Endless

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, SEED_CPU_S)
    try:
        return [(one.check, f"{one.where}: {one.detail}") for one in run_seed(seed).violations]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def hunt_each(wanted: Iterable[tuple[str, int]], last: int) -> Iterator[Catch]:
    """Hunt several mutants: each with the seed that is remembered first, then from 0 on."""
    for name, remembered in wanted:
        yield hunt(name, (remembered, *range(last)))


def main(arguments: Sequence[str]) -> None:
    """Hunt what is named, `NAME:SEED` each, after how many seeds each are tried at most."""
    for catch in hunt_each(map(_wanted, arguments[1:]), int(arguments[0])):
        print(json.dumps(asdict(catch)), flush=True)


def _wanted(argument: str) -> tuple[str, int]:
    name, _, seed = argument.partition(":")
    return name, int(seed or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
