"""The one session an executor keeps with its engine, made again after it broke."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock_adapters.dagger.faults import EngineAway
from penstock_adapters.dagger.session import Session
from penstock_adapters.dagger.surroundings import installed_cli
from penstock_adapters.dagger.waits import Waits


class Connection:
    """Opens sessions, one at a time.

    Args:
        cli: The `dagger` program; None looks on PATH.
        engine: Runner host; None leaves the choice to the CLI.
        folder: Private folder for the CLI's files.
        waits: How long everything may take.
    """

    def __init__(self, cli: Path | None, engine: str | None, folder: Path, waits: Waits) -> None:
        self._cli = cli
        self._engine = engine
        self._folder = folder
        self._waits = waits
        self._opening: asyncio.Task[Session] | None = None
        self._opened = 0

    async def session(self) -> Session:
        """Give the session, opening one where there is none that works.

        Raises:
            EngineAway: None can be opened.
        """
        opening = self._opening
        if opening is None or (opening.done() and not _works(opening)):
            opening = self._opening = asyncio.create_task(self._reopen(opening))
            opening.add_done_callback(_works)  # looked at even if nobody waits any more
        return await asyncio.shield(opening)

    async def _reopen(self, old: asyncio.Task[Session] | None) -> Session:
        if old is not None and not old.cancelled() and old.exception() is None:
            await old.result().close()
        cli = self._cli or _installed()
        self._opened += 1
        folder = self._folder / f"cli-{self._opened}"
        folder.mkdir(mode=0o700)
        return await Session.open(cli, self._engine, folder, self._waits)

    async def close(self) -> None:
        """Close what is open."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        opening.cancel()
        await asyncio.wait({opening})
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close()


def _installed() -> Path:
    found = installed_cli()
    if found is None:
        raise EngineAway("no `dagger` program: set PENSTOCK_DAGGER_CLI, or put it on PATH")
    return found


def _works(opening: asyncio.Task[Session]) -> bool:
    return not opening.cancelled() and opening.exception() is None and opening.result().usable
