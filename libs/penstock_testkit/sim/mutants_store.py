"""Without a rule of positioned consumption, of the one transaction, of time or of purging."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from penstock_adapters.memory.inbox import MemoryInbox
from penstock_adapters.memory.ledger import MemoryLedger
from penstock_adapters.memory.partitions import MemoryPartitions
from penstock_core.decision import Context
from penstock_runtime import purge as purging
from penstock_runtime.batch import Batch
from penstock_runtime.cells import Cell, Cells
from penstock_runtime.owner import Owner
from penstock_runtime.ports.inbox import Received
from penstock_runtime.ports.ledger import Commit, PartitionRow, Witness
from penstock_testkit.sim.mutants import Mutant, swapped

# What is replaced is not public; that is the point.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false

DEATH_S = 0.3  # of virtual time between two steps, in which a process may well die


def _position_first() -> AbstractContextManager[None]:
    commit = MemoryLedger.commit

    async def in_two_steps(self: MemoryLedger, given: Commit) -> Sequence[int]:
        row = self._partitions.expect(given.partition, given.epoch, given.commit_number)
        self._partitions.put(replace(row, positions=dict(given.positions)))
        await asyncio.sleep(DEATH_S)
        return await commit(self, given)

    return swapped((MemoryLedger, "commit", in_two_steps))


def _row_not_compared() -> AbstractContextManager[None]:
    expect = MemoryPartitions.expect

    def any_row(
        self: MemoryPartitions,
        partition: str,
        epoch: int,
        commit_number: int | None = None,
        n: int | None = None,
    ) -> PartitionRow:
        if commit_number is None and n is None:
            return expect(self, partition, epoch)
        return self.row(partition)

    return swapped((MemoryPartitions, "expect", any_row))


def _epoch_not_compared() -> AbstractContextManager[None]:
    expect = MemoryPartitions.expect

    def of_any_epoch(
        self: MemoryPartitions,
        partition: str,
        epoch: int,
        commit_number: int | None = None,
        n: int | None = None,
    ) -> PartitionRow:
        del epoch
        return expect(self, partition, self.row(partition).epoch, commit_number, n)

    return swapped((MemoryPartitions, "expect", of_any_epoch))


def _commit_number_not_compared() -> AbstractContextManager[None]:
    expect = MemoryPartitions.expect

    def of_any_number(
        self: MemoryPartitions,
        partition: str,
        epoch: int,
        commit_number: int | None = None,
        n: int | None = None,
    ) -> PartitionRow:
        del commit_number
        return expect(self, partition, epoch, None, n)

    return swapped((MemoryPartitions, "expect", of_any_number))


def _witness_without_time() -> AbstractContextManager[None]:
    def holds(self: MemoryInbox, name: str, position: Witness) -> bool:
        if not self._server.exists(name):
            return False
        stream = self._server.stream(name)
        same = stream.created_us == position.created_us
        return same and position.sequence <= stream.last_sequence

    return swapped((MemoryInbox, "_holds", holds))


def _witness_after_the_commit() -> AbstractContextManager[None]:
    async def consume(
        self: Owner, messages: Sequence[Received], *, presuming: bool = False
    ) -> bool:
        batch = await self._decide(messages, presuming=presuming)
        if batch is None:
            return False
        await self._commit(batch)
        return True

    return swapped((Owner, "_consume_together", consume))


def _witness_never() -> AbstractContextManager[None]:
    async def verify(self: Owner) -> None:
        del self

    return swapped((Owner, "_verify", verify))


def _incarnation_not_committed() -> AbstractContextManager[None]:
    commit = Owner._commit

    async def kept_in_memory(self: Owner, batch: Batch) -> None:
        moved_only = not batch.records and not batch.opened and not batch.closed
        anew = [w for w in batch.positions.values() if w.sequence == 0]
        if moved_only and anew:
            self.row = replace(self.row, positions=batch.positions)
            return
        await commit(self, batch)

    return swapped((Owner, "_commit", kept_in_memory))


def _timers_before_the_inbox() -> AbstractContextManager[None]:
    consume = Owner._consume

    async def fire_first(self: Owner, messages: Sequence[Received]) -> None:
        moment = self.parts.clock.now_us()
        if self._next_due is not None and self._next_due <= moment:
            await self._fire(moment)
        await consume(self, messages)

    async def patience(self: Owner) -> None:
        """Fire as soon as time has come, whatever waits in the inbox."""
        moment = self.parts.clock.now_us()
        if self._next_due is not None and self._next_due <= moment:
            await self._fire(moment)

    return swapped((Owner, "_consume", fire_first), (Owner, "_fire_behind", patience))


def _own_due_time_not_checked() -> AbstractContextManager[None]:
    def fire_timers(self: Batch, aggregate_id: str, cell: Cell, moment_us: int) -> None:
        due = cell.decider.own_due(cell.state)
        if due is None or cell.state.frozen:
            return
        now_us = max(due, moment_us)
        context = Context(now_us=now_us, command_id=f"timer/{now_us}", actor=self._actor())
        outcome: Any = cell.decider.decide(cell.state, self.domain.timer, context)
        events = getattr(outcome, "events", ())
        if events:
            self._append(aggregate_id, cell, events, context)

    return swapped((Batch, "_fire_timers", fire_timers))


def _timer_tells_another_time() -> AbstractContextManager[None]:
    def fire_timers(self: Batch, aggregate_id: str, cell: Cell, moment_us: int) -> None:
        due = cell.decider.own_due(cell.state)
        while due is not None and due <= moment_us and not cell.state.frozen:
            context = Context(now_us=moment_us, command_id=f"timer/{due}", actor=self._actor())
            outcome: Any = cell.decider.decide(cell.state, self.domain.timer, context)
            events = getattr(outcome, "events", ())
            if not events:
                return
            self._append(aggregate_id, cell, events, context)
            due = cell.decider.own_due(cell.state)

    return swapped((Batch, "_fire_timers", fire_timers))


def _index_not_lowered() -> AbstractContextManager[None]:
    reindex = Batch._reindex

    def keep(
        self: Batch, aggregate_id: str, cell: Cell, *, is_open: bool, dues: list[int], now_us: int
    ) -> None:
        if is_open and cell.bound is not None:
            return
        reindex(self, aggregate_id, cell, is_open=is_open, dues=dues, now_us=now_us)

    return swapped((Batch, "_reindex", keep))


def _caches_kept() -> AbstractContextManager[None]:
    commit = Owner._commit

    async def keep_first(self: Owner, batch: Batch) -> None:
        self.cells.keep(batch.cells)
        await commit(self, batch)

    def keep(self: Cells) -> None:
        del self

    return swapped((Owner, "_commit", keep_first), (Cells, "drop", keep))


def _purge_to_the_end() -> AbstractContextManager[None]:
    async def run(self: Any, positions: Mapping[str, Witness], now_us: int) -> None:  # noqa: ANN401
        del positions, now_us
        for source in self._sources:
            await self._inbox.purge(source, 1 << 60)

    return swapped((purging.PurgeMarks, "run", run))


def _purge_of_all_subjects() -> AbstractContextManager[None]:
    purge = MemoryInbox.purge

    async def whole_stream(self: MemoryInbox, source: Any, before_sequence: int) -> None:  # noqa: ANN401
        await purge(self, replace(source, subject_filter=">"), before_sequence)

    return swapped(
        (MemoryInbox, "purge", whole_stream), (purging, "MARGIN_US", 0), (purging, "EVERY_US", 1)
    )


def _purge_at_the_position() -> AbstractContextManager[None]:
    purge = MemoryInbox.purge

    async def too_far(self: MemoryInbox, source: Any, before_sequence: int) -> None:  # noqa: ANN401
        await purge(self, source, before_sequence + 1)

    return swapped(
        (MemoryInbox, "purge", too_far), (purging, "MARGIN_US", 0), (purging, "EVERY_US", 1)
    )


def _purge_without_margin() -> AbstractContextManager[None]:
    return swapped((purging, "MARGIN_US", 0), (purging, "EVERY_US", 1))


MUTANTS = (
    Mutant(
        "position-before-the-transaction",
        "events and positions are written in one transaction",
        "a death in between loses the messages that were passed",
        _position_first,
    ),
    Mutant(
        "row-not-compared",
        "the row is updated only where epoch and commit number are as read",
        "an owner that was paused wakes and commits over its successor",
        _row_not_compared,
    ),
    Mutant(
        "epoch-not-compared",
        "the epoch is compared in the transaction",
        "an owner commits behind a takeover that has not committed yet",
        _epoch_not_compared,
    ),
    Mutant(
        "commit-number-not-compared",
        "the commit number is compared in the transaction",
        "a commit that has landed and whose reply was lost is made again",
        _commit_number_not_compared,
    ),
    Mutant(
        "witness-without-time",
        "a position is a witness: the server time of its message",
        "a stream put back to an older copy uses sequences again, and what stands there is skipped",
        _witness_without_time,
    ),
    Mutant(
        "witness-not-before-the-commit",
        "the position that a batch starts from is checked before it commits",
        "the message at the new position makes a wrong witness right again",
        _witness_after_the_commit,
    ),
    Mutant(
        "witness-never",
        "positions are checked before each commit, before timers and every 10 s",
        "a stream that was cut and filled again is read on from the old sequence",
        _witness_never,
    ),
    Mutant(
        "incarnation-not-committed",
        "the start of a new incarnation is committed at once",
        "every check finds a new incarnation, and begins anew",
        _incarnation_not_committed,
        "liveness",
    ),
    Mutant(
        "timers-before-the-inbox",
        "due times are acted on once the inbox was seen empty",
        "a timer ends an attempt whose result waits, or denies a vote that came in time",
        _timers_before_the_inbox,
    ),
    Mutant(
        "own-due-time-not-checked",
        "`decide` checks the state's own due time: the index holds a lower bound",
        "a timer that is not due yet ends an attempt",
        _own_due_time_not_checked,
    ),
    Mutant(
        "timer-tells-another-time",
        "the `now` of a timer is its due time",
        "what happens depends on who was up, and when",
        _timer_tells_another_time,
    ),
    Mutant(
        "index-not-lowered",
        "the index of open aggregates holds a lower bound of the next due time",
        "what is due first is acted on late",
        _index_not_lowered,
    ),
    Mutant(
        "caches-kept-after-a-failed-commit",
        "no row updated: caches are dropped",
        "what was never committed is built upon",
        _caches_kept,
    ),
    Mutant(
        "purge-to-the-end",
        "a purge stays behind the position",
        "messages that nobody has read are gone",
        _purge_to_the_end,
    ),
    Mutant(
        "purge-of-all-subjects",
        "a purge is by the partition's own filter",
        "messages that a slower partition has not read are gone",
        _purge_of_all_subjects,
    ),
    Mutant(
        "purge-at-the-position",
        "a purge keeps the message at the position",
        "the witness is gone; whether the stream is the same nobody can tell any more",
        _purge_at_the_position,
    ),
    Mutant(
        "purge-without-margin",
        "a purge stays 15 min behind",
        "a store that is put back finds nothing to read again",
        _purge_without_margin,
    ),
)
