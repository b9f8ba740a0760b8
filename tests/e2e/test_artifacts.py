"""Artifacts on real processes: large ones, deaths in between, a lost object store, memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import nats
import psycopg
import pytest
import pytest_asyncio

from penstock_adapters.embedded.postgres_roles import owner_of
from penstock_adapters.nats.jetstream import JetStreamApi
from penstock_contracts.permissions import BusUser
from penstock_contracts.subjects import ARTIFACT_BUCKET, ARTIFACT_STREAM
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.bundles import LIMITS, open_place, write_agent

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

MB = 1024 * 1024
LARGE_MB = 100
GROWTH_MAX_KB = 48 * 1024  # of a process, by what is twice as large and more
ANY: Json = {"type": "object"}
WRITE = f"""
import hashlib
folder = pathlib.Path(os.environ["PENSTOCK_ARTIFACTS"])
(folder / "out").mkdir()
digest = hashlib.sha256()
with open(folder / "out" / "large.bin", "wb") as file:
    for number in range({LARGE_MB}):
        piece = hashlib.sha256(str(number).encode()).digest() * 32768
        digest.update(piece)
        file.write(piece)
(folder / "small.txt").write_text("s" * 1024)
answer({{"said": {LARGE_MB}, "digest": digest.hexdigest()}})
"""
SMALL = """
pathlib.Path(os.environ["PENSTOCK_ARTIFACTS"], "small.txt").write_text(given["text"])
answer({"said": 1})
"""
READ = """
import hashlib
digest = hashlib.sha256()
with open(given["file"], "rb") as file:
    while piece := file.read(1 << 20):
        digest.update(piece)
try:
    open(given["file"], "ab")
    written = True
except OSError:
    written = False
answer({"said": os.path.getsize(given["file"]), "digest": digest.hexdigest(),
        "path": given["file"], "written": written})
