"""Without a rule of the relay, of a takeover, of its readers or of what is outstanding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from penstock_adapters import markers
from penstock_adapters.memory.relay import MemoryRelayLog
from penstock_contracts.codes import Code
from penstock_contracts.records import ReadEvent, StoredRecord
from penstock_contracts.subjects import parse
from penstock_contracts.trigger.v1 import ConfirmStart
from penstock_contracts.values import Wire
from penstock_core.approval import decide as approval_decide
from penstock_core.catalog import decider as catalog_decider
from penstock_core.decision import Context, Outcome, Stale
from penstock_core.run import decide as run_decide
from penstock_runtime.batch import Batch
from penstock_runtime.cells import Cell
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.ledger import OpenEntry, PartitionRow
from penstock_runtime.relay import Relay
from penstock_runtime.takeover import Takeover
from penstock_testkit.sim.links import LinkedRelayLog
from penstock_testkit.sim.mutants import Mutant, swapped
from penstock_webhook_gateway import projection
from penstock_webhook_gateway.projection import Projection

# What is replaced is not public; that is the point.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false


def _unconditional() -> AbstractContextManager[None]:
    store = MemoryRelayLog._store

    def anyhow(self: MemoryRelayLog, subject: str, payload: bytes, fence: tuple[str, int]) -> int:
        return store(self, subject, payload, (fence[0], self._events().last_on.get(fence[0], 0)))

    return swapped((MemoryRelayLog, "_store", anyhow))


def _marker_before_acks() -> AbstractContextManager[None]:
    async def store_each(
        self: LinkedRelayLog, messages: Sequence[tuple[str, bytes]], fence: tuple[str, int]
    ) -> int:
        last = 0
        for subject, payload in messages:
            if not self._link.dice.chance(self._link.weather.lost):
                last = self._store(subject, payload, fence)
        return last

    return swapped((LinkedRelayLog, "_store_each", store_each))


def _unit_not_repeated() -> AbstractContextManager[None]:
    publish = Relay._publish_unit

    async def once(self: Relay, unit: Sequence[StoredRecord]) -> None:
        try:
            await publish(self, unit)
        except TransientFault:
            if unit:
                self._done = unit[-1].n
            raise

    return swapped((Relay, "_publish_unit", once))


async def _always_valid(log: object, entry: object, marker: object) -> bool:
    del log, entry, marker
    return True


def _markers_believed() -> AbstractContextManager[None]:
    return swapped((markers, "_is_valid", _always_valid))


def _marker_not_read_again() -> AbstractContextManager[None]:
    async def look(self: Relay, *, force: bool = False) -> bool:
        del self, force
        return False

    return swapped((Relay, "_look", look))


def _relay_before_effects() -> AbstractContextManager[None]:
    offer = Relay.offer

    def at_once(self: Relay, records: Sequence[StoredRecord]) -> None:
        offer(self, records)
        if records:
            self.allow(records[-1].n)

    return swapped((Relay, "offer", at_once))


def _no_republishing() -> AbstractContextManager[None]:
    async def nothing(self: Takeover, relayed_n: int, last_n: int) -> None:
        del self, relayed_n, last_n

    return swapped((Takeover, "republish", nothing))


async def _no_sweep(self: Takeover) -> None:
    del self


def _sweep_absent() -> AbstractContextManager[None]:
    return swapped((Takeover, "sweep", _no_sweep))


def _ask_no_more(self: Batch, entry: OpenEntry, cell: Cell, moment_us: int) -> int | None:
    del self, entry
    return cell.decider.own_due(cell.state) or moment_us + 60_000_000


def _re_ask_absent() -> AbstractContextManager[None]:
    """Takeovers sweep as well, so that is taken out with it."""
    return swapped((Batch, "_ask_again", _ask_no_more), (Takeover, "sweep", _no_sweep))


def _decision_not_answered_again() -> AbstractContextManager[None]:
    return swapped((approval_decide, "answer", lambda _state: ()))


def _start_not_answered_again() -> AbstractContextManager[None]:
    start = run_decide._start

    def once(state: Any, command: Any, context: Context) -> Outcome:  # noqa: ANN401 - of the run
        outcome = start(state, command, context)
        return Stale(outcome.code) if isinstance(outcome, Stale) else outcome

    return swapped((run_decide, "_start", once))


def _claim_not_answered_again() -> AbstractContextManager[None]:
    claim = run_decide.claim

    def once(state: Any, command: Any, context: Context) -> Outcome:  # noqa: ANN401 - of the run
        outcome = claim(state, command, context)
        return Stale(outcome.code) if isinstance(outcome, Stale) else outcome

    return swapped((run_decide, "claim", once))


def _start_never_settled() -> AbstractContextManager[None]:
    decide = catalog_decider.CatalogDecider.decide

    def deaf(self: Any, state: Any, command: Wire, context: Context) -> Outcome:  # noqa: ANN401
        if isinstance(command, ConfirmStart):
            return Stale(Code.STALE)
        return decide(self, state, command, context)

    return swapped((catalog_decider.CatalogDecider, "decide", deaf))


class _AnyNumber(int):
    """Follows upon every number."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def _reads_anything() -> AbstractContextManager[None]:
    read = projection.event_in

    def any_event(message: Received) -> ReadEvent | None:
        event = read(message)
        return None if event is None else replace(event, n=_AnyNumber(event.n))

    return swapped((projection, "event_in", any_event))


