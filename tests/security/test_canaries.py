"""No form of a secret that agents spread is in anything we write, show or send."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from penstock_adapters.embedded.credentials import SecretBook, postgres_secret
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_server import ADMIN
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_testkit.stack import SERVICES, RunningStack
from tests.e2e.bundles import open_place
from tests.security.canary import ENDS, NEEDLES, SILENT, Spread, found_in, spreading, texts

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

CLI_S = 30.0
RUN_FAILED = 3  # the exit code of who watches one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spread(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Spread]:
    folder = tmp_path_factory.mktemp("canaries")
    with open_place() as place:
        async with spreading(folder, Path(place) / "agents") as whole:
            yield whole


async def test_the_agents_were_given_their_secrets(spread: Spread) -> None:
    seen = 0
    for name, run in spread.runs.items():
        if name in SILENT:
            continue
        lines = [line async for line in spread.lines(run)]
        assert any("see [redacted]" in line for line in lines), (name, lines[-3:])
        seen += sum(line.count("[redacted]") for line in lines)
    assert seen > len(NEEDLES) * len(ENDS)


async def test_no_span_and_no_exported_line_holds_one(spread: Spread) -> None:
    spans, records = spread.collector.spans, spread.collector.records
    assert {one.service for one in spans} >= {"webhook-gateway", "scheduler", "executor"}
    assert {one.service for one in records} == set(SERVICES)
    assert {"sandbox start", "agent", "process task"} <= {one.name for one in spans}
    traced = {one.trace_id for one in records if one.service == "executor" and one.trace_id}
    assert traced <= {one.trace_id for one in spans}

    assert found_in(b"\0".join(one.raw for one in spans)) == []
    assert found_in(b"\0".join(one.raw for one in records)) == []


async def test_no_metric_holds_one(spread: Spread) -> None:
    stack = spread.stack
    addresses = [f"http://127.0.0.1:{operations_port(stack, one)}/metrics" for one in SERVICES]
    wants = {"Accept": "application/openmetrics-text;version=1.0.0"}
    told = b""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
        for address in addresses:
            async with http.get(address, headers=wants) as answer:
                assert answer.status == 200, address
                told += await answer.read()

    assert b"penstock_task_seconds_bucket" in told
    assert b'# {trace_id="' in told
    assert b'penstock_telemetry_dropped_total{signal="spans"} 0.0' in told
    assert found_in(told) == []


def operations_port(stack: RunningStack, service: str) -> int:
    for line in (stack.home / "logs" / f"{service}.log").read_text().splitlines():
        if '"operations server listens"' in line:
            return int(json.loads(line)["port"])
    raise AssertionError(f"{service} does not say where it listens")


async def test_nothing_that_was_written_holds_one(spread: Spread) -> None:
    """Log files, the database's and JetStream's, whatever else stands in the state folder."""
    read = 0
    for path in spread.stack.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            told = path.read_bytes()
            read += len(told)
            assert found_in(told) == [], path
    assert read > 1_000_000


async def test_no_stored_event_holds_one(spread: Spread) -> None:
    """Read back, since large rows lie compressed in the database's files."""
    told = [event.data for event in spread.stack.partition("run-0")]

    assert len(told) > 3 * len(ENDS)
    assert found_in("\n".join(texts(told)).encode()) == []


async def test_no_answer_of_the_api_holds_one(spread: Spread) -> None:
    stack = spread.stack
    told: list[object] = [
        await stack.get(path)
        for path in ("/api/runs", "/api/status", "/api/dead", "/api/approvals", "/api/executors",
                     "/api/agents", "/api/agents/doer")
    ]  # fmt: skip
    for run in spread.runs.values():
        told.append(await stack.get(f"/api/runs/{run}"))
        told += [frame async for frame in stack.frames(f"/api/runs/{run}/events")]
        told += [line async for line in spread.lines(run)]

    assert found_in(json.dumps(told, ensure_ascii=False).encode()) == []
    assert found_in(json.dumps(told).encode()) == []
    assert found_in("\n".join(texts(told)).encode()) == []


