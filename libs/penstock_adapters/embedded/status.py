"""The status document: what a supervisor tells everybody else, and how they read it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from penstock_adapters.embedded.faults import StateDamagedError
from penstock_adapters.embedded.home import StateFolder, read_object, write_private
from penstock_adapters.embedded.processes import Identity
from penstock_adapters.embedded.supervisor import ChildEvent


class StackState(StrEnum):
    """What the stack as a whole is doing."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"  # it could not start; `fault` says why
    DEAD = "dead"  # the supervisor ended without saying so


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child as last reported.

    Attributes:
        name: the child.
        state: a `ChildState` value.
        pid: its process, or None.
        restarts: how often it has been started again.
        detail: why it is in this state.
        since_us: when it entered the state, microseconds since the epoch.
    """

    name: str
    state: str
    pid: int | None
    restarts: int
    detail: str
    since_us: int


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The stack as last reported.

    Attributes:
        state: the whole.
        gateway_url: HTTP API, empty before the first readiness.
        fault: why it could not start, or empty.
        supervisor: identity of the supervisor, or None when it supervises nothing any more.
        children: servers and services in the order they were started.
    """

    state: StackState
    gateway_url: str = ""
    fault: str = ""
    supervisor: Identity | None = None
    children: tuple[ChildStatus, ...] = ()


class StatusBook:
    """Writes the status document of this process's stack."""

    def __init__(self, path: Path) -> None:
        """Keep the document at `path`."""
        self._path: Path = path
        self._document: dict[str, object] = {}
        self._children: dict[str, dict[str, object]] = {}

    def begin(self) -> None:
        """Say that this process is the supervisor and starts."""
        identity = Identity.of(os.getpid())
        if identity is not None:
            self._document = {
                "pid": identity.pid,
                "start_ticks": identity.start_ticks,
                "boot_id": identity.boot_id,
            }
        self._write(StackState.STARTING)

    def ready(self, gateway_url: str) -> None:
        """Say that everything is ready."""
        self._document["gateway_url"] = gateway_url
        self._write(StackState.READY)

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self._write(StackState.STOPPING)

    def end(self, fault: str | None) -> None:
        """Say that nothing runs any more, and why if that was not asked for."""
        if fault is not None:
            self._document["fault"] = fault
        self._write(StackState.STOPPED if fault is None else StackState.FAILED)

    def note(self, event: ChildEvent) -> None:
        """Record a change of a child."""
        self._children[event.name] = {
            "name": event.name,
            "state": event.state.value,
            "pid": event.pid,
            "restarts": event.restarts,
            "detail": event.detail,
            "since_us": time.time_ns() // 1000,
        }
        self._write(StackState(str(self._document["state"])))

    def _write(self, state: StackState) -> None:
        self._document["state"] = state.value
        document = {**self._document, "children": list(self._children.values())}
        write_private(self._path, json.dumps(document, indent=1) + "\n", durable=False)


def read_status(folder: StateFolder) -> StackStatus:
    """Read the document and check that its author still lives.

    Raises:
        StateDamagedError: the file is not what a supervisor writes.
    """
    document = read_object(folder.status)
    if document is None:
        return StackStatus(StackState.STOPPED)
    try:
        state = StackState(str(document["state"]))
        items = cast("list[dict[str, object]]", document["children"])
        children = tuple(_child(item) for item in items)
    except (KeyError, TypeError, ValueError) as error:
        raise StateDamagedError(f"{folder.status} is not a status document: {error}") from error
    supervisor = Identity.told(document)  # of the same document: another may follow at any time
    over = state in (StackState.STOPPED, StackState.FAILED)
    lives = not over and supervisor is not None and supervisor.alive()
    if not lives and not over:
        state = StackState.DEAD
    return StackStatus(
        state,
        str(document.get("gateway_url", "")),
        str(document.get("fault", "")),
        supervisor if lives else None,
        children,
    )


def _child(item: dict[str, object]) -> ChildStatus:
    pid = item["pid"]
    return ChildStatus(
        name=str(item["name"]),
        state=str(item["state"]),
        pid=pid if isinstance(pid, int) else None,
        restarts=int(str(item["restarts"])),
        detail=str(item["detail"]),
        since_us=int(str(item["since_us"])),
    )
