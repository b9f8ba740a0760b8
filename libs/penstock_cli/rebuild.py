"""`penstock rebuild`: what is derived from the stores is thrown away and made again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.embedded.home import StateFolder, read_object, write_private
from penstock_cli.access import Access, access_of
from penstock_cli.faults import CliFault
from penstock_cli.rebuild_views import Compared, rebuild_views
from penstock_cli.recover_place import OpenPlace, events_of, opened, state_folder, stores_of
from penstock_cli.recover_progress import agreed, progress
from penstock_cli.terminal import counted, plain, print_json, say, span
from penstock_runtime.recovering_events import Told, quietly
from penstock_runtime.recovering_place import Place, held
from penstock_runtime.recovering_streams import (
    Logs,
    Relayed,
    Rows,
    proven,
    rebuild_streams,
    relay_anew,
)

app = typer.Typer(
    no_args_is_help=True, help="Make EVENTS, or the read model, again from the stores."
)
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def streams(context: typer.Context, yes: Yes = False) -> None:
    """Delete what EVENTS holds and publish it again, in store order, with valid markers.

    Only while no service runs. Consumers of EVENTS stay, and may begin at its first message. Ended
    in the middle, it goes on when it is called again; and so do the services when they start.
    """
    access = access_of(context)
    folder = state_folder(access)
    question = f"Delete all messages of EVENTS {events_of(folder)}, and publish them again?"
    agreed(question, yes=yes)
    began = time.monotonic()
    with progress(access) as told:
        done, resumed = asyncio.run(_streams(folder, told))
    took_s = time.monotonic() - began
    if access.json:
        print_json({
            "events": done.events, "left": done.left, "resumed": resumed, "seconds": took_s,
        })  # fmt: skip
        return
    if resumed:
        plain("gone on with what was begun before")
    say(f"[green]EVENTS holds {counted(done.events, 'event')}[/] after {span(took_s)}")
    if done.left:
        plain(f"{counted(done.left, 'event')} more will follow when the services start")


async def _streams(folder: StateFolder, told: Told) -> tuple[Relayed, bool]:
    async with opened(folder) as open_place, held(open_place.place) as rows:
        journal = Journal.of(folder)
        return await rebuilt(open_place.place, open_place.logs, rows, journal, told)


async def rebuilt(
    place: Place, logs: Logs, rows: Rows, journal: Journal, told: Told = quietly
) -> tuple[Relayed, bool]:
    """Empty EVENTS and publish it again, or go on with that; gives what is out, and which it was.

    Raises:
        Fenced: a service has begun to relay.
        StoreRolledBack: EVENTS and a store contradict each other: nothing was deleted.
        TransientFault: a server does not answer.
    """
    # What was remembered may be of long ago: a store that was put back is seen in any case.
    up_to = await proven(place, logs, rows)
    known = journal.read()
    if known is not None and not known.goes_on(await _markers(place, logs, rows)):
        known = None
    if known is not None and known.emptied:
        done = await relay_anew(place, logs, rows, known.up_to, told)
    else:
        up_to = known.up_to if known else up_to
        journal.write(Begun(up_to, emptied=False))
        done = await rebuild_streams(
            place, logs, rows, up_to, lambda: journal.write(Begun(up_to, emptied=True)), told
        )
    journal.end()
    return done, known is not None


async def _markers(place: Place, logs: Logs, rows: Rows) -> dict[str, int]:
    """Give n of the last marker of each partition that EVENTS has one of."""
    found: dict[str, int] = {}
    for store in place.stores:
        for partition in rows[store.name]:
            placed = await logs[store.name].last_marker(partition)
            if placed is not None and placed.marker.last:
                found[partition] = placed.marker.last
    return found


async def relay_after(open_place: OpenPlace, up_to: Mapping[str, int], told: Told) -> Relayed:
    """Fill EVENTS, which is empty, as far as an owner is not needed."""
    async with held(open_place.place) as rows:
        return await relay_anew(open_place.place, open_place.logs, rows, up_to, told)


@app.command()
def projections(context: typer.Context, yes: Yes = False) -> None:
    """Drop the gateway's read model, fold it again from the stores, and compare all runs.

    Only while no service runs. Every run's hash in the read model is compared with a fold of the
    store by the core alone; exit code 1 when one differs.
    """
    access = access_of(context)
    folder = state_folder(access)
    agreed(f"Drop the read model {stores_of(folder)}, and fold it again?", yes=yes)
    began = time.monotonic()
    with progress(access) as told:
        done = asyncio.run(_projections(folder, told))
    took_s = time.monotonic() - began
    _show_compared(access, done, took_s)


async def _projections(folder: StateFolder, told: Told) -> Compared:
    async with opened(folder) as open_place:
        return await rebuild_views(open_place, told)


def _show_compared(access: Access, done: Compared, took_s: float) -> None:
    if access.json:
        print_json({
            "events": done.events, "runs": done.runs, "differing": list(done.differing),
            "read_model_hash": done.view_hash, "store_hash": done.store_hash, "seconds": took_s,
        })  # fmt: skip
    else:
        folded = f"{counted(done.events, 'event')} folded after {span(took_s)}"
        plain(f"{folded}, {counted(done.runs, 'run')} compared")
        plain(f"hash of the read model          {done.view_hash}")
        plain(f"hash of a fold of the store     {done.store_hash}")
        if not done.differing:
            say("[bold green]equal[/]: the read model is what the stored events give")
    if done.differing:
        raise CliFault(
            f"{counted(len(done.differing), 'run')} of the read model differ from the store: "
            + ", ".join(done.differing[:5]),
            "this is a defect; `penstock replay RUN` shows what the store says",
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """A rebuild of EVENTS that has begun.

    Attributes:
        up_to: n of each partition up to which its markers were valid.
        emptied: whether EVENTS has been emptied.
    """

    up_to: Mapping[str, int]
    emptied: bool

    def goes_on(self, markers: Mapping[str, int]) -> bool:
        """Tell whether EVENTS, with these last markers, is still as this rebuild left it.

        It is not once somebody has published beyond its end, or all of it: then it is history.
        """
        if any(last > self.up_to.get(partition, 0) for partition, last in markers.items()):
            return False
        return any(markers.get(partition, 0) < n for partition, n in self.up_to.items())


@dataclass(frozen=True, slots=True)
class Journal:
    """Remembers a rebuild of EVENTS that may be ended in the middle: its markers are gone then."""

    path: Path

    @classmethod
    def of(cls, folder: StateFolder) -> Journal:
        """Give the journal of a state folder."""
        return cls(folder.run / "rebuilding.json")

    def read(self) -> Begun | None:
        """Give what was begun, if it has not ended."""
        found = read_object(self.path)
        if found is None:
            return None
        up_to = found.get("up_to")
        if not isinstance(up_to, dict):
            return None
        return Begun({str(k): int(str(v)) for k, v in up_to.items()}, found.get("emptied") is True)

    def write(self, begun: Begun) -> None:
        """Remember."""
        document = {"up_to": dict(begun.up_to), "emptied": begun.emptied}
        write_private(self.path, json.dumps(document) + "\n")

    def end(self) -> None:
        """Forget: it is done."""
        self.path.unlink(missing_ok=True)
