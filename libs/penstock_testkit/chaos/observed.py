"""What the clients of a disturbed stack did and were told, in memory and as lines of a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of one client.

    Attributes:
        kind: `trigger`, `publish`, `vote`, `cancel`, `settle`, `read` or `probe`.
        key: what it was about; the same for every repeat.
        began_s: monotonic seconds, as all times here.
        told: status of the answer, or the name of what went wrong.
        ok: whether it did what was asked. A trigger that is only delivered (202) has not.
    """

    kind: str
    key: str
    began_s: float
    ended_s: float
    told: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Promise:
    """A trigger of which a client was told that it is accepted.

    Attributes:
        trigger_id: as the store has it; '' where the client was not told.
        ends: statuses that its run may end with.
    """

    workflow: str
    run_id: str
    key: str
    trigger_id: str
    ends: tuple[str, ...]
    at_s: float


class Log:
    """Everything that was observed, each line of it written down at once."""

    def __init__(self, path: Path) -> None:
        """Begin a new file at `path`."""
        self.operations: list[Operation] = []
        self.promises: dict[str, Promise] = {}
        self.probes: dict[str, float] = {}
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def operation(self, operation: Operation) -> None:
        """Add a request."""
        self.operations.append(operation)
        self._write("operation", asdict(operation))

    def promise(self, promise: Promise) -> None:
        """Add an accepted trigger."""
        self.promises[promise.run_id] = promise
        self._write("promise", asdict(promise))

    def note(self, kind: str, **fields: object) -> None:
        """Add anything else, such as a fault."""
        self._write(kind, {"at_s": time.monotonic(), **fields})

    def _write(self, kind: str, fields: dict[str, object]) -> None:
        if not self._file.closed:  # a client that is cut short may still say so
            _ = self._file.write(json.dumps({"is": kind, **fields}) + "\n")


@dataclass(frozen=True, slots=True)
class Availability:
    """How many of some requests succeeded.

    Attributes:
        outage_s: longest time between two successes in a row.
    """

    asked: int
    done: int
    outage_s: float

    @property
    def share(self) -> float:
        """Part of the requests that succeeded; 1 if there were none."""
        return self.done / self.asked if self.asked else 1.0


def availability(
    operations: Iterable[Operation], from_s: float, to_s: float, kinds: Sequence[str]
) -> Availability:
    """Judge the requests of some kinds that began between two times."""
    chosen = [one for one in operations if one.kind in kinds and from_s <= one.began_s < to_s]
    marks = [from_s, *sorted(one.ended_s for one in chosen if one.ok and one.ended_s < to_s), to_s]
    pauses = [after - before for before, after in pairwise(marks)]
    return Availability(len(chosen), sum(one.ok for one in chosen), max(pauses))


def first_after(
    times: Iterable[tuple[float, float]], began_s: float, ended_s: float
) -> float | None:
    """Give the first success at or after `ended_s` of what was begun after `began_s`.

    Args:
        times: begin and success of each.
        began_s: what was begun before may have been done before the fault.
        ended_s: when the fault was over.
    """
    found = [done for begun, done in times if begun >= began_s and done >= ended_s]
    return min(found, default=None)
