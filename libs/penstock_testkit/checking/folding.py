"""The gateway's rows, made from events by its own functions and by nothing else of it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from penstock_contracts.records import ReadEvent
from penstock_contracts.registry import kind_of, read_event
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.values import JsonObject
from penstock_core.decision import BrokenInvariant
from penstock_runtime.ports.projection import ViewKey, ViewRow
from penstock_webhook_gateway.answers import put_answer
from penstock_webhook_gateway.approval_views import apply_approval
from penstock_webhook_gateway.catalog_views import apply_catalog, apply_parking
from penstock_webhook_gateway.changes import Changes
from penstock_webhook_gateway.run_views import RunViews
from penstock_webhook_gateway.waiting import may_be_repeated

T = TypeVar("T")


class _NoRows:
    """Fulfils what `Changes` asks of a reader: everything is in the changes themselves."""

    async def get(self, kind: str, tenant: str, id: str) -> ViewRow | None:  # noqa: A002 - the port's
        """Give nothing."""
        return None

    async def get_many(self, kind: str, tenant: str, ids: Sequence[str]) -> Mapping[str, ViewRow]:
        """Give nothing."""
        return {}

    async def children(self, kind: str, tenant: str, parent: str) -> Sequence[ViewRow]:
        """Give nothing."""
        return ()

    async def children_of(
        self, kind: str, tenant: str, parents: Sequence[str]
    ) -> Mapping[str, Sequence[ViewRow]]:
        """Give nothing."""
        return {}

    async def page(
        self,
        kind: str,
        tenant: str,
        *,
        state: str | None = None,
        group: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> Sequence[ViewRow]:
        """Give nothing."""
        return ()

    async def find_prefix(
        self, kind: str, tenant: str, prefix: str, limit: int
    ) -> Sequence[ViewRow]:
        """Give nothing."""
        return ()


def rows_of(events: Sequence[ReadEvent]) -> Mapping[ViewKey, JsonObject]:
    """Fold events into rows.

    Partitions have no order among each other: the catalog's are applied first, since runs refer
    to it. What cannot be shown is left out, as the gateway does.
    """
    return _at_once(_rows_of(events))


async def _rows_of(events: Sequence[ReadEvent]) -> Mapping[ViewKey, JsonObject]:
    changes, runs = Changes(_NoRows()), RunViews()
    in_order = sorted(events, key=lambda event: event.partition != CATALOG_PARTITION)
    for event in in_order:
        try:
            await _apply(changes, runs, event)
        except (BrokenInvariant, ValueError, KeyError, TypeError):
            continue
    runs.flush(changes)
    return {row.key: row.body for row in changes.upserts}


async def _apply(changes: Changes, runs: RunViews, event: ReadEvent) -> None:
    body = read_event(event.topic, event.data)
    match kind_of(event.topic):
        case "run":
            await runs.apply(changes, event, body)
        case "approval":
            await apply_approval(changes, event, body)
        case "partition":
            await apply_parking(changes, event, body)
            if await runs.knows(changes, event):
                await runs.apply(changes, event, body)
        case _:
            await apply_catalog(changes, event, body)
    if may_be_repeated(event):
        await put_answer(changes, event)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing.

    Raises:
        RuntimeError: it does wait.
    """
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("a fold must not wait for anything")
