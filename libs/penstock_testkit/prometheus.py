"""A real Prometheus for tests, where the machine has one: scraping, and answering queries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

SCRAPE_S = 1
READY_S = 20.0
END_S = 10.0
POLL_S = 0.1
LOOPBACK = "127.0.0.1"


def program(name: str) -> str | None:
    """Find `prometheus`, `promtool` or `amtool` on this machine."""
    return shutil.which(name)


class Prometheus:
    """One that runs, and its HTTP API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        """Ask the server at `url`."""
        self._url = url
        self._http = http

    async def ready(self) -> bool:
        """Tell whether it answers."""
        try:
            async with self._http.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def query(self, expr: str) -> list[Any]:
        """Evaluate an expression now; a fault in it fails the caller."""
        params = {"query": expr}
        async with self._http.get(f"{self._url}/api/v1/query", params=params) as answer:
            told = await answer.json()
            assert told["status"] == "success", f"{expr}: {told}"
            found: list[Any] = told["data"]["result"]
            return found


@contextlib.asynccontextmanager
async def scraping(folder: Path, targets: Mapping[str, str]) -> AsyncGenerator[Prometheus]:
    """Give a Prometheus that scrapes `targets` (service -> base URL) every second.

    Raises:
        TimeoutError: it did not come up.
    """
    binary = program("prometheus")
    assert binary is not None, "look for the program before"
    port = _free_port()
    config = _prepared(folder, targets)
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--log.level=warn",
            stdout=log,
            stderr=log,
        )
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
                made = Prometheus(f"http://{LOOPBACK}:{port}", http)
                await _until_ready(made)
                yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(END_S):
                await process.wait()


async def _until_ready(made: Prometheus) -> None:
    for _ in range(int(READY_S / POLL_S)):
        if await made.ready():
            return
        await asyncio.sleep(POLL_S)
    raise TimeoutError("prometheus does not become ready")


def _prepared(folder: Path, targets: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(_config(targets)), encoding="utf-8")  # JSON is YAML
    return config


def _config(targets: Mapping[str, str]) -> dict[str, Any]:
    jobs = [
        {
            "job_name": service,
            "static_configs": [{"targets": [urlsplit(url).netloc], "labels": {"service": service}}],
        }
        for service, url in targets.items()
    ]
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "scrape_timeout": f"{SCRAPE_S}s"},
        "scrape_configs": jobs,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
