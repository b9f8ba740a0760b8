"""A fault of our own becomes a message to people, and its end too: every part is the real one.

Prometheus scrapes the services and looks at the rules of deploy/, Alertmanager runs with the
configuration of deploy/, the gateway makes triggers of what it posts, and the workflow of the
guide has the notifier tell a webhook. Only addresses, intervals and `for:` are this test's.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio
from ruamel.yaml import YAML

from penstock_adapters.embedded.ports import LOOPBACK, draw_free_port
from penstock_testkit.prometheus import Prometheus, alerting, program, scraping
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.guides import ROOT, fences
from tests.e2e.hands import POOL, Hands

PROGRAMS = ("prometheus", "prometheus-alertmanager")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not all(map(program, PROGRAMS)),
        reason=f"not on this machine: apt-get install {' '.join(PROGRAMS)}",
    ),
    pytest.mark.asyncio(loop_scope="module"),
]
ALERT = "PenstockNoExecutor"
EXAMPLE_URL = "https://hooks.example.org/penstock"
TOLD_WITHIN_S = 60.0
JOIN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where people are told: keeps what is posted."""

    port: int
    posted: SimpleQueue[Json]

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self.port}"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A webhook of somebody else."""
    posted: SimpleQueue[Json] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.put({**body, "key": self.headers["Idempotency-Key"]})
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Receiver(server.server_port, posted)
    server.shutdown()
    server.server_close()
    thread.join(JOIN_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack that Prometheus watches, with an executor that the test holds in its hand."""

    stack: RunningStack
    hands: Hands
    prometheus: Prometheus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> AsyncGenerator[Watched]:
    """Services, Prometheus and Alertmanager, and the guide's workflow."""
    folder, ops_port = tmp_path_factory.mktemp("alerts"), draw_free_port()
    settings = {
        "PENSTOCK_SANDBOX": "bubblewrap",
        "PENSTOCK_EGRESS_ALLOW": receiver.place,
        "PENSTOCK_POOLS": f"default,{POOL}",
    }
    async with RunningStack.started(folder / "state", **settings) as stack:
        await stack.register_bundle(ROOT / "agents/notifier")
        await apply_the_guides(stack, receiver)
        hands = Hands(stack, ops_port=ops_port)
        await hands.start()
        targets = {**stack.endpoints.ops_urls, "executor-2": f"http://{LOOPBACK}:{ops_port}"}
        config = rendered_receivers(
            stack.endpoints.gateway_url, await operators_token(stack, folder)
        )
        try:
            async with (
                alerting(folder / "alertmanager", config) as told,
                scraping(folder / "prometheus", targets, rendered_rules(), told) as prometheus,
            ):
                yield Watched(stack, hands, prometheus)
        finally:
            await hands.stop()


async def apply_the_guides(stack: RunningStack, receiver: Receiver) -> None:
    """Apply the workflow as the guide shows it, but for its address."""
    (file,) = (one.file for one in fences("watching") if one.file is not None)
    assert EXAMPLE_URL in file[1]
    text = file[1].replace(EXAMPLE_URL, f"http://{receiver.place}/on-call")
    document: Json = YAML(typ="safe").load(text)
    await stack.apply(**document)


async def operators_token(stack: RunningStack, folder: Path) -> Path:
    """Issue the token that Alertmanager gets; gives its file."""
    body = {"name": "alertmanager", "roles": ["operator"], "groups": []}
    status, issued = await stack.call("POST", "/api/tokens", body)
    assert status == 201, issued
    file = folder / "alertmanager-token"
    file.write_text(issued["token"])
    return file


def rendered_receivers(gateway_url: str, token: Path) -> str:
    """Give Alertmanager's configuration with this stack's addresses, and without patience."""
    text = (ROOT / "deploy/alertmanager/alertmanager.yml").read_text(encoding="utf-8")
    ours = {
        r"http://webhook-gateway:8080": gateway_url,
        r"/run/secrets/alertmanager-token": json.dumps(str(token)),
        r"(?<=group_wait: )\w+": "1s",
        r"(?<=group_interval: )\w+": "1s",
    }
    for pattern, value in ours.items():
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    return text


def rendered_rules() -> str:
    """Give the rules; what holds for a second counts."""
    text = (ROOT / "deploy/prometheus/rules/penstock.yml").read_text(encoding="utf-8")
    return re.sub(r"(?<=for: )\w+", "1s", text)


async def told(watched: Watched, receiver: Receiver, title: str) -> Json:
    """Wait until people have been told something; gives the message."""
    found: list[Json] = []

    async def arrived() -> bool:
        while not receiver.posted.empty():
            found.append(receiver.posted.get_nowait())
        return any(one["title"] == title for one in found)

    try:
        await watched.stack.until(arrived, TOLD_WITHIN_S)
    except TimeoutError:
        pytest.fail(f"told: {found}\nalerts: {await alerts(watched.prometheus)}")
    (message,) = (one for one in found if one["title"] == title)
    return message


async def alerts(prometheus: Prometheus) -> list[Any]:
    """Give what is pending or fires."""
    return [one["metric"] for one in await prometheus.query("ALERTS")]


async def served(watched: Watched) -> bool:
    """Tell whether Prometheus knows of an executor in our pool."""
    query = f'penstock_executor_capacity_tasks{{pool="{POOL}"}}'
    return bool(await watched.prometheus.query(query))


async def test_a_dead_executor_is_told_and_its_return_too(watched: Watched, receiver: Receiver):
    stack, hands = watched.stack, watched.hands
    say = {"agent": "notifier", "pool": POOL, "with": {"channels": ["console"], "message": "hi"}}
    await stack.apply("work", {"say": say})
    await stack.until(lambda: served(watched))

    await hands.kill()
    waiting = await stack.trigger("work")
    firing = await told(watched, receiver, f"firing: {ALERT}")

    assert firing["severity"] == "critical"
    assert firing["message"] == (
        f"tasks wait in pool {POOL}, and no executor serves it (docs/runbooks/{ALERT}.md)"
    )
    assert await stack.run_status(waiting) == "running"

    await hands.start()
    resolved = await told(watched, receiver, f"resolved: {ALERT}")

    assert resolved["severity"] == "info"
    assert resolved["key"] != firing["key"]
    ended = await stack.ended(waiting)
    assert ended["run"]["status"] == "succeeded", ended
    await assert_each_was_one_run(stack)


async def assert_each_was_one_run(stack: RunningStack) -> None:
    """Every state of an alert was one run, asked for with Alertmanager's token."""
    listed = await stack.get("/api/runs?workflow=tell-of-alerts&limit=100")
    runs = [(await stack.get(f"/api/runs/{one['run_id']}"))["run"] for one in listed["items"]]
    assert {run["requested_by"] for run in runs} == {"token:alertmanager"}
    told_of = [run["inputs"]["alert"] for run in runs]
    states = [(one["fingerprint"], one["starts_at"], one["status"]) for one in told_of]
    assert len(states) == len(set(states)), states
    names = [(one["labels"]["alertname"], one["status"]) for one in told_of]
    assert {(ALERT, "firing"), (ALERT, "resolved")} <= set(names)
