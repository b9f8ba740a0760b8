"""An agent that is given secrets and spreads them: no form of them is in anything we write."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
import pytest_asyncio

from penstock_testkit.collector import Collector
from penstock_testkit.stack import SERVICES, Json, RunningStack
from tests.e2e.bundles import LIMITS, open_place, write_agent

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

SECRET = 'Canary"7f\\3b/2c+grün&?=~x9Q'
FILED = "canary-of-a-file-5d41402abc4b2a76b9719d911017c592"
CLI_S = 30.0

# What agents do with what they were given; `forms` are all of it, written in every way.
SPREAD = """\
import base64, os
from urllib.parse import quote, quote_plus
secrets = [value for name, value in os.environ.items() if name.startswith("CANARY")]
assert len(secrets) == 2, sorted(os.environ)
forms = []
for secret in secrets:
    raw = secret.encode()
    forms += [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False),
              json.dumps(json.dumps(secret)), repr(secret), raw.hex(), raw.hex().upper(),
              quote(secret, safe=""), quote(secret), quote_plus(secret)]
    for pad in (b"", b"a", b"ab"):
        forms += [base64.b64encode(pad + raw + b"!").decode(),
                  base64.urlsafe_b64encode(pad + raw + b"!").decode()]
for form in forms:
    print("see", form)
    print("see", form, file=sys.stderr)
print("x" * 8180 + secrets[0])
print("y" * 8160 + secrets[1])
sys.stdout.flush()
"""
ENDS: dict[str, str] = {
    "well": "answer({'said': 1, 'more': forms, **{form: form for form in forms}})",
    "declared": "answer({'error': {'code': 'bad', 'message': ' '.join(forms[:4]),"
    " 'retryable': False}}); sys.exit(10)",
    "crash": "raise RuntimeError(secrets[1] + forms[13] + secrets[0])",
    "misfit": "answer({'said': forms[0], 'more': forms})",
    "no_object": "pathlib.Path('/penstock/output.json').write_text(' '.join(forms))",
    "killed": "os.kill(os.getpid(), 9)",
    "timeout": "sys.stdout.flush(); time.sleep(60)",
    "proposed": "answer({'plan': {'effect': {'files': forms}, 'summary': forms[0]}})",
}


def forms(secret: str) -> Iterator[bytes]:
    """Everything that must not be found."""
    raw = secret.encode()
    for text in (
        secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3], repr(secret)[1:-1], raw.hex(), raw.hex().upper(),
        quote(secret, safe=""), quote(secret), quote_plus(secret),
    ):  # fmt: skip
        yield text.encode()
    for pad, skip in ((b"", 0), (b"a", 2), (b"ab", 3)):
        whole = base64.b64encode(pad + raw)
        inside = whole[skip : (len(pad) + len(raw)) * 8 // 6]
        yield from (inside, inside.translate(bytes.maketrans(b"+/", b"-_")))


NEEDLES = {needle for secret in (SECRET, FILED) for needle in forms(secret)}


def found_in(told: bytes) -> list[str]:
    return [needle.decode() for needle in NEEDLES if needle in told]


@dataclass
class Spread:
    """A stack whose agents have spread their secrets, and everything that it told."""

    stack: RunningStack
    collector: Collector
    runs: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spread(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Spread]:
    home = tmp_path_factory.mktemp("canaries") / "state"
    files = tmp_path_factory.mktemp("secrets")
    (files / "canary-file").write_text(FILED + "\n")
    with open_place() as place, Collector.listening() as collector:
        agents = Path(place) / "agents"
        limits = {**LIMITS, "wall_s": 4}
        given: Json = {"secrets": ["canary-variable", "canary-file"], "limits": limits}
        doer = write_agent(agents, "doer", **given)
        planner = write_agent(
            agents, "planner", **given, effect="once", risk="APPROVAL_REQUIRED",
            phases=["plan", "apply"],
        )  # fmt: skip
        async with RunningStack.started(
            home,
            PENSTOCK_AGENT_ROOTS=str(agents),
            PENSTOCK_SECRET_CANARY_VARIABLE=SECRET,
            PENSTOCK_SECRETS_DIR=str(files),
            PENSTOCK_OTLP_ENDPOINT=collector.url,
            PENSTOCK_OTLP_LOGS="true",
            PENSTOCK_LOG_LEVEL="debug",
        ) as stack:
            await stack.register_bundle(doer)
            await stack.register_bundle(planner)
            whole = Spread(stack, collector, {})
            await spread_all(whole)
            yield whole


async def spread_all(whole: Spread) -> None:
    stack = whole.stack
    for name, code in ENDS.items():
        agent = "planner" if name == "proposed" else "doer"
        workflow = f"leak-{name.replace('_', '-')}"
        do = f"{SPREAD}\n{code}"
        await stack.apply(workflow, {"only": {"agent": agent, "with": {"do": do}}})
        whole.runs[name] = await stack.trigger(workflow)
    for name, run in whole.runs.items():
        shown = await stack.ended(run)
        expected = "succeeded" if name == "well" else "failed"
        assert shown["run"]["status"] == expected, (name, shown)

    async def exported() -> bool:
        told = {one.attributes["penstock.run_id"] for one in whole.collector.spans
                if one.name == "run"}  # fmt: skip
        return told >= set(whole.runs.values())

    await stack.until(exported)


async def test_the_agents_were_given_their_secrets(spread: Spread) -> None:
    seen = 0
    for name, run in spread.runs.items():
        lines = [line async for line in told_lines(spread.stack, run)]
        assert any("see [redacted]" in line for line in lines), (name, lines[-3:])
        seen += sum(line.count("[redacted]") for line in lines)
    assert seen > len(NEEDLES) * len(ENDS)


async def told_lines(stack: RunningStack, run: str) -> AsyncGenerator[str]:
    async for frame in stack.frames(f"/api/runs/{run}/logs"):
        yield json.dumps(frame, ensure_ascii=False)


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
        told += [line async for line in told_lines(stack, run)]

    assert found_in(json.dumps(told, ensure_ascii=False).encode()) == []
    assert found_in(json.dumps(told).encode()) == []
    assert found_in("\n".join(texts(told)).encode()) == []


def texts(told: object) -> Iterator[str]:
    match told:
        case str():
            yield told
        case dict():
            for name, value in told.items():
                yield from (str(name), *texts(value))
        case list():
            for value in told:
                yield from texts(value)
        case _:
            pass


@pytest.mark.parametrize("verb", ["runs show", "runs watch", "runs logs", "replay"])
async def test_nothing_that_the_command_line_shows_holds_one(spread: Spread, verb: str) -> None:
    told = b""
    for run in (spread.runs["well"], spread.runs["declared"]):  # each start takes its second
        command = [sys.executable, "-m", "penstock_cli", "--home", str(spread.stack.home)]
        process = await asyncio.create_subprocess_exec(
            *command, *verb.split(), run,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(CLI_S):
            shown, _ = await process.communicate()
        told += shown
    assert b"only" in told, told
    assert found_in(told) == []
