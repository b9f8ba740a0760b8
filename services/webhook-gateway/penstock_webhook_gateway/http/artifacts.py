"""Routes of artifacts: what a run's nodes left, and the content of one.

Content comes from the bus's object store. What is missing there is asked for, and its owner puts
it back. It is shown as nothing but a file to be saved: whoever wrote it may have meant harm.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel

from penstock_contracts import subjects
from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.ids import derive
from penstock_contracts.run.v1 import RestoreArtifact
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.artifacts import ArtifactGone, ArtifactKey, ArtifactMissing
from penstock_runtime.ports.projection import ViewRow
from penstock_webhook_gateway.http.access import READ, Principal
from penstock_webhook_gateway.http.context import caller, doors, reply, send
from penstock_webhook_gateway.http.places import Places
from penstock_webhook_gateway.http.problems import Problem
from penstock_webhook_gateway.http.runs import find_run
from penstock_webhook_gateway.kinds import View

DOWNLOADS_MAX = 16  # at the same time; each holds a few pieces in memory
DOWNLOAD_MAX_S = 3_600.0
LOOK_FIRST_S = 0.05
LOOK_CAP_S = 1.0
_UNSAFE = "sandbox; default-src 'none'; frame-ancestors 'none'"
_log = logging.getLogger(__name__)


class ArtifactItem(Artifact):
    """An artifact and the node that left it."""

    node: str
    run_id: str


class ArtifactList(BaseModel):
    """All artifacts of a run, in the order of its nodes."""

    items: tuple[ArtifactItem, ...]


DOWNLOADS = web.AppKey("downloads", Places)
DOWNLOADS_BUSY = "too many artifacts are being fetched"


def routes() -> list[web.RouteDef]:
    """Give the routes."""
    return [
        web.get("/api/runs/{run}/artifacts", list_artifacts),
        web.get("/api/artifacts/{digest}", fetch_artifact),
    ]


async def list_artifacts(request: web.Request) -> web.Response:
    """List the artifacts of a run: node, name, digest, size and media type of each."""
    who = caller(request, READ)
    run = await find_run(request, who.tenant)
    rows = await doors(request).reader.children(View.ARTIFACT, who.tenant, run.id)
    return reply({"items": [row.body for row in rows]})


async def fetch_artifact(request: web.Request) -> web.StreamResponse:
    """Give the content of an artifact that a run names, in pieces, held to its digest.

    The connection is cut where the content turns out not to be what its digest says.
    """
    who = caller(request, READ)
    row = await _named(request, who.tenant)
    answer = web.StreamResponse(headers=_headers(row))
    answer.content_length = _size(row)
    if request.method == "HEAD":
        _ = await answer.prepare(request)
        return answer
    with request.app[DOWNLOADS].one():
        async with asyncio.timeout(DOWNLOAD_MAX_S):
            await _passed_on(request, answer, await _opened(request, who, row))
    return answer


async def _named(request: web.Request, tenant: str) -> ViewRow:
    digest = request.match_info["digest"]
    rows = await doors(request).reader.find_prefix(View.ARTIFACT, tenant, f"{digest}/", 1)
    if not rows:
        raise Problem(404, "not_found", f"no run names an artifact {digest!r}")
    return rows[0]


def _size(row: ViewRow) -> int:
    size = row.body.get("size")
    return size if isinstance(size, int) else 0


def _headers(row: ViewRow) -> dict[str, str]:
    name = str(row.body.get("name")).rpartition("/")[2]
    return {
        "Content-Type": str(row.body.get("media_type")),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": _UNSAFE,
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": f'"{row.body.get("digest")}"',
    }


Pieces = tuple[bytes, AsyncGenerator[bytes]]
"""The first piece, and the others."""


async def _opened(request: web.Request, who: Principal, row: ViewRow) -> Pieces:
    """Begin to read; what is missing is asked for once, and awaited.

    Raises:
        Problem: 410: it was pruned. 503: nobody puts it back in time.
    """
    door, wait_s, asked = doors(request), LOOK_FIRST_S, False
    key = ArtifactKey(who.tenant, str(row.body.get("digest")))
    loop = asyncio.get_running_loop()
    until = loop.time() + door.waits.restore_s
    while True:
        pieces = door.artifacts.read(key)
        try:
            return await anext(pieces, b""), pieces
        except ArtifactGone:
            detail = f"{key.digest} was pruned: its retention time was over"
            raise Problem(410, "gone", detail) from None
        except ArtifactMissing:
            if loop.time() >= until:
                detail = "the artifact was not put back in time; try again"
                raise Problem(503, "unavailable", detail, headers={"Retry-After": "5"}) from None
        if not asked:
            asked = True
            await _ask(request, who, row, key)
        await door.clock.sleep(wait_s)
        wait_s = min(wait_s * 2, LOOK_CAP_S)


async def _ask(request: web.Request, who: Principal, row: ViewRow, key: ArtifactKey) -> None:
    run, partition = row.parent, str(row.body.get("partition"))
    subject = subjects.run(who.tenant, partition, run, "restore_artifact")
    body = RestoreArtifact(run_id=run, digest=key.digest)
    now = str(doors(request).clock.now_us())
    await send(request, who, subject, Stream.RUNS, run, body, derive("restore", key.digest, now))


async def _passed_on(request: web.Request, answer: web.StreamResponse, pieces: Pieces) -> None:
    first, others = pieces
    _ = await answer.prepare(request)
    try:
        await answer.write(first)
        async for piece in others:
            await answer.write(piece)
        await answer.write_eof()
    except (ArtifactMissing, TransientFault) as fault:
        # The status has been sent: only a cut connection still tells that this is not all.
        _log.warning("an artifact was not sent to its end", extra={"reason": str(fault)})
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from fault
