"""A Grafana Loki that somebody runs, asked over its HTTP API."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

REQUEST_S = 10.0
LOOK_BACK_S = 600  # how far a query reaches
LINES_MAX = 100
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KeptLine:
    """A log line with all that is known of it: labels and structured metadata."""

    message: str
    about: dict[str, str]


class Loki:
    """Finds log lines."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        """Ask the API at `url`."""
        self._url = url.rstrip("/")
        self._http = http

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncGenerator[Self]:
        """Give the Loki whose API is at `url`."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(REQUEST_S)) as http:
            yield cls(url, http)

    async def lines(self, query: str) -> list[KeptLine]:
        """Give the lines that a LogQL query finds."""
        now = int(time.time())
        start, end = (now - LOOK_BACK_S) * NANOSECONDS, (now + 1) * NANOSECONDS
        params = {"query": query, "start": str(start), "end": str(end), "limit": str(LINES_MAX)}
        async with self._http.get(f"{self._url}/loki/api/v1/query_range", params=params) as answer:
            assert answer.status == 200, f"{query}: {await answer.text()}"
            told: Any = await answer.json()
        return [
            KeptLine(value[1], found["stream"])
            for found in told["data"]["result"]
            for value in found["values"]
        ]
