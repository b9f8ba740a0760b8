"""Stores as context managers: opened whole, or closed again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Opening(ABC):
    """A store that is used between `open` and `close`, or inside `async with`."""

    @abstractmethod
    async def open(self) -> None:
        """Check server and tables.

        Raises:
            UnsupportedServer: the server is older than PostgreSQL 17.
            SchemaOutdated: the database is not migrated.
            TransientFault: the server does not answer.
        """

    @abstractmethod
    async def close(self) -> None:
        """End threads and connections."""

    async def __aenter__(self) -> Self:
        """Open."""
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()
