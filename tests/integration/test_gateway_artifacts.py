"""Artifacts over HTTP and on the command line: listed, fetched, asked for where missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import ClientPayloadError
from typer.testing import CliRunner, Result

from penstock_cli.app import app, hoist
from penstock_contracts.artifact.v1 import Artifact
from penstock_contracts.envelope import Envelope
from penstock_contracts.run import v1 as run
from penstock_runtime.ports.artifacts import CHUNK_BYTES
from penstock_testkit.conformance.artifacts import content_of, key_of, pieces
from penstock_webhook_gateway.http.artifacts import DOWNLOADS_MAX
from tests.integration.gateway_world import QUICK, RUNS, Client, World, problem_of, serving

CONTENT = content_of(3 * CHUNK_BYTES + 5)
KEY = key_of(CONTENT)
HTML = b"<script>alert(1)</script>"
REPORT = Artifact(name="out/report.sarif", digest=KEY.digest, size=len(CONTENT))
PAGE = Artifact(
    name="page.html", digest=key_of(HTML).digest, size=len(HTML), media_type="text/html"
)
FETCH = f"/api/artifacts/{KEY.digest}"
T = TypeVar("T")


def left(world: World) -> str:
    """Have a run whose one node left two artifacts."""
    run_ = world.start_run()
    settled = run.NodeSucceeded(node="ask", attempt=0, output={}, artifacts=(REPORT, PAGE))
    world.emit(RUNS, run_, settled)
    return run_


async def prepared(*, kept: bool = True, waits: Any = None) -> tuple[World, str, dict[str, str]]:
    world = World() if waits is None else World(waits=waits)
    headers = world.token("ann", "viewer")
    world.apply_workflow()
    run_ = left(world)
    if kept:
        await world.artifacts.put(KEY, pieces(CONTENT))
        await world.artifacts.put(key_of(HTML), pieces(HTML))
    return world, run_, headers


async def awaited(world: World, work: Awaitable[T]) -> T:
    """Await something that sleeps by the world's clock."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20):
        while not task.done():
            await world.clock.advance(0.1)
    return task.result()


async def test_a_runs_artifacts_are_listed():
    world, run_, headers = await prepared()
    async with serving(world) as client:
        answer = await client.get(f"/api/runs/{run_[:8]}/artifacts", headers=headers)
        items = (await answer.json())["items"]
        assert [(one["node"], one["name"], one["size"]) for one in items] == [
            ("ask", name, size)
            for name, size in sorted(
                ((REPORT.name, len(CONTENT)), (PAGE.name, len(HTML))),
                key=lambda one: REPORT.digest if one[0] == REPORT.name else PAGE.digest,
            )
        ]
        shown = await (await client.get(f"/api/runs/{run_}", headers=headers)).json()
        assert [one["name"] for one in shown["nodes"]["ask"]["artifacts"]] == [
            REPORT.name,
            PAGE.name,
        ]


async def test_content_comes_as_a_file_that_nobody_executes():
    world, _, headers = await prepared()
    async with serving(world) as client:
        answer = await client.get(FETCH, headers=headers)
        assert await answer.read() == CONTENT
        assert answer.headers["Content-Length"] == str(len(CONTENT))
        assert answer.headers["ETag"] == f'"{KEY.digest}"'
        page = await client.get(f"/api/artifacts/{PAGE.digest}", headers=headers)
        assert await page.read() == HTML
        assert page.headers["Content-Disposition"] == "attachment; filename*=UTF-8''page.html"
        assert page.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        head = await client.head(FETCH, headers=headers)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(CONTENT)))


async def test_who_may_not_read_gets_nothing():
    world, run_, _ = await prepared()
    stranger = world.token("eve", "viewer", tenant="other")
    async with serving(world) as client:
        await problem_of(await client.get(FETCH), 401, "not_allowed")
        await problem_of(await client.get(FETCH, headers=stranger), 404, "not_found")
        path = f"/api/runs/{run_}/artifacts"
        await problem_of(await client.get(path, headers=stranger), 404, "unknown_run")


