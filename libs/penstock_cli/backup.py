"""`penstock backup`: the stores in one file, and a rehearsal of their return."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.status import StackState, read_status
from penstock_cli import backup_file
from penstock_cli.access import Access, access_of
from penstock_cli.backup_rehearsal import Rehearsal, rehearse
from penstock_cli.faults import CliFault
from penstock_cli.recover_place import faults_told, servers, state_folder
from penstock_cli.recover_progress import progress
from penstock_cli.stack_view import relative
from penstock_cli.terminal import counted, moment, plain, print_json, say, span

app = typer.Typer()


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write; with --rehearse, to read.")],
    rehearsal: Annotated[
        bool,
        typer.Option(
            "--rehearse",
            help="Restore FILE into a database server of its own, check all of it, remove it.",
        ),
    ] = False,
) -> None:
    """Back up the event stores and the durable artifacts, while services run or not.

    Each database is read in one snapshot. Not in the file: credentials and the key that approvals
    are signed with (keep a copy of the folder `credentials`), the streams and the read model
    (they are made again from the stores). The file is readable by you alone (0600).
    """
    access = access_of(context)
    folder = state_folder(access)
    if rehearsal:
        _rehearse(access, folder, file)
        return
    backup_file.check_target(file)  # before a server is started for it
    began = time.monotonic()
    with progress(access) as told:
        manifest = asyncio.run(_write(access, folder, file, told))
    took_s, size = time.monotonic() - began, file.stat().st_size
    if access.json:
        print_json({
            "file": str(file), "bytes": size, "events": manifest.events,
            "manifest_sha256": manifest.digest, "seconds": took_s,
        })  # fmt: skip
        return
    say(f"[green]backed up[/] {counted(manifest.events, 'event')} after {span(took_s)}")
    plain(f"{file}  {size:,} bytes  manifest sha256:{manifest.digest}")
    plain(f"not in it: {relative(folder.credentials)} (keep a copy), streams, read model")


async def _write(
    access: Access, folder: StateFolder, file: Path, told: backup_file.Told
) -> backup_file.Manifest:
    with faults_told():
        async with readable(access, folder) as urls:
            return await asyncio.to_thread(backup_file.write, file, urls, told)


@asynccontextmanager
async def readable(access: Access, folder: StateFolder) -> AsyncGenerator[Mapping[str, str]]:
    """Give the auditor's URLs by database; servers of the folder that do not run are started."""
    if read_status(folder).state is StackState.READY:
        yield {name: access.auditor_url(name) for name in backup_file.TABLES}
        return
    async with servers(folder) as endpoints:
        yield endpoints.auditor_urls


def _rehearse(access: Access, folder: StateFolder, file: Path) -> None:
    began = time.monotonic()
    live: Mapping[str, str] = {}
    if read_status(folder).state is StackState.READY:
        live = {name: access.auditor_url(name) for name in backup_file.TABLES}
    with progress(access) as told, faults_told():
        found = asyncio.run(rehearse(file, live, told))
    took_s = time.monotonic() - began
    if access.json:
        print_json({**_document(found), "seconds": took_s})
    else:
        _show(found, took_s)
    if found.faults:
        raise CliFault(
            f"{counted(len(found.faults), 'fault')}: {'; '.join(found.faults[:5])}",
            "take another backup, and keep this one: what is in it may still be of use",
        )


def _show(found: Rehearsal, took_s: float) -> None:
    plain(f"backup of {moment(found.created_us)}, restored and checked after {span(took_s)}")
    chains = counted(len(found.chains), "chain")
    plain(f"{chains} verified, {counted(found.events, 'event')}: {', '.join(found.chains)}")
    plain(f"{counted(found.aggregates, 'aggregate')} folded, {counted(found.runs, 'run')} of them:")
    for status, count in sorted(found.statuses.items()):
        plain(f"  {status}: {count}")
    plain(f"{counted(found.artifacts, 'artifact')}")
    if found.compared:
        plain(f"{counted(found.compared, 'run')} compared with the living store, by state hash")
    if not found.faults:
        say("[bold green]it would come back whole[/]")


def _document(found: Rehearsal) -> dict[str, object]:
    return {
        "created_us": found.created_us,
        "events": found.events,
        "chains": found.chains,
        "aggregates": found.aggregates,
        "runs": found.runs,
        "statuses": found.statuses,
        "artifacts": found.artifacts,
        "compared": found.compared,
        "state_hash": found.state_hash,
        "faults": found.faults,
    }