@pytest.mark.parametrize("verb", ["runs show", "runs watch", "runs logs", "replay"])
async def test_nothing_that_the_command_line_shows_holds_one(spread: Spread, verb: str) -> None:
    told = b""
    for name in ("well", "declared"):  # each start takes its second
        told += await shown_by(spread, *verb.split(), spread.runs[name])
    assert b"only" in told, told
    assert found_in(told) == []


async def shown_by(spread: Spread, *verb: str) -> bytes:
    command = [sys.executable, "-m", "penstock_cli", "--home", str(spread.stack.home), *verb]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(CLI_S):
        shown, _ = await process.communicate()
    assert process.returncode in (0, RUN_FAILED), shown
    return shown


async def test_no_table_holds_one(spread: Spread) -> None:
    """Every column of every table of every database, as the administrator reads them."""
    home = StateFolder.at(spread.stack.home)
    password = SecretBook(home.secrets)[postgres_secret(ADMIN)]
    read = 0
    for url in spread.stack.endpoints.auditor_urls.values():
        parts = urlsplit(url)
        asks = f"postgresql://{ADMIN}:{password}@{parts.hostname}:{parts.port}{parts.path}"
        for table, told in dumped(asks):
            read += len(told)
            assert found_in(told) == [], table
    assert read > 100_000


def dumped(url: str) -> list[tuple[str, bytes]]:
    tables: list[tuple[str, bytes]] = []
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in names:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name))
            values = [value for row in connection.execute(query) for value in row]
            told = b"\0".join(one for value in values for one in written(value))
            tables.append((f"{schema}.{name}", told))
    return tables


def written(value: object) -> list[bytes]:
    """A value as bytes; JSON also without its escapes."""
    if isinstance(value, bytes):
        try:
            return [value, *written(json.loads(value))]
        except ValueError:
            return [value]
    if isinstance(value, dict | list):
        return [json.dumps(value).encode(), *(one.encode() for one in texts(value))]
    return [str(value).encode()]


async def test_no_message_on_the_bus_holds_one(spread: Spread) -> None:
    """Every stream, and the buckets of heartbeats and artifacts, which are streams too."""
    bus = JetStreamApi(await spread.stack.bus())
    streams = (await bus.call("STREAM.NAMES"))["streams"]
    assert {"RUNS", "EVENTS", "LOGS", "KV_heartbeats"} <= set(streams)
    read = 0
    for stream in streams:
        info = await bus.stream_info(stream)
        sequence = info.first_sequence
        while (message := await bus.next_message_on(stream, ">", sequence)) is not None:
            read += 1
            sequence = message.sequence + 1
            assert found_in(b"\0".join(written(message.payload))) == [], message.subject
    assert read > 100


async def test_nothing_lies_on_a_disk_while_an_agent_runs(spread: Spread) -> None:
    run = await spread.stack.trigger("leak-timeout")
    seen: set[Path] = set()

    async def printed() -> bool:
        shown = await spread.stack.get(f"/api/runs/{run}")
        return shown["run"]["status"] == "running" and bool(files_in(spread.scratch) - seen)

    await spread.stack.until(printed)
    for _ in range(20):
        for path in files_in(spread.scratch) - seen:
            seen.add(path)
            assert found_in(content(path)) == [], path
        await asyncio.sleep(0.05)
    await spread.stack.ended(run)
    assert {"input.json", "output.json"} <= {path.name for path in seen}


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone since
        return b""


@pytest.mark.parametrize(
    "verb",
    ["runs list", "approvals list", "executors", "agents list", "dead list", "status"],
)
async def test_no_list_of_the_command_line_holds_one(spread: Spread, verb: str) -> None:
    assert found_in(await shown_by(spread, *verb.split())) == []


async def test_what_was_not_granted_was_not_given(spread: Spread) -> None:
    shown = await spread.stack.get(f"/api/runs/{spread.runs['refused']}")
    assert "secret_refused" in json.dumps(shown)
    assert "PENSTOCK_AGENT_GRANTS=ungranted:canary-variable" in json.dumps(shown)


async def test_the_proxy_s_decisions_were_logged_without_them(spread: Spread) -> None:
    log = (spread.stack.home / "logs" / "executor.log").read_bytes()
    assert b'"egress"' in log
    assert b"[redacted].example.org" in log
