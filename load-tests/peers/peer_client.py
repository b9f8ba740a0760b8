"""A client at Penstock's public doors: triggers and endings on NATS, approvals over HTTP.

One subscription tells of every run that has succeeded, one of every run that has failed; nothing
is asked for repeatedly.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from peer_workflows import GATE, Shape

from penstock_adapters.embedded.credentials import SecretBook, nats_secret
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.nats.tail import NatsStreamTail
from penstock_contracts import subjects
from penstock_contracts.ids import approval_id, run_id
from penstock_contracts.permissions import BusUser, inbox_prefix
from penstock_contracts.records import ReadEvent, read_published
from penstock_contracts.run.v1 import RunFailed, RunSucceeded
from penstock_contracts.subjects import Stream
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.bus import Outgoing, Published

ANSWER_WITHIN_S: Final = 60.0  # of one request
ENDS_WITHIN_S: Final = 900.0  # of one run, then something is wrong
PUBLISHED_WITHIN_S: Final = 60.0
SHOWN_WITHIN_S: Final = 120.0  # of a gate in the read model
AGAIN_S: Final = 0.1
FOLLOWING_WITHIN_S: Final = 30.0


@dataclass(slots=True)
class Begun:
    """A run that was asked for.

    Attributes:
        ended: its outputs, or why it has none.
    """

    shape: Shape
    run: str
    ended: "asyncio.Future[dict[str, Any]]" = field(repr=False)

    async def result(self) -> dict[str, Any]:
        """Wait for its end.

        Raises:
            RuntimeError: it failed.
            TimeoutError: it has not ended in time.
        """
        if not self.ended.done():
            done, _ = await asyncio.wait((self.ended,), timeout=ENDS_WITHIN_S)
            if not done:
                raise TimeoutError(f"run {self.run} has not ended within {ENDS_WITHIN_S:g} s")
        return self.shape.result(self.ended.result())


class PeerClient:
    """Starts runs, waits for them, and decides on their gates."""

    def __init__(self, folder: StateFolder, gateway_url: str) -> None:
        """Talk to the stack in `folder`; `open` connects."""
        self._folder = folder
        self._url = gateway_url
        self._doors = contextlib.AsyncExitStack()
        self._applied: dict[Shape, asyncio.Task[bool]] = {}
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def open(self) -> None:
        """Connect, register the built-in agents, follow the endings of runs."""
        login = json.loads(self._folder.trigger_creds.read_text())
        trigger = NatsSettings(**login)
        secret = SecretBook(self._folder.secrets)[nats_secret(BusUser.ADMIN)]
        reader = NatsSettings(
            login["url"], BusUser.ADMIN, secret, inbox_prefix=inbox_prefix(BusUser.ADMIN)
        )
        self._publisher = NatsPublisher(await self._connected(trigger))
        token = self._folder.admin_token.read_text().strip()
        self._http = await self._doors.enter_async_context(
            aiohttp.ClientSession(
                self._url,
                headers={"Authorization": f"Bearer {token}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(ANSWER_WITHIN_S),
            )
        )
        for manifest in builtin_manifests():
            await self._call("PUT", f"/api/agents/{manifest.name}", manifest.to_data())
        bus = await self._connected(reader)
        for kind in (RunSucceeded, RunFailed):
            await self._follow(NatsStreamTail(bus), kind.TYPE.split(".")[1])

    async def close(self) -> None:
        """Leave."""
        await self._doors.aclose()

    async def _connected(self, settings: NatsSettings) -> NatsConnection:
        connection = await connect(settings)
        _ = self._doors.push_async_callback(connection.close)
        return connection

    # --- endings ----------------------------------------------------------------------------

    async def _follow(self, tail: NatsStreamTail, event: str) -> None:
        pattern = subjects.events_of(DEFAULT_TENANT, "run", event_type=event)
        ready = asyncio.Event()

        async def follow() -> None:
            async with tail.follow(Stream.EVENTS, pattern) as messages:
                ready.set()
                async for message in messages:
                    self._ended(read_published(message.payload))

        task = asyncio.create_task(follow(), name=f"follow {event}")
        task.add_done_callback(self._deaf)
        _ = self._doors.callback(task.cancel)
        async with asyncio.timeout(FOLLOWING_WITHIN_S):
            _ = await ready.wait()

    def _ended(self, event: ReadEvent) -> None:
        waiting = self._waiting.pop(event.aggregate_id, None)
        if waiting is None or waiting.done():
            return
        if event.topic == RunSucceeded.TYPE:
            waiting.set_result(event.data.get("outputs", {}))
        else:
            waiting.set_exception(
                RuntimeError(f"run {event.aggregate_id} failed: {event.data['cause']}")
            )

    def _deaf(self, task: "asyncio.Task[None]") -> None:
        """Nobody hears of endings any more: who waits is told."""
        if task.cancelled():
            return
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RuntimeError(f"cannot follow runs: {task.exception()!r}"))

    # --- runs -------------------------------------------------------------------------------

    async def start(self, kind: str, name: str, parameters: Mapping[str, Any]) -> Begun:
        """Trigger a run; the trigger's name makes it the same one, if asked for twice.

        Raises:
            TimeoutError: the bus does not take it.
        """
        shape = Shape.of(kind, parameters)
        await self._known(shape)
        begun = Begun(
            shape,
            run_id(DEFAULT_TENANT, shape.name, f"msg:{name}"),
            asyncio.get_running_loop().create_future(),
        )
        self._waiting[begun.run] = begun.ended
        subject = subjects.trigger(DEFAULT_TENANT, f"workflow.{shape.name}")
        body = json.dumps({"inputs": parameters}).encode()
        message = Outgoing(Stream.TRIGGERS, subject, body, name)
        async with asyncio.timeout(PUBLISHED_WITHIN_S):
            while True:
                (told,) = await self._publisher.publish([message])
                if told is Published.DONE:  # also of one that had come before
                    return begun
                await asyncio.sleep(AGAIN_S)

    async def _known(self, shape: Shape) -> None:
        """Apply the workflow before its first run."""
        task = self._applied.get(shape)
        if task is None:
            put = self._call("PUT", f"/api/workflows/{shape.name}", shape.document())
            task = self._applied[shape] = asyncio.create_task(put)
        if not task.done() or task.exception() is not None:
            await task

    async def approve(self, begun: Begun) -> None:
        """Approve the gate of a parked run, which may not be shown yet.

        Raises:
            RuntimeError: the vote is refused.
            TimeoutError: the gate is not shown in time.
        """
        path = f"/api/approvals/{approval_id(begun.run, GATE, 1)}/respond"
        async with asyncio.timeout(SHOWN_WITHIN_S):
            while True:
                if await self._call("POST", path, {"decision": "approve"}, absent=404):
                    return
                await asyncio.sleep(AGAIN_S)

    async def _call(self, method: str, path: str, body: object, absent: int | None = None) -> bool:
        """Make a request; False: there is no such thing, where that is an answer.

        Raises:
            RuntimeError: it is refused.
        """
        async with self._http.request(method, path, json=body) as answer:
            text = await answer.text()
            if answer.status not in (200, absent):
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
            return answer.status == 200
