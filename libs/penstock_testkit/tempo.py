"""A Grafana Tempo that somebody runs, asked over its HTTP API."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire

from penstock_testkit.collector import Collector, KeptSpan

REQUEST_S = 10.0
LOOK_BACK_S = 600  # how far a search reaches
MAX_FOUND = 20
TRACE_ID_DIGITS = 32


class Tempo:
    """Searches and reads traces.

    Tempo shows a span to searches only when it is 30 s old (`query_frontend.query_end_cutoff`),
    and to whoever knows the trace's id at once.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        """Ask the API at `url`."""
        self._url = url.rstrip("/")
        self._http = http

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncGenerator[Self]:
        """Give the Tempo whose API is at `url`."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(REQUEST_S)) as http:
            yield cls(url, http)

    async def search(self, query: str) -> list[str]:
        """Give the ids of the traces that match a TraceQL query."""
        now = int(time.time())
        window = {"start": str(now - LOOK_BACK_S), "end": str(now + 1), "limit": str(MAX_FOUND)}
        async with self._http.get(
            f"{self._url}/api/search", params={"q": query, **window}
        ) as answer:
            assert answer.status == 200, f"{query}: {await answer.text()}"
            told: Any = await answer.json()
        # Search results drop an id's leading zeros.
        return [one["traceID"].zfill(TRACE_ID_DIGITS) for one in told.get("traces") or ()]

    async def spans(self, trace_id: str) -> list[KeptSpan]:
        """Read a trace by its id; it has no spans while Tempo does not know it."""
        accept = {"Accept": "application/protobuf"}
        async with self._http.get(f"{self._url}/api/traces/{trace_id}", headers=accept) as answer:
            if answer.status == 404:
                return []
            assert answer.status == 200, f"{trace_id}: {await answer.text()}"
            body = await answer.read()
        # The two messages have the same first and only field.
        collector = Collector()
        collector.Export(wire.ExportTraceServiceRequest.FromString(body), None)
        return collector.spans
