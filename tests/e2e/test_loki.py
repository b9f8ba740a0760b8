"""A run's log lines are found by the run and by its trace: in a real Loki where one is given.

`PENSTOCK_TEST_LOKI_URL` is its address. Without it our own collector stands in.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from penstock_testkit.collector import Collector
from penstock_testkit.loki import KeptLine, Loki
from penstock_testkit.stack import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

LOKI_URL = os.environ.get("PENSTOCK_TEST_LOKI_URL", "")
FOUND_WITHIN_S = 30.0
# What Grafana asks Loki when somebody goes from a span to its log lines.
OF_TRACE = (
    '{{service_name="executor"}} '
    '| label_format log_line_contains_trace_id=`{{{{ contains "{trace}" __line__ }}}}` '
    '| log_line_contains_trace_id="true" OR trace_id="{trace}"'
)


@dataclass(frozen=True, slots=True)
class Logs:
    """Where log lines are sent, and how those of a run are found again."""

    url: str
    of_run: Callable[[str], Awaitable[list[KeptLine]]]
    of_trace: Callable[[str], Awaitable[list[KeptLine]]]


@asynccontextmanager
async def in_loki() -> AsyncGenerator[Logs]:
    """Lines of the Loki that was given."""
    async with Loki.at(LOKI_URL) as loki:
        yield Logs(
            f"{LOKI_URL.rstrip('/')}/otlp/v1/logs",
            lambda run: loki.lines(f'{{service_name="executor"}} | run="{run}"'),
            lambda trace: loki.lines(OF_TRACE.format(trace=trace)),
        )


@asynccontextmanager
async def in_collector() -> AsyncGenerator[Logs]:
    """Lines of our own collector, told of as Loki would."""
    with Collector.listening() as collector:

        async def where(**asked: str) -> list[KeptLine]:
            lines = [
                KeptLine(
                    one.message,
                    {
                        **{name: str(value) for name, value in one.attributes.items()},
                        "service_name": one.service,
                        "service_instance_id": one.instance,
                        "severity_text": one.level,
                        "trace_id": one.trace_id,
                    },
                )
                for one in collector.records
            ]
            return [line for line in lines if asked.items() <= line.about.items()]

        yield Logs(
            f"{collector.http_url}/v1/logs",
            lambda run: where(service_name="executor", run=run),
            lambda trace: where(service_name="executor", trace_id=trace),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[tuple[RunningStack, Logs]]:
    """The stack, and where its log lines go: by OpenTelemetry's own variables, over HTTP."""
    async with in_loki() if LOKI_URL else in_collector() as logs:
        environ = {
            "PENSTOCK_SANDBOX": "inline",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": logs.url,
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
        }
        async with RunningStack.started(tmp_path_factory.mktemp("loki"), **environ) as stack:
            await stack.register_builtin()
            await stack.apply("failing", {"only": {"agent": "noop", "with": {"fail_times": 1}}})
            yield stack, logs


async def test_the_lines_of_a_run_are_found_by_run_and_by_trace(
    logged: tuple[RunningStack, Logs],
):
    stack, logs = logged
    run = await stack.trigger("failing")
    ended = (await stack.ended(run))["run"]
    assert ended["status"] == "failed", ended
    trace = ended["traceparent"].split("-")[1]
    found: list[KeptLine] = []

    async def there() -> bool:
        found[:] = await logs.of_run(run)
        return any(line.message == "task failed" for line in found)

    await stack.until(there, FOUND_WITHIN_S)

    (line,) = (line for line in found if line.message == "task failed")
    told = {
        "run": run,
        "node": "only",
        "agent": "noop",
        "code": "agent_failed",
        "trace_id": trace,
        "service_instance_id": "executor-1",
        "severity_text": "info",
    }
    assert {name: line.about.get(name) for name in told} == told
    assert "task failed" in [line.message for line in await logs.of_trace(trace)]
