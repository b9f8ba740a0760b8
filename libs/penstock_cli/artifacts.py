"""`penstock artifacts`: list what a run's nodes left, and fetch it, held to its digest."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from penstock_cli.access import access_of
from penstock_cli.client import Api, Json, with_api
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import err, out, plain, print_json, say, table
from penstock_cli.visible import one_line

app = typer.Typer(no_args_is_help=True, help="List and fetch what agents left.")
DIGEST = "sha256:"
SHOWN_DIGEST = len(DIGEST) + 12
_UNFINISHED = ".part"


@app.command("list")
def list_artifacts(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.", metavar="RUN")],
) -> None:
    """List the artifacts of a run."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("runs", run, "artifacts"))
    if access.json:
        print_json(answer)
        return
    drawn = table("node", "name", "size", "type", "digest")
    for item in answer["items"]:
        drawn.add_row(
            one_line(item["node"]), one_line(item["name"]), decimal(item["size"]),
            one_line(item["media_type"]), str(item["digest"])[:SHOWN_DIGEST],
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("no agent left anything")


@app.command("get")
def get_artifact(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(help="An artifact's digest, or a run.", metavar="DIGEST|RUN")
    ],
    name: Annotated[
        str, typer.Argument(help="Of a run: the artifact's name.", metavar="NAME")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write [its own name].")
    ] = None,
    node: Annotated[
        str, typer.Option("--node", help="The node that left it, where several left that name.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Fetch an artifact into a file, which is there only once its digest was checked."""
    access = access_of(context)

    async def fetch(api: Api) -> Json:
        item = await _found(api, what, name, node)
        target = output or Path(str(item["name"]).rpartition("/")[2] or "artifact")
        if target.exists() and not force:
            raise CliFault(f"{target} is there already", "give --force, or another file with -o")
        size = await _save(api, str(item["digest"]), target)
        return {**item, "file": str(target), "size": size}

    item = with_api(access, fetch)
    if access.json:
        print_json(item)
    else:
        plain(f"{item['file']}  {decimal(item['size'])}  {item['digest']}")


async def _found(api: Api, what: str, name: str, node: str) -> Json:
    """Find out which artifact is meant.

    Raises:
        CliFault: none, or several.
    """
    if what.startswith(DIGEST):
        return {"digest": what, "name": what.removeprefix(DIGEST)}
    if not name:
        raise CliFault(
            "which artifact of the run?", f"see `penstock artifacts list {what}`", ExitCode.USAGE
        )
    items = (await api.get("runs", what, "artifacts"))["items"]
    found = [one for one in items if one["name"] == name and node in ("", one["node"])]
    if not found:
        mend = f"see `penstock artifacts list {what}`"
        raise CliFault(f"the run has no artifact {name!r}", mend, ExitCode.NOT_FOUND)
    if len({one["digest"] for one in found}) > 1:
        nodes = ", ".join(str(one["node"]) for one in found)
        raise CliFault(f"several nodes left {name!r}: {nodes}", "name one with --node")
    return found[0]


async def _save(api: Api, digest: str, target: Path) -> int:
    """Write beside the target, and put it in its place once it is what it should be."""
    unfinished = target.with_name(target.name + _UNFINISHED)
    hashing, size = hashlib.sha256(), 0
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        console=err, disable=not sys.stderr.isatty(), transient=True,
    )  # fmt: skip
    try:
        async with api.fetch("artifacts", digest) as content:
            with bar, unfinished.open("wb") as file:
                task = bar.add_task(target.name, total=content.size)
                async for piece in content.pieces:
                    _ = file.write(piece)
                    hashing.update(piece)
                    size += len(piece)
                    bar.update(task, completed=size)
        if f"{DIGEST}{hashing.hexdigest()}" != digest:
            raise CliFault("what came is not what its digest says", "try again; nothing was kept")
        _ = unfinished.replace(target)
    except OSError as error:
        raise CliFault(f"{target} cannot be written: {error.strerror}", "") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return size
