"""Look for the first seed that shows a mutant for what it is; in a process of its own.

`python -m penstock_testkit.sim.mutants_hunt 1000 NAME:SEED ...` prints a line of JSON for each:
the seed that is remembered is tried first, then all from 0 on. How far it has got is told on the
way.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from types import FrameType

from penstock_testkit.sim import run_seed
from penstock_testkit.sim.mutants import all_mutants

SEED_CPU_S = 4.0  # a mutant may turn for ever: such a seed shows nothing
TELL_EACH = 10  # seeds
NOBODY = "nobody"  # the name of the protocol as it is
BROKEN_OFF = frozenset({"crash", "defect"})
"""Checks that tell of no promise: the story came to an end in another way than its own."""


class Endless(KeyboardInterrupt):
    """A seed has taken too long.

    Of this kind, because a loop lets hardly another through from its callbacks.
    """


@dataclass(frozen=True, slots=True)
class Catch:
    """What a hunt has come to.

    Attributes:
        seed: the first that breaks a promise (of nobody: anything); None: none of them does.
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
    """Run seeds until one breaks a promise.

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
            if tried % TELL_EACH == 0:
                print(f"{name}: {tried} seeds, {endless} endless", file=sys.stderr, flush=True)
            try:
                with bounded(SEED_CPU_S):
                    found = run_seed(seed).violations
            except Endless:
                endless += 1
                continue
            checks = {one.check for one in found}
            if checks - (BROKEN_OFF if name != NOBODY else set()):
                detail = f"{found[0].where}: {found[0].detail}"[:300]
                return Catch(name, seed, tuple(sorted(checks)), detail, tried, endless)
    return Catch(name, tried=tried, endless=endless)


@contextmanager
def bounded(cpu_s: float) -> Iterator[None]:
    """Break off what computes for longer.

    Raises:
        Endless: it does.
    """

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, cpu_s)  # what is broken off may not end either
    try:
        yield
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
