"""Further instances of a running stack's services, load on all its gateways, and who owns what."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Self
from uuid import uuid4

import aiohttp

from penstock_adapters.postgres.auditor import PostgresAuditor
from penstock_contracts.ids import derive, run_id
from penstock_contracts.records import ReadEvent, read_record
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.ports.ledger import PartitionRow
from penstock_testkit.stack import MODULES, RunningStack

STOP_WITHIN_S = 30.0
ANSWER_S = 15.0  # for one request; a command is answered within ten seconds in any case
INSIST_S = 90.0  # for a request that is repeated until it is taken
INSIST_EVERY_S = 0.2
SCHEDULER, APPROVAL, GATEWAY = "penstock_scheduler", "penstock_approval", "penstock_gateway"


def environ_of(pid: int) -> dict[str, str]:
    """Give the environment of a process."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def process_of(instance: str) -> str:
    """Give the supervised process of an instance: `scheduler-1` is `scheduler`."""
    return instance.removesuffix("-1")


class Written:
    """What an instance writes into its log from now on."""

    def __init__(self, stack: RunningStack, instance: str) -> None:
        """Pass over all that it has written so far."""
        self._path = stack.home / "logs" / f"{process_of(instance)}.log"
        self._start = self._path.stat().st_size

    def lines(self) -> list[str]:
        """Give the whole lines that are there."""
        with self._path.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace").split("\n")[:-1]

    def ended(self) -> set[str]:
        """Give the partitions an epoch of which has ended by a fault, whichever came first.

        Who was overtaken learns of it from its lease, from a commit or from the relay, and loses
        its connections besides when it was held up for long: the log tells the first alone.
        """
        told = (line for line in self.lines() if "an epoch has ended" in line)
        return {str(json.loads(line)["partition"]) for line in told}


class Extra:
    """An instance that no supervisor starts again."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Hold a process that was started as `name`."""
        self.name = name
        self._process = process

    @classmethod
    @asynccontextmanager
    async def beside(
        cls, stack: RunningStack, service: str, name: str, **environ: str
    ) -> AsyncGenerator[Self]:
        """Run another instance of `service` with the same access and another name."""
        told = environ_of(stack.pid(service)) | {
            "PENSTOCK_NAME": name,
            "PENSTOCK_INSTANCE": name,
            "PENSTOCK_OPS_PORT": "0",
            "PENSTOCK_HTTP_PORT": "0",
            **environ,
        }
        with (stack.home / "logs" / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULES[service], env=told, stdout=log, stderr=log
            )
        try:
            yield cls(name, process)
        finally:
            if process.returncode is None:
                process.terminate()
                process.send_signal(signal.SIGCONT)
                async with asyncio.timeout(STOP_WITHIN_S):
                    await process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; gives its exit code."""
        async with asyncio.timeout(STOP_WITHIN_S):
            return await self._process.wait()


class Owners:
    """Reads a store's partitions over one connection, as an auditor."""

    def __init__(self, stack: RunningStack, database: str = SCHEDULER) -> None:
        """Read from `database`."""
        self._auditor = PostgresAuditor(stack.endpoints.auditor_urls[database])

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._auditor.close()

    def all(self) -> dict[str, PartitionRow]:
        """Give every partition's row, by name."""
        return {row.partition: row for row in self._auditor.partitions()}

    def of(self, owner: str) -> dict[str, PartitionRow]:
        """Give the rows of one owner."""
        return {name: row for name, row in self.all().items() if row.owner == owner}

    def counts(self) -> Counter[str]:
        """Count the partitions of each owner."""
        return Counter(row.owner for row in self.all().values())

    def stories(self) -> dict[str, list[ReadEvent]]:
        """Give every aggregate's events, whichever partition they are in."""
        found: dict[str, list[ReadEvent]] = defaultdict(list)
        for name in self.all():
            for record in self._auditor.of_partition(name):
                found[record.aggregate_id].append(read_record(record))
        return found


async def moved(stack: RunningStack, owners: Owners, before: Mapping[str, PartitionRow]) -> float:
    """Wait until others have committed to these partitions; gives the seconds it took."""
    began = time.monotonic()

    async def so() -> bool:
        now = owners.all()
        return all(_follows(now[name], old) for name, old in before.items())

    await stack.until(so)
    return time.monotonic() - began


def _follows(now: PartitionRow, old: PartitionRow) -> bool:
    return now.owner != old.owner and now.commit_number > old.commit_number


