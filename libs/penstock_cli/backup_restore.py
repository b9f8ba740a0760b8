"""`penstock restore`: the stores as a backup has them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_roles import owner_of
from penstock_cli import backup_file
from penstock_cli.access import access_of
from penstock_cli.faults import CliFault
from penstock_cli.rebuild import Journal
from penstock_cli.recover_place import opened, state_folder, stores_of
from penstock_cli.recover_progress import agreed, progress
from penstock_cli.terminal import counted, moment, plain, print_json, say, span
from penstock_runtime.faults import PenstockFault
from penstock_runtime.recovering_events import Told
from penstock_runtime.recovering_place import empty, held

app = typer.Typer()


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file of `penstock backup`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Replace the event stores and the artifacts by those of a backup; drop the read model.

    Only while no service runs. Checksums and every hash chain are verified before anything of a
    database is replaced for good. Then `penstock recover`: EVENTS and the world are ahead.
    """
    access = access_of(context)
    folder = state_folder(access)
    with backup_file.read(file) as found:
        when = moment(found.manifest.created_us)
        question = f"Replace everything in the stores {stores_of(folder)} by the backup of {when}?"
        agreed(question, yes=yes)
        began = time.monotonic()
        with progress(access) as told:
            found.check(told)
            Journal.of(folder).end()  # what a rebuild may have left is about another store
            asyncio.run(_restore(folder, found, told))
    took_s = time.monotonic() - began
    if access.json:
        print_json({"events": found.manifest.events, "seconds": took_s})
        return
    say(f"[green]restored[/] {counted(found.manifest.events, 'event')} after {span(took_s)}")
    plain("Next: `penstock recover`, before any service starts")


async def _restore(folder: StateFolder, found: backup_file.BackupFile, told: Told) -> None:
    async with opened(folder) as open_place, held(open_place.place):
        urls = {name: open_place.endpoints.postgres_urls[owner_of(name)] for name in _names()}
        try:
            await asyncio.to_thread(found.put_back, urls, told)
        except backup_file.NotRestored as not_restored:
            raise half_done(not_restored) from not_restored
        try:
            await empty(open_place.views)
        except PenstockFault as fault:
            raise CliFault(
                f"the stores were replaced, and the read model could not be emptied: {fault}",
                "start no service: mend that, then `penstock recover`, which empties it too",
            ) from fault


def half_done(not_restored: backup_file.NotRestored) -> CliFault:
    """Say which databases are those of the backup, and which are not."""
    if not not_restored.replaced:
        mend = "the stores are as they were; mend that, or take another backup, and restore again"
        return CliFault(f"nothing was restored: {not_restored}", mend)
    replaced = ", ".join(not_restored.replaced)
    return CliFault(
        f"only a part was restored: replaced: {replaced}; {not_restored}",
        "start no service: restore again, then `penstock recover`",
    )


def _names() -> list[str]:
    return list(backup_file.TABLES)
