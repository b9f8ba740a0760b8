"""A service process: settings, health over HTTP, signals, exit codes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

import aiohttp
import pytest

from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_runtime.ports.health import Check
from penstock_runtime.telemetry.metrics import TASKS_TAKEN

WAIT_S = 20.0


async def test_health_and_metrics_are_served() -> None:
    checks = [Check("nats", ok=True, detail="connected")]
    metrics = PrometheusMetrics()
    metrics.add(TASKS_TAKEN, "default")

    async def ready() -> list[Check]:
        return checks

    async with OpsServer("127.0.0.1", 0, ready, metrics) as ops, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{ops.port}"
        async with http.get(f"{url}/health/live") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "alive"})
        async with http.get(f"{url}/health/ready") as answer:
            assert answer.status == 200
        checks.append(Check("sandbox", ok=False, detail="no namespaces", data={"adapter": "b"}))
        async with http.get(f"{url}/health/ready") as answer:
            assert answer.status == 503
            body = await answer.json()
        assert body["status"] == "not_ready"
        assert body["checks"][1] == {
            "name": "sandbox",
            "ok": False,
            "detail": "no namespaces",
            "adapter": "b",
        }
        async with http.get(f"{url}/metrics") as answer:
            assert 'penstock_tasks_taken_total{pool="default"} 1.0' in await answer.text()


PROGRAM = """
import asyncio, sys
from penstock_adapters.system.process import serve
from penstock_runtime.faults import TransientFault
from penstock_runtime.settings import ServiceSettings

async def main(settings, stop):
    print("up", flush=True)
    if settings.name == "refused":
        raise TransientFault("no bus")
    if settings.name == "defect":
        raise RuntimeError("boom")
    await stop.wait()
    print("stopping", flush=True)
    if settings.name == "slow":
        await asyncio.Event().wait()

sys.exit(serve("executor", ServiceSettings, main))
"""


async def start(**settings: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env={**os.environ, **settings}, stdout=PIPE, stderr=PIPE
    )


async def line_of(process: Process) -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), WAIT_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_gracefully(number: signal.Signals) -> None:
    process = await start(PENSTOCK_NAME="quick")
    assert await line_of(process) == b"up\n"
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), WAIT_S)

    assert (process.returncode, out) == (0, b"stopping\n")
    assert b'"message":"stopped"' in err


async def test_a_second_signal_stops_at_once() -> None:
    process = await start(PENSTOCK_NAME="slow")
    assert await line_of(process) == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert await line_of(process) == b"stopping\n"
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), WAIT_S)

    assert process.returncode == 1
    assert b"second signal" in err


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("refused", 1, b'"reason":"no bus"'), ("defect", 1, b"RuntimeError: boom")],
)
async def test_a_failure_is_logged(name: str, code: int, said: bytes) -> None:
    process = await start(PENSTOCK_NAME=name)
    _, err = await asyncio.wait_for(process.communicate(), WAIT_S)

    assert process.returncode == code
    assert said in err


async def test_faults_of_the_settings_are_all_written() -> None:
    process = await start(PENSTOCK_LOG_LEVEL="loud", PENSTOCK_GRACE_S="-1")
    _, err = await asyncio.wait_for(process.communicate(), WAIT_S)

    assert process.returncode == 78
    assert err.decode().splitlines() == [
        "penstock executor: PENSTOCK_LOG_LEVEL: "
        "Input should be 'debug', 'info', 'warning' or 'error'",
        "penstock executor: PENSTOCK_GRACE_S: Input should be greater than or equal to 0",
    ]