@dataclass(slots=True)
class Told:
    """What a client has seen of its requests.

    Attributes:
        runs: accepted, in order.
        delivered: trigger ids answered by 202, whose runs nobody has told yet.
        retried: requests that succeeded at the second try, by what went wrong at the first.
        failed: requests that failed twice, and how.
        longest_s: the slowest request with its retry.
    """

    runs: list[str] = field(default_factory=list[str])
    delivered: list[str] = field(default_factory=list[str])
    retried: Counter[str] = field(default_factory=Counter[str])
    failed: list[str] = field(default_factory=list[str])
    longest_s: float = 0.0


class Client:
    """Triggers runs at a steady pace and reads them, at all gateways in turn; tries once more."""

    def __init__(
        self, stack: RunningStack, workflow: str, pace_s: float, urls: Sequence[str] = ()
    ) -> None:
        """Trigger `workflow` every `pace_s` seconds, at the gateways of `urls` (default: all)."""
        self._urls = tuple(urls) or tuple(stack.endpoints.gateway_urls.values())
        self._token = stack.admin_token()
        self._workflow = workflow
        self._pace_s = pace_s
        self._name = str(uuid4())  # no other's: who repeats a key is given the first one's run
        self.told = Told()

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[Told]:
        """Go on until the context is left; what was begun is ended."""
        headers = {"Authorization": f"Bearer {self._token}"}
        session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(ANSWER_S))
        stop = asyncio.Event()
        async with session as http, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._go(http, stop, tasks))
            yield self.told
            stop.set()

    def promised(self) -> list[str]:
        """Give the runs of all triggers that were taken; one answered by 202 has its run, too."""
        later = (run_id(DEFAULT_TENANT, self._workflow, one) for one in self.told.delivered)
        return [*self.told.runs, *later]

    async def insist(self, path: str, body: object) -> None:
        """Post something, one and the same, until it is taken (200) or has been before (409).

        Raises:
            TimeoutError: it was not within `INSIST_S`; says the last answer.
        """
        told = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": str(uuid4())}
        limit = aiohttp.ClientTimeout(ANSWER_S)
        deadline, answered = time.monotonic() + INSIST_S, ""
        async with aiohttp.ClientSession(headers=told, timeout=limit) as http:
            while time.monotonic() < deadline:
                try:
                    async with http.post(self._urls[0] + path, json=body) as answer:
                        if answer.status in (HTTPStatus.OK, HTTPStatus.CONFLICT):
                            return
                        answered = f"{answer.status}: {await answer.text()}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    answered = type(error).__name__
                await asyncio.sleep(INSIST_EVERY_S)
        raise TimeoutError(f"POST {path} was not taken, at last {answered}")

    async def _go(
        self, http: aiohttp.ClientSession, stop: asyncio.Event, tasks: asyncio.TaskGroup
    ) -> None:
        number = 0
        while not stop.is_set():
            tasks.create_task(self._trigger(http, number))
            if self.told.runs:
                tasks.create_task(self._read(http, number))
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace_s):
                    await stop.wait()

    async def _trigger(self, http: aiohttp.ClientSession, number: int) -> None:
        path = f"/api/workflows/{self._workflow}/trigger"
        key = derive("client", self._name, str(number))
        status, body = await self._twice(http, number, "POST", path, key)
        if status == 201:
            self.told.runs.extend(run["run_id"] for run in body["runs"])
        elif status == 202:
            self.told.delivered.append(str(body["trigger_id"]))

    async def _read(self, http: aiohttp.ClientSession, number: int) -> None:
        run = self.told.runs[number % len(self.told.runs)]
        await self._twice(http, number, "GET", f"/api/runs/{run}", "")

    async def _twice(
        self, http: aiohttp.ClientSession, number: int, method: str, path: str, key: str
    ) -> tuple[int, dict[str, list[dict[str, str]]]]:
        """Ask a gateway and, if that fails, another; as a client with one retry does."""
        began, wrong = time.monotonic(), ""
        headers = {"Idempotency-Key": key} if key else {}
        for attempt in range(2):
            url = self._urls[(number + attempt) % len(self._urls)] + path
            try:
                async with http.request(method, url, headers=headers) as answer:
                    if answer.status in (200, 201, 202):
                        body = await answer.json()
                        self.told.longest_s = max(self.told.longest_s, time.monotonic() - began)
                        if wrong:
                            self.told.retried[wrong] += 1
                        return answer.status, body
                    wrong = f"{method} {answer.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                wrong = f"{method} {type(error).__name__}"
        self.told.failed.append(f"{wrong} {path} after {time.monotonic() - began:.1f} s")
        return 0, {}


@asynccontextmanager
async def paused(stack: RunningStack, *instances: str) -> AsyncGenerator[None]:
    """Stop these instances of a stack in their tracks until the context is left."""
    pids = [stack.pid(process_of(name)) for name in instances]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
