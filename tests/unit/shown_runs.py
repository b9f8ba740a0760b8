"""A run as the gateway tells of it, whole and by events."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from rich.console import Console

from penstock_cli.client import Content, ServerEvent
from penstock_cli.faults import CliFault, ExitCode

RUN = "6413a103-0000-8000-8000-000000000000"
NODE_FAILURE = {"code": "agent_crashed", "message": "exit 3"}


def document() -> dict[str, Any]:
    return {
        "run": {
            "run_id": RUN,
            "workflow": "demo",
            "status": "running",
            "started_us": 1_767_225_601_000_000,
        },
        "nodes": {name: {"status": "waiting"} for name in ("left", "right", "gate", "tell")},
        "order": ["left", "right", "gate", "tell"],
        "edges": {"left": [], "right": [], "gate": ["left", "right"], "tell": ["gate"]},
        "agents": {"left": "scanner", "right": "scanner", "gate": None, "tell": "notifier"},
    }


def event(version: int, kind: str, **data: object) -> ServerEvent:
    time = f"2026-01-01T00:00:{version:02d}.000000Z"
    return ServerEvent(kind, {"version": version, "time": time, "data": data}, str(version))


WHOLE = (
    event(1, "run_started", started_us=1_767_225_601_000_000),
    event(2, "task_scheduled", node="left", attempt=1),
    event(3, "task_scheduled", node="right", attempt=1),
    event(4, "task_started", node="left", attempt=1, executor="executor-1"),
    event(5, "node_succeeded", node="left", attempt=1),
    event(6, "attempt_failed", node="right", attempt=1, error=NODE_FAILURE),
    event(7, "task_scheduled", node="right", attempt=2),
    event(8, "node_failed", node="right", attempt=2, error=NODE_FAILURE),
    event(
        9,
        "run_failed",
        cause={"node": "right", "error": NODE_FAILURE},
        ended_us=1_767_225_609_000_000,
    ),
)


class FakeApi:
    """Serves one run's events, cut into connections that end where a test says."""

    def __init__(self, *connections: tuple[ServerEvent, ...] | CliFault) -> None:
        self.connections = list(connections)
        self.resumed_after: list[str] = []
        self.said: tuple[ServerEvent, ...] = ()

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return document()

    async def send(
        self, method: str, *path: str, body: object = None, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        return 200, {}

    def fetch(self, *path: str) -> AbstractAsyncContextManager[Content]:
        raise AssertionError(f"nothing is fetched here: {path}")

    @asynccontextmanager
    async def stream(
        self, *path: str, query: Mapping[str, str] | None = None, last_id: str = ""
    ) -> AsyncIterator[AsyncIterator[ServerEvent]]:
        if path[-1] == "logs":
            yield _each(self.said)
            return
        self.resumed_after.append(last_id)
        connection = self.connections.pop(0)
        if isinstance(connection, CliFault):
            raise connection
        yield _each(connection)


async def _each(events: tuple[ServerEvent, ...]) -> AsyncIterator[ServerEvent]:
    for item in events:
        yield item


END = ServerEvent("end", {})
LOST = CliFault("lost", "", ExitCode.UNREACHABLE)


async def at_once(_seconds: float) -> None:
    pass


def on_paper() -> Console:
    return Console(file=io.StringIO(), width=120)


def drawn(picture: Any, now_us: int = 0) -> str:
    console = on_paper()
    console.print(picture.tree(now_us))
    return console.file.getvalue()  # type: ignore[attr-defined]
