"""Which fault happens when: drawn from a seed and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from penstock_testkit.chaos.stack import LINKS, TARGETS
from penstock_testkit.stack import SERVICES

LANES = 2  # so many faults overlap
FIRST_S = 4.0
CALM_S = (3.0, 15.0)  # between two faults of a lane: work has to get a chance
RESTART_S = 8.0  # what a restart is taken to last, so that the next fault meets a running process
LONG_PAUSE_S = (12.0, 18.0)  # longer than any lease


class Kind(StrEnum):
    """What the nemesis does."""

    KILL = "kill"
    KILL_ALL = "kill-all"
    RESTART = "restart"
    PAUSE = "pause"
    LONG_PAUSE = "long-pause"
    CUT = "cut"
    HOLE = "black-hole"
    SLOW = "slow"
    LOSE_JETSTREAM = "lose-jetstream"
    OLD_JETSTREAM = "old-jetstream"
    SKEW = "skew"
    FULL_DISK = "full-disk"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the plan.

    Attributes:
        at_s: seconds after the beginning.
        target: a process, a link `service/server`, or `everything`.
        hold_s: how long it lasts; 0 where it is over at once.
        size: seconds of delay or of a wrong clock; 0 otherwise.
    """

    number: int
    at_s: float
    kind: Kind
    target: str
    hold_s: float = 0.0
    size: float = 0.0

    @property
    def line(self) -> str:
        """The fault as one line of the log."""
        size = f" by {self.size:+.2f} s" if self.size else ""
        hold = f" for {self.hold_s:.1f} s" if self.hold_s else ""
        return f"#{self.number} {self.kind} {self.target}{size}{hold}"

    @property
    def needs(self) -> frozenset[str]:
        """What no other fault may disturb meanwhile."""
        return frozenset(TARGETS) if self.target == "everything" else frozenset((self.target,))


GENTLE: frozenset[Kind] = frozenset((Kind.KILL, Kind.RESTART, Kind.PAUSE, Kind.CUT, Kind.SLOW))
EVERY: frozenset[Kind] = frozenset(Kind)
_TWICE = 2  # what happens to one target only comes up more often


def _deck(kinds: Collection[Kind]) -> list[tuple[Kind, str]]:
    """Give each kind with each of its targets."""
    found: list[tuple[Kind, str]] = []
    for kind in sorted(kinds):
        match kind:
            case Kind.KILL | Kind.RESTART | Kind.PAUSE | Kind.LONG_PAUSE:
                found += [(kind, target) for target in TARGETS]
            case Kind.CUT | Kind.HOLE | Kind.SLOW:
                found += [(kind, link) for link in LINKS]
            case Kind.SKEW:
                found += [(kind, service) for service in SERVICES]
            case Kind.LOSE_JETSTREAM | Kind.OLD_JETSTREAM | Kind.FULL_DISK:
                found += [(kind, "nats")] * _TWICE
            case Kind.KILL_ALL:
                found.append((kind, "everything"))
    return found


def _drawn(number: int, at_s: float, kind: Kind, target: str, dice: Random) -> Fault:
    hold_s = size = 0.0
    match kind:
        case Kind.PAUSE:
            hold_s = dice.uniform(0.5, 5.0)
        case Kind.LONG_PAUSE:
            hold_s = dice.uniform(*LONG_PAUSE_S)
        case Kind.CUT:
            hold_s = dice.uniform(0.3, 8.0)
        case Kind.HOLE:
            hold_s = dice.uniform(2.0, 16.0)
        case Kind.SLOW:
            hold_s, size = dice.uniform(3.0, 10.0), dice.choice((0.02, 0.1, 0.3))
        case Kind.OLD_JETSTREAM:
            hold_s = dice.uniform(2.0, 10.0)
        case Kind.SKEW:
            sign = dice.choice((-1, 1))
            hold_s, size = dice.uniform(5.0, 15.0), sign * dice.choice((0.5, 5.0, 40.0))
        case Kind.FULL_DISK:
            hold_s = dice.uniform(2.0, 8.0)
        case Kind.KILL | Kind.KILL_ALL | Kind.RESTART | Kind.LOSE_JETSTREAM:
            pass
    return Fault(number, round(at_s, 2), kind, target, round(hold_s, 2), size)


def plan(
    seed: int,
    lasts_s: float,
    kinds: Collection[Kind] = EVERY,
    lanes: int = LANES,
    calm_s: tuple[float, float] = CALM_S,
) -> Sequence[Fault]:
    """Draw the faults of a run that lasts so long, by their time.

    Each lane goes through a shuffled deck of every kind with every target, so that a run of a few
    minutes has met all of them. Two faults never share a target at the same time.
    """
    dice = Random(f"{seed}/plan")  # noqa: S311 - the same plan every time
    deck: list[tuple[Kind, str]] = []
    free = dict.fromkeys((*TARGETS, *LINKS), 0.0)
    clock = [FIRST_S + 3.0 * lane for lane in range(lanes)]
    faults: list[Fault] = []
    while True:
        lane = min(range(lanes), key=lambda number: clock[number])
        if clock[lane] >= lasts_s:
            return sorted(faults, key=lambda fault: fault.at_s)
        if not deck:
            deck = _deck(kinds)
            dice.shuffle(deck)
        kind, target = deck.pop()
        fault = _drawn(len(faults) + 1, clock[lane], kind, target, dice)
        begins = max(clock[lane], *(free[name] for name in fault.needs))
        fault = Fault(fault.number, round(begins, 2), kind, target, fault.hold_s, fault.size)
        lasts = max(fault.hold_s, RESTART_S if not fault.hold_s else 0.0)
        if kind in (Kind.OLD_JETSTREAM, Kind.FULL_DISK):
            lasts += RESTART_S
        if begins + lasts < lasts_s:
            faults.append(fault)
            for name in fault.needs:
                free[name] = begins + lasts
        clock[lane] = begins + lasts + dice.uniform(*calm_s)
