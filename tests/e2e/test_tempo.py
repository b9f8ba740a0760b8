"""A run's trace is found by the run's id and is whole: in a real Tempo where one is given.

`PENSTOCK_TEST_TEMPO_URL` is the address of its API, `PENSTOCK_TEST_TEMPO_OTLP` that of its OTLP
receiver (gRPC; default: port 4317 of the same host). Without them our own collector stands in.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from penstock_testkit.collector import Collector, KeptSpan
from penstock_testkit.stack import Json, RunningStack
from penstock_testkit.tempo import Tempo

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

TEMPO_URL = os.environ.get("PENSTOCK_TEST_TEMPO_URL", "")
TEMPO_OTLP = os.environ.get("PENSTOCK_TEST_TEMPO_OTLP", "")
OTLP_PORT = 4317
SEARCHABLE_WITHIN_S = 90.0  # Tempo holds spans back from searches for 30 s
SERVICES = {"webhook-gateway", "scheduler", "executor", "approval"}
ASKS = {  # who asks whom, as the service map has to show it
    ("webhook-gateway", "scheduler"),
    ("webhook-gateway", "approval"),
    ("scheduler", "executor"),
    ("executor", "scheduler"),
    ("scheduler", "approval"),
    ("approval", "scheduler"),
}
NODES: Json = {
    "first": {"agent": "noop"},
    "review": {"needs": ["first"], "approval": {"title": "Go on?"}},
    "last": {"agent": "noop-once", "needs": ["review"]},
}


@dataclass(frozen=True, slots=True)
class Traces:
    """Where spans are sent, and how those of a run are found again."""

    otlp_url: str
    of_run: Callable[[str], Awaitable[list[KeptSpan]]]


@asynccontextmanager
async def in_tempo() -> AsyncGenerator[Traces]:
    """Traces of the Tempo that was given."""
    otlp = TEMPO_OTLP or f"http://{urlsplit(TEMPO_URL).hostname}:{OTLP_PORT}"
    async with Tempo.at(TEMPO_URL) as tempo:

        async def of_run(run: str) -> list[KeptSpan]:
            found = await tempo.search(f'{{ span.penstock.run_id = "{run}" }}')
            return [span for trace_id in found for span in await tempo.spans(trace_id)]

        yield Traces(otlp, of_run)


@asynccontextmanager
async def in_collector() -> AsyncGenerator[Traces]:
    """Traces of our own collector."""
    with Collector.listening() as collector:

        async def of_run(run: str) -> list[KeptSpan]:
            spans = collector.spans
            ids = {one.trace_id for one in spans if one.attributes.get("penstock.run_id") == run}
            return [one for one in spans if one.trace_id in ids]

        yield Traces(collector.url, of_run)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[tuple[RunningStack, Traces]]:
    """The stack, and where its spans go."""
    async with in_tempo() if TEMPO_URL else in_collector() as traces:
        environ = {"PENSTOCK_SANDBOX": "inline", "PENSTOCK_OTLP_ENDPOINT": traces.otlp_url}
        async with RunningStack.started(tmp_path_factory.mktemp("tempo"), **environ) as stack:
            await stack.register_builtin()
            await stack.apply("reviewed", NODES)
            yield stack, traces


def orphans(spans: list[KeptSpan]) -> list[KeptSpan]:
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent and span.parent not in known]


def told(spans: list[KeptSpan]) -> str:
    return "\n".join(f"{one.service} {one.name} {one.span_id} < {one.parent}" for one in spans)


def edges(spans: list[KeptSpan]) -> set[tuple[str, str]]:
    """Give who asks whom, as Tempo makes a service map: of a span that sends and its child."""
    kinds = {span.span_id: Span.FromString(span.raw).kind for span in spans}
    services = {span.span_id: span.service for span in spans}
    return {
        (services[span.parent], span.service)
        for span in spans
        if kinds.get(span.parent) in (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)
        and kinds[span.span_id] in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
    }


async def whole_traces(
    stack: RunningStack, traces: Traces, run: str
) -> tuple[list[KeptSpan], list[KeptSpan]]:
    """Wait until nothing is missing; gives the spans of the run's trace and of its vote's."""
    of_run: list[KeptSpan] = []
    of_vote: list[KeptSpan] = []

    async def whole() -> bool:
        found = await traces.of_run(run)
        ids = {span.trace_id for span in found if span.name == "run"}
        of_run[:] = [span for span in found if span.trace_id in ids]
        of_vote[:] = [span for span in found if span.trace_id not in ids]
        complete = {span.service for span in of_run} >= SERVICES and bool(of_vote)
        return complete and not orphans(found)

    try:
        await stack.until(whole, SEARCHABLE_WITHIN_S)
    except TimeoutError:
        found = of_run + of_vote
        pytest.fail(f"{told(found)}\norphans:\n{told(orphans(found))}")
    return of_run, of_vote


async def test_the_trace_of_a_run_is_found_by_its_id_and_whole(
    traced: tuple[RunningStack, Traces],
):
    stack, traces = traced
    run = await stack.trigger("reviewed")
    await stack.respond(await stack.pending_approval(run), "approve", "fine")
    shown = (await stack.ended(run))["run"]
    assert shown["status"] == "succeeded", shown

    spans, vote = await whole_traces(stack, traces, run)

    assert {span.service for span in spans} == SERVICES
    assert len({span.trace_id for span in spans}) == 1
    assert len([span for span in spans if not span.parent]) == 1, told(spans)
    wall_us = shown["ended_us"] - shown["started_us"]
    (ran,) = (span for span in spans if span.name == "run")
    assert (ran.end_ns - ran.start_ns) / 1000 == pytest.approx(wall_us, rel=0.05)
    of_nodes = [span for span in spans if "penstock.node" in span.attributes]
    assert {span.attributes["penstock.node"] for span in of_nodes} == set(NODES), told(of_nodes)
    (waited,) = (span for span in spans if span.name == "approval wait")
    assert {span.trace_id for span in vote} == set(waited.links)
    assert {edge for edge in edges(spans + vote) if edge[0] != edge[1]} == ASKS
