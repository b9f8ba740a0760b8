"""Stored records taken apart, changed and put together again with numbers, versions and chain.

So that a history can break one promise and keep every other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from penstock_contracts.records import (
    EventMeta,
    StoredRecord,
    chain_hash,
    decode_state,
    encode_state,
    genesis_hash,
)


@dataclass(frozen=True, slots=True)
class Row:
    """An event without its place."""

    partition: str
    aggregate: str
    topic: str
    meta: EventMeta
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tape:
    """Events of all partitions, those of each in their order."""

    rows: tuple[Row, ...]
    partitions: tuple[str, ...]

    @classmethod
    def of(cls, store: Mapping[str, Sequence[StoredRecord]]) -> Self:
        """Take a store apart."""
        rows: list[Row] = []
        for partition, records in store.items():
            for record in records:
                meta, _, data = decode_state(record.state)
                rows.append(Row(partition, record.aggregate_id, record.topic, meta, data))
        return cls(tuple(rows), tuple(store))

    def find(self, topic: str, number: int = 0, **data: object) -> int:
        """Give the place of the event of a type (its middle name) with such data.

        Raises:
            IndexError: there are not so many.
        """
        found = [
            place
            for place, row in enumerate(self.rows)
            if row.topic.split(".")[1] == topic
            and all(row.data.get(key) == value for key, value in data.items())
        ]
        return found[number]

    def change(self, place: int, **data: object) -> Self:
        """Change fields of an event; None takes one away."""
        row = self.rows[place]
        merged = {key: value for key, value in {**row.data, **data}.items() if value is not None}
        return self.put(place, replace(row, data=merged))

    def mark(self, place: int, **meta: object) -> Self:
        """Change what stands beside an event's data."""
        row = self.rows[place]
        return self.put(place, replace(row, meta=replace(row.meta, **meta)))

    def put(self, place: int, row: Row) -> Self:
        """Replace an event."""
        return self._with((*self.rows[:place], row, *self.rows[place + 1 :]))

    def drop(self, *places: int) -> Self:
        """Take events away."""
        return self._with(tuple(r for place, r in enumerate(self.rows) if place not in places))

    def insert(self, place: int, *rows: Row) -> Self:
        """Put events in front of a place."""
        return self._with((*self.rows[:place], *rows, *self.rows[place:]))

    def move(self, place: int, to: int) -> Self:
        """Put the event at `place` in front of what is then at `to`."""
        return self.drop(place).insert(to, self.rows[place])

    def _with(self, rows: tuple[Row, ...]) -> Self:
        return replace(self, rows=rows)

    def store(self) -> dict[str, Sequence[StoredRecord]]:
        """Put everything together."""
        return {partition: self._records(partition) for partition in self.partitions}

    def _records(self, partition: str) -> Sequence[StoredRecord]:
        head, versions = genesis_hash(partition), dict[str, int]()
        records: list[StoredRecord] = []
        for n, row in enumerate((r for r in self.rows if r.partition == partition), 1):
            version = versions[row.aggregate] = versions.get(row.aggregate, 0) + 1
            state = encode_state(row.meta, head, dict(row.data))
            records.append(StoredRecord(row.aggregate, version, row.topic, state, partition, n, n))
            head = chain_hash(head, row.aggregate, version, row.topic, state)
        return records
