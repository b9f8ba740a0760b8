"""Clients that keep a disturbed stack at work, and write down what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random

import aiohttp

from penstock_contracts import subjects
from penstock_contracts.ids import run_id
from penstock_contracts.subjects import Stream
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.bus import Published
from penstock_testkit.chaos.executor import Act, acts_in
from penstock_testkit.chaos.observed import Log, Operation, Promise
from penstock_testkit.chaos.stack import ChaosStack
from penstock_testkit.chaos.workflows import (
    APPROVERS,
    GROUP,
    PROBE,
    PROBE_NODES,
    WORKS,
    approves,
    draw,
)
from penstock_testkit.stack import Json

AGAIN_S = 0.25  # pause before a request is repeated, doubled each time
AGAIN_CAP_S = 2.0
ANSWER_S = 12.0  # a request that took so long has failed; the gateway itself gives up after 10 s
PROBE_EVERY_S = 0.25
VOTE_EVERY_S = 0.4
SEEN_WITHIN_S = 3.0  # a published trigger whose run is not seen by then is published again
THINK_S = (0.2, 1.4)
CANCEL_AFTER_S = (0.1, 3.0)
OK = frozenset({200, 201})
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError, TransientFault, json.JSONDecodeError)
Answer = tuple[int, Json]


class Clients:
    """All of them.

    Attributes:
        acts: what agents did so far.
        stopping: set when nothing new is to be started.
    """

    def __init__(
        self,
        stack: ChaosStack,
        log: Log,
        seed: int,
        *,
        http: int,
        bus: int,
        probe_every_s: float = PROBE_EVERY_S,
    ) -> None:
        """Plan `http` clients of the API, `bus` publishers, and probes at even distances."""
        self._probe_every_s = probe_every_s
        self._stack = stack
        self._log = log
        self._seed = seed
        self._http = http
        self._bus = bus
        self._tokens: dict[str, str] = {}
        self._cancelling: set[asyncio.Task[None]] = set()
        self._probing: set[asyncio.Task[None]] = set()
        self._behind = 0
        self.acts: list[Act] = []
        self.stopping = asyncio.Event()

    async def prepare(self) -> None:
        """Register agents and workflows, and issue the approvers' tokens."""
        await self._stack.register_builtin()
        for name, work in WORKS.items():
            await self._stack.apply(name, work.nodes)
        await self._stack.apply(PROBE, PROBE_NODES)
        for name in APPROVERS:
            body = {"name": name, "roles": ["approver"], "groups": [GROUP]}
            status, made = await self._stack.call("POST", "/api/tokens", body)
            assert status == 201, made
            self._tokens[name] = made["token"]

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        """Work and decide gates; gives what waits until everything that was begun is finished.

        Set `stopping` before you wait. Gates are decided until the end of the block.
        """
        voted = asyncio.Event()
        voting = asyncio.create_task(self.vote_until(voted))
        working = asyncio.create_task(self.run())

        async def finished() -> None:
            await working

        try:
            yield finished
            voted.set()
            await voting
        finally:
            left = [voting, working, *self._cancelling, *self._probing]
            for task in left:
                _ = task.cancel()
            _ = await asyncio.gather(*left, return_exceptions=True)

    async def run(self) -> None:
        """Work until `stopping` is set, then finish what was begun."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._http):
                _ = tasks.create_task(self._client(number))
            for number in range(self._bus):
                _ = tasks.create_task(self._publisher(number))
            _ = tasks.create_task(self._prober())
        _ = await asyncio.gather(*self._cancelling, *self._probing)

    # --- requests ---------------------------------------------------------------------------

    async def ask(
        self, kind: str, key: str, what: Callable[[], Awaitable[Answer]], ok: frozenset[int] = OK
    ) -> Answer:
        """Make a request and write down what came of it; status 0: no answer."""
        began = time.monotonic()
        status, body, told = 0, {}, ""
        try:
            async with asyncio.timeout(ANSWER_S):
                status, body = await what()
            told = str(status)
        except UNREACHABLE as fault:
            told = type(fault).__name__
        done = status in ok
        self._log.operation(Operation(kind, key, began, time.monotonic(), told, done))
        return status, body

    async def _insist(
        self, kind: str, key: str, what: Callable[[], Awaitable[Answer]], ok: frozenset[int] = OK
    ) -> Answer:
        """Repeat a request until it is answered as it should be, or refused for good."""
        again_s = AGAIN_S
        while True:
            status, body = await self.ask(kind, key, what, ok)
            if status in ok or (400 <= status < 500 and status not in (408, 429)):
                return status, body
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_CAP_S)

    async def _post(self, path: str, body: Json, key: str, token: str | None = None) -> Answer:
        headers = {"Idempotency_Key": key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self._stack.send("POST", path, json.dumps(body).encode(), **headers)

    # --- who asks ---------------------------------------------------------------------------

    async def _client(self, number: int) -> None:
        dice = Random(f"{self._seed}/client/{number}")  # noqa: S311 - a seed
        count = 0
        while not self.stopping.is_set():
            workflow, inputs = draw(dice)
            count += 1
            key = f"{number}-{count}"
            path, body = f"/api/workflows/{workflow}/trigger", {"inputs": inputs}
            status, told = await self._insist(
                "trigger", key, lambda p=path, b=body, k=key: self._post(p, b, k), frozenset({201})
            )
            if status == 201:
                self._promised(workflow, key, told, dice)
            else:
                self._log.note("refused", key=key, workflow=workflow, status=status, told=told)
            await self._pause(dice.uniform(*THINK_S))

    def _promised(self, workflow: str, key: str, told: Json, dice: Random) -> None:
        work, run = WORKS[workflow], str(told["runs"][0]["run_id"])
        trigger = str(told["trigger_id"])
        self._log.promise(Promise(workflow, run, key, trigger, work.ends, time.monotonic()))
        if work.cancelled:
            after_s = dice.uniform(*CANCEL_AFTER_S)
            self._cancelling.add(asyncio.create_task(self._cancel(run, after_s)))

    async def _cancel(self, run: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        path, key = f"/api/runs/{run}/cancel", f"cancel-{run}"
        _ = await self._insist(
            "cancel",
            run,
            lambda: self._post(path, {"reason": "enough"}, key),
            frozenset({200, 409, 422}),  # it may have ended
        )

    async def _publisher(self, number: int) -> None:
        dice = Random(f"{self._seed}/publisher/{number}")  # noqa: S311 - a seed
        count = 0
        while not self.stopping.is_set():
            workflow, inputs = draw(dice)
            count += 1
            await self._publish(workflow, f"bus-{number}-{count}", {"inputs": inputs})
            await self._pause(dice.uniform(*THINK_S))

    async def _publish(self, workflow: str, key: str, body: Json) -> None:
        """Publish until the run is seen: an acknowledgement is the bus' word only."""
        subject = subjects.trigger("default", f"workflow.{workflow}")
        run = run_id("default", workflow, f"msg:{key}")

        async def published() -> Answer:
            told = await self._stack.publish(
                Stream.TRIGGERS, subject, json.dumps(body).encode(), key
            )
            return (200 if told in (Published.DONE, Published.ALREADY_THERE) else 503), {}

        async def shown() -> Answer:
            return await self._stack.call("GET", f"/api/runs/{run}")

        while True:
            _ = await self._insist("publish", key, published)
            until = time.monotonic() + SEEN_WITHIN_S
            while time.monotonic() < until:
                status, _ = await self.ask("read", key, shown, frozenset({200, 404}))
                if status == 200:
                    ends = WORKS[workflow].ends
                    at_s = time.monotonic()
                    self._log.promise(Promise(workflow, run, key, f"msg:{key}", ends, at_s))
                    return
                await asyncio.sleep(AGAIN_S)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                _ = await self.stopping.wait()
        except TimeoutError:
            return

    # --- probes: one node, asked for at short and even distances ------------------------------

    async def _prober(self) -> None:
        count = 0
        while not self.stopping.is_set():
            count += 1
            mark = f"probe-{count}"
            self._log.probes[mark] = time.monotonic()
            task = asyncio.create_task(self._probe(mark))
            self._probing.add(task)
            task.add_done_callback(self._probing.discard)
            self.look()
            await self._pause(self._probe_every_s)

    async def _probe(self, mark: str) -> None:
        path, body = f"/api/workflows/{PROBE}/trigger", {"inputs": {"mark": mark}}
        status, told = await self.ask(
            "probe", mark, lambda: self._post(path, body, mark), frozenset({201})
        )
        if status == 201:
            run, trigger = str(told["runs"][0]["run_id"]), str(told["trigger_id"])
            self._log.promise(Promise(PROBE, run, mark, trigger, ("succeeded",), time.monotonic()))

    def look(self) -> None:
        """Read what agents have done since."""
        for act, behind in acts_in(self._stack.witnesses, self._behind):
            self.acts.append(act)
            self._behind = behind

    # --- approvers --------------------------------------------------------------------------

    async def vote_until(self, done: asyncio.Event) -> None:
        """Decide every gate that clients decide, as both approvers, until `done`."""
        cast: set[tuple[str, str]] = set()
        while not done.is_set():
            _, listed = await self.ask(
                "read",
                "approvals",
                lambda: self._stack.call("GET", "/api/approvals?status=pending&limit=200"),
            )
            asked = [
                (item["approval_id"], user)
                for item in listed.get("items", ())
                if item["workflow"] in WORKS and WORKS[item["workflow"]].voted
                for user in APPROVERS
                if (item["approval_id"], user) not in cast
            ]
            _ = await asyncio.gather(*(self._vote(*one, cast) for one in asked[:20]))
            try:
                async with asyncio.timeout(VOTE_EVERY_S):
                    _ = await done.wait()
            except TimeoutError:
                continue

    async def _vote(self, approval: str, user: str, cast: set[tuple[str, str]]) -> None:
        choice = "approve" if approves(self._seed, approval) else "reject"
        path, key = f"/api/approvals/{approval}/respond", f"{user}-{approval}"
        body = {"decision": choice, "reason": "as was decided"}
        status, _ = await self.ask(
            "vote",
            key,
            lambda: self._post(path, body, key, self._tokens[user]),
            frozenset({200, 409}),  # what the other one has settled takes no second vote
        )
        if status in (200, 409):
            cast.add((approval, user))
