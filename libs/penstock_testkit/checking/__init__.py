"""Independent checkers over a history: what the services have stored, published, shown and done.

They judge a finished or a running history, of the simulation (memory adapters) as well as of real
processes (records from PostgreSQL, messages from JetStream). Apart from two checks whose names
say `by production code`, none of them uses a decider, a fold or a reader of the product: each
holds one promise against the bare facts, written a second time and as plainly as possible.

`History` is what is judged, and `check(history)` gives every `Violation`. A check is a function
`(History) -> Iterator[Violation]`; `CHECKS` names them all. What a history does not hold (None)
is not judged, so each of its fields says what is lost without it.

Modules: `history` and `facts` (what is judged, and read once), `structure` (numbers, versions,
chain), `run_ends`, `run_order`, `attempts`, `timing` (runs), `gates` and `votes` (people),
`triggers` and `delivered` (what was accepted), `effects` (what agents really did), `parking`,
`streams` (EVENTS and its markers), `views` and `folding` (the gateway), `outstanding` (the index
of open aggregates), `leaks` (secrets), `clients` (what was told outside). `memory` takes a
history from the adapters in memory.
"""

from penstock_testkit.checking.catalogue import CHECKS, Check, check
from penstock_testkit.checking.history import (
    Accepted,
    Effected,
    History,
    Observed,
    Published,
    Reported,
    Violation,
)

__all__ = [
    "CHECKS",
    "Accepted",
    "Check",
    "Effected",
    "History",
    "Observed",
    "Published",
    "Reported",
    "Violation",
    "check",
]