@pytest.mark.parametrize("digest", ["sha256:00", "x", "%2e%2e", "sha256:" + "0" * 64])
async def test_what_no_run_names_is_not_found(digest: str):
    world, _, headers = await prepared()
    async with serving(world) as client:
        answer = await client.get(f"/api/artifacts/{digest}", headers=headers)
        await problem_of(answer, 404, "not_found")


async def test_what_is_missing_is_asked_for_and_awaited():
    world, run_, headers = await prepared(kept=False)

    def put_back(_envelope: Envelope) -> list[Any]:
        world.artifacts.content[KEY] = CONTENT
        return []

    world.scripts[run.RestoreArtifact.TYPE] = put_back
    async with serving(world) as client:
        answer = await awaited(world, client.get(FETCH, headers=headers))
        assert await answer.read() == CONTENT
    ((subject, envelope),) = world.sent
    assert subject.endswith(f".{run_}.restore_artifact")
    assert envelope.data == {"run_id": run_, "digest": KEY.digest}


async def test_what_nobody_puts_back_is_told():
    world, _, headers = await prepared(kept=False, waits=QUICK)
    async with serving(world) as client:
        answer = await awaited(world, client.get(FETCH, headers=headers))
        await problem_of(answer, 503, "unavailable")


async def test_what_was_pruned_is_gone():
    world, _, headers = await prepared()
    await world.artifacts.bury(KEY)
    async with serving(world) as client:
        await problem_of(await client.get(FETCH, headers=headers), 410, "gone")


async def test_what_is_damaged_is_cut_before_its_end():
    world, _, headers = await prepared()
    world.artifacts.content[KEY] = CONTENT[:-1] + b"?"
    async with serving(world) as client:
        answer = await client.get(FETCH, headers=headers)
        with pytest.raises(ClientPayloadError):
            await answer.read()


async def test_transfers_at_once_are_bounded():
    world, _, headers = await prepared(kept=False)
    async with serving(world) as client:
        waiting = [
            asyncio.ensure_future(client.get(FETCH, headers=headers)) for _ in range(DOWNLOADS_MAX)
        ]
        await world.until_sent(DOWNLOADS_MAX)
        answer = await client.get(FETCH, headers=headers)
        await problem_of(answer, 503, "unavailable")
        for one in waiting:
            one.cancel()


# --- the command line ----------------------------------------------------------------------------


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def said(client: Client, headers: dict[str, str], *words: str) -> Result:
    token = headers["Authorization"].removeprefix("Bearer ")
    line = hoist(["artifacts", *words, "--url", str(client.make_url("")).rstrip("/")])
    return await asyncio.to_thread(CliRunner().invoke, app, ["--token", token, *line])


async def test_the_command_line_lists_and_fetches(tmp_path: Path):
    world, run_, headers = await prepared()
    async with serving(world) as client:
        listed = await said(client, headers, "list", run_)
        assert "out/report.sarif" in listed.stdout
        assert "786.4 kB" in listed.stdout
        target = tmp_path / "report"
        got = await said(client, headers, "get", run_, REPORT.name, "-o", str(target))
        assert got.exit_code == 0, got.output
        assert target.read_bytes() == CONTENT
        assert KEY.digest in got.stdout
        again = await said(client, headers, "get", KEY.digest, "-o", str(target))
        assert again.exception is not None
        assert "is there already" in str(again.exception)
        forced = await said(
            client, headers, "get", KEY.digest, "-o", str(target), "--force", "--json"
        )
        assert json.loads(forced.stdout)["size"] == len(CONTENT)
        assert names_in(tmp_path) == ["report"]


async def test_the_command_line_keeps_nothing_of_a_cut_transfer(tmp_path: Path):
    world, _, headers = await prepared()
    world.artifacts.content[KEY] = CONTENT[:-1] + b"?"
    async with serving(world) as client:
        got = await said(client, headers, "get", KEY.digest, "-o", str(tmp_path / "report"))
        assert got.exception is not None
        assert names_in(tmp_path) == []


async def test_the_command_line_names_what_is_not_there():
    world, run_, headers = await prepared()
    async with serving(world) as client:
        got = await said(client, headers, "get", run_, "nothing.txt")
        assert "no artifact 'nothing.txt'" in str(got.exception)
        got = await said(client, headers, "get", run_)
        assert "which artifact" in str(got.exception)
