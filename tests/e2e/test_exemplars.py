"""From a number to the run behind it: what Prometheus keeps as exemplars are traces that exist."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from penstock_testkit.collector import Collector
from penstock_testkit.prometheus import program, scraping
from penstock_testkit.stack import RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        program("prometheus") is None,
        reason="not on this machine: apt-get install prometheus",
    ),
]
SHOWN_WITHIN_S = 30.0
MEASURED = (
    "penstock_http_request_seconds_bucket",
    "penstock_run_seconds_bucket",
    "penstock_task_queue_seconds_bucket",
    "penstock_task_seconds_bucket",
)


async def test_exemplars_name_the_traces_of_what_was_measured(tmp_path: Path):
    with Collector.listening() as collector:
        settings = {"PENSTOCK_SANDBOX": "inline", "PENSTOCK_OTLP_ENDPOINT": collector.url}
        async with (
            RunningStack.started(tmp_path / "state", **settings) as stack,
            scraping(tmp_path / "prometheus", stack.endpoints.ops_urls) as prometheus,
        ):
            await stack.register_builtin()
            await stack.apply("plain", {"only": {"agent": "noop"}})
            run = await stack.trigger("plain")
            trace = (await stack.ended(run))["run"]["traceparent"].split("-")[1]
            shown: dict[str, set[str]] = defaultdict(set)

            async def all_shown() -> bool:
                for name in MEASURED:
                    found = await prometheus.exemplars(name)
                    shown[name] |= {labels["trace_id"] for labels in found}
                return all(trace in shown[name] for name in MEASURED)

            try:
                await stack.until(all_shown, SHOWN_WITHIN_S)
            except TimeoutError:
                pytest.fail(f"{trace} is not in {dict(shown)}")

            missing: set[str] = set()

            async def all_exported() -> bool:
                missing.clear()
                missing.update(set().union(*shown.values()) - set(collector.traces()))
                return not missing

            try:
                await stack.until(all_exported, SHOWN_WITHIN_S)
            except TimeoutError:
                lost = {name: found & missing for name, found in shown.items()}
                pytest.fail(f"exemplars of traces that nobody was sent: {lost}")
