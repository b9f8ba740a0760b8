"""The whole stack for end-to-end tests and benchmarks: real servers, four service processes."""

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp

from penstock_adapters.bundles import read_bundle
from penstock_adapters.embedded.postgres_roles import service_of
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.inline import builtin_manifests
from penstock_adapters.nats.connection import NatsConnection, NatsSettings, connect
from penstock_adapters.nats.publisher import NatsPublisher
from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_adapters.postgres.projection import PostgresProjection
from penstock_contracts.permissions import BusUser
from penstock_contracts.records import ReadEvent, read_record
from penstock_contracts.subjects import GATEWAY_PARTITION
from penstock_runtime.ports.bus import Outgoing, Published

SERVICES = ("scheduler", "executor", "approval", "webhook-gateway")
MODULES = {
    "scheduler": "penstock_scheduler",
    "executor": "penstock_executor",
    "approval": "penstock_approval",
    "webhook-gateway": "penstock_webhook_gateway",
}
GATEWAY = "webhook-gateway-1"  # the name under which the embedded gateway holds its read model
LEASE_S = 10.0
WAIT_S = 60.0
POLL_S = 0.02
Json = dict[str, Any]


class RunningStack:
    """The stack with its doors: HTTP API, bus, stores."""

    def __init__(
        self, home: Path, environ: Mapping[str, str], names: Sequence[str] = SERVICES
    ) -> None:
        """Prepare a stack in `home`; `environ` is what its services inherit beside our own.

        Args:
            home: its state folder.
            environ: what its services inherit beside our own environment.
            names: its processes: services, and further instances such as `scheduler-2`.
        """
        self.home = home
        modules = {name: MODULES[name.rstrip("-0123456789")] for name in names}
        services = {name: [sys.executable, "-m", module] for name, module in modules.items()}
        self._stack = EmbeddedStack(home, services, environ={**os.environ, **environ})
        self._http: aiohttp.ClientSession | None = None
        self._bus: NatsConnection | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls, home: Path, names: Sequence[str] = SERVICES, **environ: str
    ) -> AsyncGenerator[Self]:
        """Give a running stack; it is stopped at the end, whatever happened."""
        stack = cls(home, environ, names)
        try:
            await stack.start()
            yield stack
        finally:
            await stack.stop()

    async def start(self) -> None:
        """Start everything and wait until it is ready."""
        await self._stack.start()
        await self._open(self._stack.endpoints.gateway_url)

    async def _open(self, gateway_url: str) -> None:
        headers = {"Authorization": f"Bearer {self.admin_token()}"}
        self._http = aiohttp.ClientSession(
            gateway_url, headers=headers, timeout=aiohttp.ClientTimeout(30)
        )
        await self.until(self._answers)

    def admin_token(self) -> str:
        """Give the administrator's token."""
        return self._stack.folder.admin_token.read_text().strip()

    async def stop(self) -> None:
        """Stop everything."""
        await self._leave()
        await self._stack.stop()

    async def _leave(self) -> None:
        """Close what we hold ourselves."""
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()
        if self._http is not None:
            await self._http.close()

    async def _answers(self) -> bool:
        try:
            status, _ = await self.call("GET", "/api/status")
        except aiohttp.ClientError:
            return False
        return status == 200

    # --- processes --------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Process id of a service, of `nats` or of `postgres`."""
        found = self._stack.pid(name)
        assert found is not None, f"{name} does not run"
        return found

    async def kill(self, name: str) -> None:
        """Kill -9, and wait until the supervisor has started it again."""
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        await self.until(lambda: self._replaced(name, before))

    async def restart(self, name: str) -> None:
        """End one service as an operator would, start it again, and wait until it is ready."""
        await self._stack.restart(name)

    async def _replaced(self, name: str, before: int) -> bool:
        return self._stack.pid(name) not in (None, before)

    async def lose_jetstream(self) -> None:
        """Kill the bus and delete everything it stored; the supervisor starts it again."""
        before = self.pid("nats")
        store = self._stack.folder.nats / "store"
        os.kill(before, signal.SIGSTOP)  # nothing may be written between deletion and death
        grave = self.home / f"lost-{before}"
        store.rename(grave)
        os.kill(before, signal.SIGKILL)
        await self.until(lambda: self._replaced("nats", before))

    async def lose_read_model(self) -> None:
        """Drop every row of the gateway's projection; the gateway has to build it anew."""
        url = self.endpoints.postgres_urls[service_of("penstock_gateway")]
        async with PostgresProjection(url) as store:
            row = await store.acquire(GATEWAY_PARTITION, GATEWAY, LEASE_S)
            assert row is not None, "another gateway holds the read model"
            await store.reset(GATEWAY_PARTITION, row.epoch)
            await store.release(GATEWAY_PARTITION, row.epoch)

    @property
    def endpoints(self) -> Any:  # noqa: ANN401 - the stack's own type
        """Addresses and credentials."""
        return self._stack.endpoints

    # --- HTTP -------------------------------------------------------------------------------

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        """Make a request; gives status and JSON."""
        assert self._http is not None
        async with self._http.request(method, path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def send(
        self, method: str, path: str, data: bytes | AsyncIterator[bytes], **headers: str
    ) -> tuple[int, Json]:
        """Send bytes as they are, in pieces if they come in pieces; gives status and JSON."""
        assert self._http is not None
        told = {"Content-Type": "application/json"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self._http.request(method, path, data=body, headers=told) as answer:
            return answer.status, await answer.json(content_type=None)

    async def frames(self, path: str, after: int = 0) -> AsyncGenerator[Json]:
        """Read server-sent events until `end`, or until the gateway is gone.

        Each is given as `{"event": ..., "id": ..., "data": ...}`; `after` is the last one seen.
        """
        assert self._http is not None
        headers = {"Last-Event-ID": str(after)}
        async with self._http.get(path, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            frame: Json = {}
            with contextlib.suppress(aiohttp.ClientError):
                async for line in answer.content:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "data":
                        frame[name] = json.loads(value)
                    elif name:
                        frame[name] = value
                    elif frame:
                        yield frame
                        if frame.get("event") == "end":
                            return
                        frame = {}

    async def get(self, path: str) -> Json:
        """Read; the answer must be 200."""
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body

    async def register_builtin(self) -> None:
        """Register the agents of the inline adapter."""
        for manifest in builtin_manifests():
            await self.register(manifest.to_data())

    async def register(self, manifest: Json) -> None:
        """Register an agent."""
        status, body = await self.call("PUT", f"/api/agents/{manifest['name']}", manifest)
        assert status == 200, body

    async def register_bundle(self, folder: Path) -> None:
        """Register the agent in `folder` with the digest that the executor finds."""
        await self.register(read_bundle(folder).manifest.to_data())

    async def apply(self, name: str, nodes: Json, **more: Any) -> None:  # noqa: ANN401 - document
        """Apply a workflow."""
        document = {"name": name, "nodes": nodes, **more}
        status, body = await self.call("PUT", f"/api/workflows/{name}", document)
        assert status == 200, body

    async def trigger(self, workflow: str, **inputs: Any) -> str:  # noqa: ANN401 - inputs
        """Start a run; gives its id."""
        path = f"/api/workflows/{workflow}/trigger"
        status, body = await self.call("POST", path, {"inputs": inputs})
        assert status == 201, body
        run_id: str = body["runs"][0]["run_id"]
        return run_id

    async def run_status(self, run_id: str) -> str:
        """Give a run's status, or '' while the gateway does not answer or know it."""
        try:
            status, body = await self.call("GET", f"/api/runs/{run_id}")
        except (aiohttp.ClientError, TimeoutError):
            return ""
        return body["run"]["status"] if status == 200 else ""

    async def ended(self, run_id: str, wait_s: float = WAIT_S) -> Json:
        """Wait until a run has ended; gives what the API shows of it."""

        async def over() -> bool:
            return await self.run_status(run_id) in ("succeeded", "failed", "cancelled")

        await self.until(over, wait_s)
        return await self.get(f"/api/runs/{run_id}")

    async def pending_approval(self, run_id: str) -> str:
        """Wait for the approval that a run waits for; gives its id."""
        found: list[str] = []

        async def asked() -> bool:
            try:
                listed = await self.get("/api/approvals?status=pending&limit=500")
            except (aiohttp.ClientError, AssertionError):
                return False
            found[:] = [item["approval_id"] for item in listed["items"] if item["run_id"] == run_id]
            return bool(found)

        await self.until(asked)
        return found[0]

    async def respond(self, approval_id: str, decision: str, reason: str = "") -> Json:
        """Decide an approval."""
        body = {"decision": decision, "reason": reason}
        status, answer = await self.call("POST", f"/api/approvals/{approval_id}/respond", body)
        assert status == 200, answer
        return answer

    async def until(self, holds: Callable[[], Awaitable[bool]], wait_s: float = WAIT_S) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: it did not within `wait_s` seconds.
        """
        deadline = time.monotonic() + wait_s
        while not await holds():
            if time.monotonic() > deadline:
                raise TimeoutError("the condition did not come to hold")
            await asyncio.sleep(POLL_S)

    # --- bus and stores ---------------------------------------------------------------------

    async def bus(self, user: BusUser = BusUser.ADMIN) -> NatsConnection:
        """Give a connection to the bus, made once."""
        if self._bus is None:
            login = self.endpoints.logins[user]
            self._bus = await connect(
                NatsSettings(
                    url=login.url,
                    user=login.user,
                    password=login.password,
                    inbox_prefix=login.inbox_prefix,
                )
            )
        return self._bus

    async def publish(
        self, stream: str, subject: str, payload: bytes, message_id: str | None = None
    ) -> Published:
        """Publish one message as the administrator."""
        message = Outgoing(stream, subject, payload, message_id)
        return (await NatsPublisher(await self.bus()).publish([message]))[0]

    def stored(self, aggregate_id: str, database: str = "penstock_scheduler") -> list[ReadEvent]:
        """Read an aggregate's events from the store, as an auditor."""
        with PostgresAuditor(self.endpoints.auditor_urls[database]) as auditor:
            return [read_record(record) for record in auditor.of_aggregate(aggregate_id)]

    def partition(self, name: str, database: str = "penstock_scheduler") -> list[ReadEvent]:
        """Read a partition's events from the store, as an auditor."""
        with PostgresAuditor(self.endpoints.auditor_urls[database]) as auditor:
            return [read_record(record) for record in auditor.of_partition(name)]

    def chain_fault(self, name: str, database: str = "penstock_scheduler") -> str | None:
        """Recompute a partition's hash chain; None: it holds."""
        with PostgresAuditor(self.endpoints.auditor_urls[database]) as auditor:
            return auditor.verify(name).fault