def _waits_at_gaps() -> AbstractContextManager[None]:
    apply = Projection._apply

    async def not_past_a_gap(
        self: Projection, row: PartitionRow, messages: Sequence[Received]
    ) -> PartitionRow:
        expected = dict(self._seen)
        for message in messages:
            event = None if is_marker(message) else projection.event_in(message)
            if event is None:
                continue
            if event.n > expected.get(event.partition, 0) + 1:
                raise TransientFault("events are missing here: waiting for them")
            expected[event.partition] = max(event.n, expected.get(event.partition, 0))
        return await apply(self, row, messages)

    return swapped((Projection, "_apply", not_past_a_gap))


def is_marker(message: Received) -> bool:
    """Tell a marker from an event."""
    return parse(message.subject).kind == "relay"


MUTANTS = (
    Mutant(
        "marker-condition-absent",
        "every message of a unit is conditional on the previous marker's sequence",
        "an owner that was paused writes over what its successor has relayed",
        _unconditional,
    ),
    Mutant(
        "marker-before-acknowledgements",
        "the marker only after every message of its unit was acknowledged",
        "an event fails alone, the marker passes, and EVENTS has a hole that nobody looks for",
        _marker_before_acks,
    ),
    Mutant(
        "unit-not-repeated",
        "after any error the whole unit again",
        "what was not acknowledged is never relayed",
        _unit_not_repeated,
    ),
    Mutant(
        "markers-believed",
        "a marker whose last event or previous marker is not where it says is void",
        "sequences are used again after a cut, and a marker speaks of what is gone",
        _markers_believed,
    ),
    Mutant(
        "marker-not-read-again",
        "the owner reads the last marker when refused and every 10 s",
        "EVENTS that was cut short stays so",
        _marker_not_read_again,
    ),
    Mutant(
        "relay-before-effects",
        "events are relayed once their effects are out",
        "a marker says of effects that they are out, and they died with their owner",
        _relay_before_effects,
    ),
    Mutant(
        "effects-not-republished",
        "a takeover publishes the effects of every event behind the marker",
        "a decision dies before it is published, and nothing of it is outstanding",
        _no_republishing,
    ),
    Mutant(
        "sweep-absent",
        "a takeover asks again for everything that is outstanding",
        "what was lost is asked for later",
        _sweep_absent,
        "saved time",
    ),
    Mutant(
        "re-ask-absent",
        "whatever is outstanding is published again at its re-ask time",
        "a tail is lost above an intact witness, and one StartRun is gone",
        _re_ask_absent,
        "liveness",
    ),
    Mutant(
        "decision-not-answered-again",
        "who is asked for something settled answers again: decisions",
        "a decision that was lost never comes, and the gate hangs",
        _decision_not_answered_again,
        "liveness",
    ),
    Mutant(
        "start-not-answered-again",
        "who is asked for something settled answers again: starts",
        "a confirmation that was lost never comes, and the trigger stays open for ever",
        _start_not_answered_again,
        "liveness",
    ),
    Mutant(
        "claim-not-answered-again",
        "the same nonce is answered again",
        "an answer is lost, the executor gives up, and a person has to settle what never began",
        _claim_not_answered_again,
        "liveness",
    ),
    Mutant(
        "start-never-settled",
        "`StartRun` is settled by an answer",
        "every trigger stays in the index for ever",
        _start_never_settled,
        "liveness",
    ),
    Mutant(
        "reader-applies-anything",
        "readers apply event n = seen + 1",
        "a unit that comes twice is applied twice",
        _reads_anything,
    ),
    Mutant(
        "reader-waits-at-gaps",
        "readers never wait in front of a gap",
        "the repair lies behind it",
        _waits_at_gaps,
        "liveness",
    ),
)
