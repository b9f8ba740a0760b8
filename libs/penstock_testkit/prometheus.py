"""A real Prometheus and Alertmanager for tests, where the machine has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port

SCRAPE_S = 1
READY_S = 20.0
END_S = 10.0
POLL_S = 0.1
LOOK_BACK_S = 300


def program(name: str) -> str | None:
    """Find `prometheus`, `prometheus-alertmanager` or one of their tools on this machine."""
    return shutil.which(name)


class Prometheus:
    """One that runs, and its HTTP API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        """Ask the server at `url`."""
        self._url = url
        self._http = http

    async def query(self, expr: str) -> list[Any]:
        """Evaluate an expression now; a fault in it fails the caller."""
        found: list[Any] = (await self._ask("query", query=expr))["result"]
        return found

    async def exemplars(self, selector: str) -> list[dict[str, str]]:
        """Give the labels of the exemplars that series have had in the last minutes."""
        now = int(time.time())
        window = {"start": str(now - LOOK_BACK_S), "end": str(now + 1)}
        series = await self._ask("query_exemplars", query=selector, **window)
        return [one["labels"] for told in series for one in told["exemplars"]]

    async def _ask(self, what: str, **params: str) -> Any:  # noqa: ANN401 - as the API answers
        async with self._http.get(f"{self._url}/api/v1/{what}", params=params) as answer:
            told = await answer.json()
            assert told["status"] == "success", f"{params}: {told}"
            return told["data"]


@contextlib.asynccontextmanager
async def scraping(
    folder: Path, targets: Mapping[str, str], rules: str = "", alertmanager: str = ""
) -> AsyncGenerator[Prometheus]:
    """Give a Prometheus that scrapes `targets` every second, and looks at its rules as often.

    Args:
        folder: of its own.
        targets: base URL by instance; `executor-2` is one of the service `executor`.
        rules: a file of rules, as text.
        alertmanager: URL of who is told what fires.

    Raises:
        TimeoutError: it did not come up.
    """
    _ = _written(folder / "rules.yml", rules or "{}")
    config = _written(folder / "prometheus.yml", json.dumps(_config(targets, alertmanager)))
    own = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}")
    more = "--enable-feature=exemplar-storage"
    async with serving("prometheus", folder, *own, more) as (url, http):
        yield Prometheus(url, http)


@contextlib.asynccontextmanager
async def alerting(folder: Path, config: str) -> AsyncGenerator[str]:
    """Give the URL of an Alertmanager with this configuration.

    Raises:
        TimeoutError: it did not come up.
    """
    file = _written(folder / "alertmanager.yml", config)
    own = (f"--config.file={file}", f"--storage.path={folder / 'data'}")
    alone = "--cluster.listen-address="
    async with serving("prometheus-alertmanager", folder, *own, alone) as (url, _):
        yield url


@contextlib.asynccontextmanager
async def serving(
    name: str, folder: Path, *words: str
) -> AsyncGenerator[tuple[str, aiohttp.ClientSession]]:
    """Run one of the two on a free loopback port until the end; gives its URL and a session."""
    binary = program(name)
    assert binary is not None, "look for the program before"
    place = f"{LOOPBACK}:{draw_free_port()}"
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(binary, *words, f"--web.listen-address={place}", "--log.level=warn"),
            stdout=log,
            stderr=log,
        )
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
                await _until_ready(f"http://{place}", http)
                yield f"http://{place}", http
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(END_S):
                await process.wait()


async def _until_ready(url: str, http: aiohttp.ClientSession) -> None:
    for _ in range(int(READY_S / POLL_S)):
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{url}/-/ready") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"{url} does not become ready")


def _written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _config(targets: Mapping[str, str], alertmanager: str) -> dict[str, Any]:
    """Give a configuration; its JSON is YAML."""
    scraped = [
        {
            "targets": [urlsplit(url).netloc],
            "labels": {"service": re.sub(r"-\d+$", "", instance)},
        }
        for instance, url in targets.items()
    ]
    told = [{"static_configs": [{"targets": [urlsplit(alertmanager).netloc]}]}]
    often = f"{SCRAPE_S}s"
    return {
        "global": {
            "scrape_interval": often,
            "scrape_timeout": often,
            "evaluation_interval": often,
        },
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": told if alertmanager else []},
        "scrape_configs": [{"job_name": "penstock", "static_configs": scraped}],
    }
