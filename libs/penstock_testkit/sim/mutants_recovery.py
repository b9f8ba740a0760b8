"""Without a rule of what is lost, or of what may never be written."""

from __future__ import annotations

from contextlib import AbstractContextManager

from penstock_contracts.records import genesis_hash
from penstock_core.catalog.library import Library
from penstock_core.redaction import Redactor
from penstock_runtime.faults import StoreRolledBack
from penstock_runtime.ports.bus import PlacedMarker
from penstock_runtime.relay import Relay
from penstock_testkit.sim.mutants import Mutant, swapped

# What is replaced is not public; that is the point.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false


def _put_back_not_noticed() -> AbstractContextManager[None]:
    resume = Relay._resume

    async def from_the_beginning(self: Relay) -> PlacedMarker | None:
        try:
            return await resume(self)
        except StoreRolledBack:
            self._fence = await self._log.last_sequence(self._partition)
            self._done, self._head = 0, genesis_hash(self._partition)
            return None

    return swapped((Relay, "_resume", from_the_beginning))


def _loss_forgotten() -> AbstractContextManager[None]:
    return swapped((Library, "was_lost", lambda _self, _at_us: False))


def _secrets_left_in() -> AbstractContextManager[None]:
    def nothing(self: Redactor, said: object) -> bool:
        del self, said
        return False

    looks = ("finds", "finds_in", "finds_form_in")
    return swapped(*((Redactor, look, nothing) for look in looks))


MUTANTS = (
    Mutant(
        "put-back-not-noticed",
        "a new owner compares the last marker with the store before its first commit",
        "it goes on from a store that has forgotten what the world has seen",
        _put_back_not_noticed,
    ),
    Mutant(
        "loss-forgotten",
        "what came before a recovery is doubted",
        "effects are repeated, and starts are taken for confirmed that are forgotten",
        _loss_forgotten,
    ),
    Mutant(
        "secrets-left-in",
        "secrets are taken out of everything that an agent emits",
        "they are stored for ever, in events that nobody may change",
        _secrets_left_in,
    ),
)
