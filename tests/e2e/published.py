"""EVENTS compared with the stores it is made from."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from penstock_adapters.nats.tail import NatsStreamTail
from penstock_contracts.records import ReadEvent, read_published
from penstock_contracts.subjects import parse
from penstock_testkit.stack import RunningStack

WAIT_S = 60.0
STORES = {"penstock_scheduler": ("catalog", "run-0"), "penstock_approval": ("approval",)}


async def published(stack: RunningStack) -> dict[str, list[ReadEvent]]:
    """Read EVENTS until it holds what is in the stores now; gives the events by partition.

    As its readers do: a unit whose acknowledgement was lost, or whose owner was overtaken within
    it, is published again, so that copies may follow; who counts passes over them.
    """
    found: dict[str, list[ReadEvent]] = defaultdict(list)
    wanted = {name: len(stack.partition(name, db)) for db in STORES for name in STORES[db]}
    tail = NatsStreamTail(await stack.bus())
    async with asyncio.timeout(WAIT_S), tail.follow("EVENTS", ">") as messages:
        async for message in messages:
            if parse(message.subject).kind == "event":
                event = read_published(message.payload)
                if event.n == len(found[event.partition]) + 1:
                    found[event.partition].append(event)
            if all(len(found[name]) >= wanted[name] for name in wanted):
                return found
    raise AssertionError("EVENTS has ended")


async def assert_events_are_the_store(stack: RunningStack) -> None:
    """EVENTS holds each partition's events in the order of the store, without a gap."""
    found = await published(stack)
    for database, partitions in STORES.items():
        for name in partitions:
            stored = stack.partition(name, database)
            assert [event.n for event in stored] == list(range(1, len(stored) + 1))
            assert found[name][: len(stored)] == stored
