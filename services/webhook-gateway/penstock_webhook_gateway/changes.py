"""Rows changed by one batch, over what the read model holds."""

from penstock_contracts.values import JsonObject
from penstock_runtime.ports.projection import ViewKey, ViewReader, ViewRow


class Changes:
    """Collects upserts and deletes; reads see them."""

    def __init__(self, reader: ViewReader) -> None:
        """Read through to `reader`."""
        self._reader = reader
        self._rows: dict[ViewKey, ViewRow | None] = {}

    async def get(self, kind: str, tenant: str, row_id: str) -> ViewRow | None:
        """Give a row as it stands in this batch."""
        key = (kind, tenant, row_id)
        if key in self._rows:
            return self._rows[key]
        return await self._reader.get(kind, tenant, row_id)

    async def children(self, kind: str, tenant: str, parent: str) -> list[ViewRow]:
        """Give the rows under `parent` as they stand in this batch."""
        rows = {row.key: row for row in await self._reader.children(kind, tenant, parent)}
        for key, row in self._rows.items():
            rows.pop(key, None)
            if row is not None and (row.kind, row.tenant, row.parent) == (kind, tenant, parent):
                rows[key] = row
        return sorted(rows.values(), key=lambda row: (row.sort_key, row.id))

    def put(self, row: ViewRow) -> None:
        """Insert or replace a row."""
        self._rows[row.key] = row

    def drop(self, kind: str, tenant: str, row_id: str) -> None:
        """Delete a row."""
        self._rows[(kind, tenant, row_id)] = None

    async def amend(self, kind: str, tenant: str, row_id: str, **body: object) -> None:
        """Change fields of a row's body; an absent row stays absent."""
        row = await self.get(kind, tenant, row_id)
        if row is None:
            return
        merged: JsonObject = {**row.body, **body}  # type: ignore[dict-item]
        state = merged.get("status", row.state)
        self.put(
            ViewRow(
                row.kind, row.tenant, row.id, row.parent, row.sort_key,
                state if isinstance(state, str) else row.state, row.group, merged,
            )
        )  # fmt: skip

    @property
    def upserts(self) -> list[ViewRow]:
        """Rows to write."""
        return [row for row in self._rows.values() if row is not None]

    @property
    def deletes(self) -> list[ViewKey]:
        """Keys to delete."""
        return [key for key, row in self._rows.items() if row is None]
