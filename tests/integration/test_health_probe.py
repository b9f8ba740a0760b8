"""The health check of the image, against a real operations server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import aiohttp
import pytest

from penstock_adapters.embedded.ports import draw_free_port
from penstock_adapters.system.ops import OpsServer
from penstock_adapters.system.prometheus import PrometheusMetrics
from penstock_cli.probe import USAGE
from penstock_runtime.ports.health import Check

WITHIN_S = 20.0


async def probe(port: int | str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "penstock_cli.probe", *arguments,
        env={**os.environ, "PENSTOCK_OPS_PORT": str(port)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_no_browser_makes_more_of_an_answer_than_it_is():
    async def ready() -> Sequence[Check]:
        return []

    async with (
        OpsServer("127.0.0.1", 0, ready, PrometheusMetrics()) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WITHIN_S)) as session,
    ):
        for path in ("/health/live", "/metrics", "/nowhere"):
            async with session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_it_tells_alive_from_ready_and_from_gone():
    well = False

    async def ready() -> Sequence[Check]:
        return [Check("bus", ok=well, detail="not connected")]

    async with OpsServer("127.0.0.1", 0, ready, PrometheusMetrics()) as server:
        assert await probe(server.port, "live") == (0, "")
        code, told = await probe(server.port, "ready")
        assert code == 1
        assert "503" in told
        assert "not connected" in told
        well = True
        assert await probe(server.port, "ready") == (0, "")
    code, told = await probe(draw_free_port(), "live")
    assert code == 1
    assert "refused" in told


@pytest.mark.parametrize(("port", "arguments"), [("", ("live",)), ("1", ()), ("1", ("metrics",))])
async def test_it_says_how_it_is_asked(port: str, arguments: tuple[str, ...]):
    code, told = await probe(port, *arguments)
    assert code == USAGE
    assert told.startswith("usage: ")