"""


@pytest.fixture(scope="module")
def agents() -> Any:
    """An agent that does what its input says, as a real process."""
    with open_place() as name:
        root = Path(name)
        limits = {**LIMITS, "wall_s": 60, "cpu_s": 60, "artifacts_mb": 256}
        output = {"type": "object", "properties": {"said": {"type": "integer"}}}
        write_agent(root, "worker", limits=limits, output=output)
        yield root


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(agents: Path, tmp_path_factory: Any) -> AsyncGenerator[RunningStack]:
    """Four services on real servers, agents in bubblewrap."""
    folder: Path = tmp_path_factory.mktemp("stack") / "state"
    settings = {"PENSTOCK_SANDBOX": "bubblewrap", "PENSTOCK_AGENT_ROOTS": str(agents)}
    async with RunningStack.started(folder, **settings) as running:
        await running.register_bundle(agents / "worker")
        yield running


def worker(do: str, *needs: str, **given: str) -> Json:
    node: Json = {"agent": "worker", "with": {"do": do, **given}}
    return {**node, "needs": list(needs)} if needs else node


def peak_kb(stack: RunningStack, service: str) -> int:
    """Give the most memory that a service has held at once."""
    status = Path(f"/proc/{stack.pid(service)}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


async def fetched(stack: RunningStack, digest: str) -> tuple[int, str, int]:
    """Fetch an artifact; gives the status, its digest and its size."""
    url = f"{stack.endpoints.gateway_url}/api/artifacts/{digest}"
    token = (stack.home / "credentials" / "admin.token").read_text().strip()
    hashing, size = hashlib.sha256(), 0
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
        async for piece in answer.content.iter_chunked(MB):
            hashing.update(piece)
            size += len(piece)
        return answer.status, f"sha256:{hashing.hexdigest()}", size


async def test_a_hundred_megabytes_go_from_one_agent_to_the_next(stack: RunningStack) -> None:
    nodes = {
        "write": worker(WRITE),
        "large": worker(READ, "write", file='{{write.artifacts["out/large.bin"]}}'),
        "small": worker(READ, "write", file='{{write.artifacts["small.txt"]}}'),
    }
    await stack.apply("large", nodes)
    services = ("executor", "scheduler", "webhook-gateway")
    before = {service: peak_kb(stack, service) for service in services}
    run = await stack.trigger("large")
    shown = await stack.ended(run, 120)
    assert shown["run"]["status"] == "succeeded", shown["run"]
    left, large, small = (shown["nodes"][name]["output"] for name in nodes)
    assert (large["said"], large["digest"]) == (LARGE_MB * MB, left["digest"])
    assert (small["said"], small["written"]) == (1024, False)
    assert large["path"] == "/penstock/inputs/write/out/large.bin"
    status, digest, size = await fetched(stack, f"sha256:{left['digest']}")
    assert (status, digest, size) == (200, f"sha256:{left['digest']}", LARGE_MB * MB)
    grown = {service: peak_kb(stack, service) - before[service] for service in services}
    assert max(grown.values()) < GROWTH_MAX_KB, grown


@contextmanager
def held(stack: RunningStack) -> Any:
    """Let nobody store artifacts."""
    url = stack.endpoints.postgres_urls[owner_of("penstock_scheduler")]
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE artifacts IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("victims", [["scheduler"], ["executor", "scheduler"]])
async def test_a_death_between_upload_and_store_loses_nothing(
    stack: RunningStack, victims: list[str]
) -> None:
    text = "-".join(victims)
    await stack.apply("dying", {"write": worker(SMALL, text=text)})
    with held(stack):
        run = await stack.trigger("dying", of=text)

        async def received() -> bool:
            return any(e.topic == "run.task_result_received.v1" for e in stack.stored(run))

        await stack.until(received)
        for victim in victims:
            await stack.kill(victim)
    shown = await stack.ended(run, 120)
    assert shown["run"]["status"] == "succeeded", shown["run"]
    topics = [event.topic for event in stack.stored(run)]
    assert topics.count("run.task_scheduled.v1") == 1
    assert topics.count("run.node_succeeded.v1") == 1
    digest = shown["nodes"]["write"]["artifacts"][0]["digest"]
    assert digest == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


async def test_what_the_object_store_has_lost_comes_back_from_postgres(
    stack: RunningStack,
) -> None:
    nodes = {
        "write": worker(SMALL, text="kept"),
        "ask": {"needs": ["write"], "approval": {"title": "Go on?"}},
        "read": worker(READ, "ask", "write", file='{{write.artifacts["small.txt"]}}'),
    }
    await stack.apply("lost", nodes)
    run = await stack.trigger("lost")
    approval = await stack.pending_approval(run)
    await JetStreamApi(await stack.bus()).call(f"STREAM.DELETE.{ARTIFACT_STREAM}")
    await stack.respond(approval, "approve")
    shown = await stack.ended(run, 120)
    assert shown["nodes"]["read"]["output"]["said"] == 4, shown["nodes"]["read"]
    await JetStreamApi(await stack.bus()).call(f"STREAM.DELETE.{ARTIFACT_STREAM}")
    digest = f"sha256:{hashlib.sha256(b'kept').hexdigest()}"
    assert await fetched(stack, digest) == (200, digest, 4)


async def test_an_output_beyond_the_limit_is_an_artifact(stack: RunningStack) -> None:
    do = 'answer({"said": 1, "text": "x" * 200_000})'
    nodes = {
        "write": worker(do),
        "read": worker(READ, "write", file='{{write.artifacts["output.json"]}}'),
    }
    await stack.apply("output", nodes)
    shown = await stack.ended(await stack.trigger("output"), 60)
    assert shown["run"]["status"] == "succeeded", shown["run"]
    assert shown["nodes"]["write"]["output"]["name"] == "output.json"
    assert shown["nodes"]["read"]["output"]["said"] > 200_000


async def test_the_command_of_the_object_store_reads_them_too(stack: RunningStack) -> None:
    await stack.apply("plain", {"write": worker(SMALL, text="plain")})
    await stack.ended(await stack.trigger("plain"), 60)
    login = stack.endpoints.logins[BusUser.ADMIN]
    client: Any = await nats.connect(login.url, user=login.user, password=login.password)
    try:
        bucket = await client.jetstream().object_store(ARTIFACT_BUCKET)
        digest = hashlib.sha256(b"plain").hexdigest()
        found = await bucket.get(f"default/sha256:{digest}")
        assert found.data == b"plain"
    finally:
        await client.close()


async def test_a_flood_is_ended_and_leaves_nothing(stack: RunningStack) -> None:
    do = """
folder = pathlib.Path(os.environ["PENSTOCK_ARTIFACTS"])
for number in range(4096):
    (folder / str(number % 900)).write_bytes(b"x" * (1 << 20) * 8)
answer({"said": 1})
"""
    await stack.apply("flood", {"write": worker(do)})
    shown = await stack.ended(await stack.trigger("flood"), 60)
    assert shown["nodes"]["write"]["error"]["code"] == "artifact_refused"
    assert await asyncio.to_thread(_leftovers, stack.home) == []


def _leftovers(home: Path) -> list[str]:
    return [str(path) for path in home.rglob("left") if path.is_dir() and any(path.iterdir())]
