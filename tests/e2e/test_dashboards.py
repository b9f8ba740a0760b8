"""Every panel of every dashboard shows something of a busy stack, in a real Prometheus."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from penstock_contracts.subjects import Stream
from penstock_testkit.dashboards import DASHBOARDS
from penstock_testkit.prometheus import Prometheus, program, scraping
from penstock_testkit.stack import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(program("prometheus") is None, reason="no prometheus on this machine"),
    pytest.mark.asyncio(loop_scope="module"),
]
RANGE_S = 20  # for $__rate_interval: some scrapes of a second each
SETTLE_S = 90.0


def substituted(expr: str) -> str:
    """Do what Grafana does: put in the interval, and every choice of each variable."""
    expr = expr.replace("$__rate_interval", f"{RANGE_S}s")
    for dashboard in DASHBOARDS:
        for variable in dashboard.variables:
            expr = expr.replace(f"${variable.name}", ".*")
    assert "$" not in expr, expr
    return expr


async def keep_busy(stack: RunningStack) -> None:
    """Runs that succeed, one that fails, gates that pass and one that waits, and nonsense."""
    await stack.apply("plain", {"one": {"agent": "noop"}, "two": {"agent": "noop-once"}})
    gate = {"ask": {"approval": {"approvers": {"roles": ["admin"]}}}}
    await stack.apply("gated", gate)
    waiting = await stack.trigger("gated")
    await stack.pending_approval(waiting)
    await stack.publish(
        Stream.RUNS.value, "penstock.default.run.run-0.nobody.start_run", b"not a message"
    )
    while True:
        await stack.ended(await stack.trigger("plain"))
        run = await stack.trigger("gated")
        await stack.respond(await stack.pending_approval(run), "approve", "fine")
        await stack.ended(run)
        await stack.call("POST", "/api/workflows/none/trigger", {})


async def empty_panels(prometheus: Prometheus) -> list[str]:
    """Name every query that gives nothing, or nothing that is a number."""
    found: list[str] = []
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                series = await prometheus.query(substituted(query.expr))
                if not any(_is_number(one) for one in series):
                    found.append(f"{dashboard.title} / {panel.title}: {query.expr}")
    return found


def _is_number(series: Any) -> bool:
    return not math.isnan(float(series["value"][1]))


async def test_no_panel_is_empty_and_none_is_an_error(stack: RunningStack, tmp_path: Path):
    busy = asyncio.create_task(keep_busy(stack))
    try:
        async with scraping(tmp_path / "prometheus", stack.endpoints.ops_urls) as prometheus:
            left = ["not asked yet"]

            async def all_shown() -> bool:
                if busy.done():
                    busy.result()
                left[:] = await empty_panels(prometheus)
                return not left

            try:
                await stack.until(all_shown, SETTLE_S)
            except TimeoutError:
                pytest.fail("empty: " + "\n".join(left))
            parked = await prometheus.query("sum(penstock_messages_parked_total)")
            assert float(parked[0]["value"][1]) >= 1
    finally:
        busy.cancel()
        await asyncio.wait([busy])
