"""The demo's story, told while it happens: servers, agents, trigger, run, gate, notice, replay."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.nats.plain import publish_trigger
from penstock_cli.access import Access
from penstock_cli.agents import manifests_in, register_all
from penstock_cli.apply import store
from penstock_cli.client import Api, HttpApi, Json, ServerEvent
from penstock_cli.demo.gate import decide
from penstock_cli.demo.proof import show_proof
from penstock_cli.demo.receiver import Receiver
from penstock_cli.documents import read_definitions
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.history import history_of
from penstock_cli.replay import served_hash, show_end, show_steps
from penstock_cli.run_picture import RunPicture
from penstock_cli.terminal import out, say, short, somebody_is_there, span
from penstock_cli.watching import watch
from penstock_contracts import subjects
from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.faults import TransientFault

WORKFLOW = Path(__file__).with_name("demo.yaml")
TRIGGER_PATH = "demo.scan"
TRIGGER_ID = "demo-1"
RUN_SEEN_WITHIN_S = 15.0
RUN_ENDS_WITHIN_S = 120.0
PERSON_DECIDES_WITHIN_S = 660.0  # the gate's own expiry, and a little
NOTICE_WITHIN_S = 5.0
LOOK_AGAIN_S = 0.1


@dataclass(slots=True)
class Story:
    """What the demo works with.

    Attributes:
        stack: already described, not started.
        access: to its state folder.
        planted: the repository with the vulnerabilities.
        here: libraries of Penstock.
        receiver: of the notification.
    """

    stack: EmbeddedStack
    access: Access
    planted: Path
    here: Path
    receiver: Receiver
    began: float

    def _step(self, text: str) -> None:
        after = span(time.monotonic() - self.began)
        out.print()
        out.print(f"[bold cyan]▌[/] [bold]{text}[/]  [dim]{after}[/]")

    async def tell(self) -> None:
        """Go through all of it.

        Raises:
            CliFault: something did not go as it should.
        """
        self._step("A real NATS server, a PostgreSQL and four services")
        await self.stack.start()
        endpoints = self.stack.endpoints
        for name, url in endpoints.ops_urls.items():
            say(f"  [green]ready[/] {name:<16} [dim]{url}, pid {self.stack.pid(name)}[/]")
        async with HttpApi(endpoints.gateway_url, self.access.token()) as api:
            await self._define(api)
            await self._publish()
            document = await self._first_sight(api)
            approved, picture = await self._watch(api, document)
            if picture.status == "succeeded":
                self._step("The patch as a commit, and a second scan that proves it")
                document = await api.get("runs", picture.run_id)
                await asyncio.to_thread(show_proof, document, self.planted)
            await self._show_notice(notified=approved)
            self._check_end(picture, approved=approved)
            await self._replay(picture.run_id)

    async def _define(self, api: Api) -> None:
        self._step("Agents registered, workflow applied")
        for answer in await register_all(api, manifests_in([], every=True)):
            say(f"  agent    {answer['name']:<17} [dim]{answer['digest']}[/]")
        for answer in await store(api, read_definitions(WORKFLOW)):
            say(f"  workflow {answer['name']:<17} [dim]{answer['digest']}[/]")

    async def _publish(self) -> None:
        subject = subjects.trigger(DEFAULT_TENANT, TRIGGER_PATH)
        self._step(f"A plain NATS client publishes one trigger to {subject}")
        body = {"planted": str(self.planted), "here": str(self.here), "notify": self.receiver.url}
        out.print_json(data=body)
        try:
            answer = await publish_trigger(
                self.access.trigger_login(), subject, json.dumps(body).encode(),
                {"Nats-Msg-Id": TRIGGER_ID},
            )  # fmt: skip
        except TransientFault as fault:
            raise CliFault(str(fault)) from None
        say(f"  acknowledged by {answer.stream}, sequence {answer.sequence}")

    async def _first_sight(self, api: Api) -> Json:
        end = time.monotonic() + RUN_SEEN_WITHIN_S
        while time.monotonic() < end:
            runs = (await api.get("runs"))["items"]
            if runs:
                return await api.get("runs", runs[0]["run_id"])
            await asyncio.sleep(LOOK_AGAIN_S)
        raise CliFault(
            f"the trigger led to no run within {RUN_SEEN_WITHIN_S:g} s",
            "see the scheduler's log below", ExitCode.TIMED_OUT,
        )  # fmt: skip

    async def _watch(self, api: Api, document: Json) -> tuple[bool, RunPicture]:
        self._step("The run, live: two scans, a patch behind a gate, a scan again, a notification")
        approved = False

        async def on_event(_picture: RunPicture, event: ServerEvent) -> None:
            nonlocal approved
            if event.kind == "gate_opened":
                approved = await decide(api, str(event.data["data"]["approval_id"]))

        within_s = PERSON_DECIDES_WITHIN_S if somebody_is_there() else RUN_ENDS_WITHIN_S
        picture = await watch(api, document, within_s=within_s, on_event=on_event)
        return approved, picture

    def _check_end(self, picture: RunPicture, *, approved: bool) -> None:
        if picture.status == "succeeded":
            return
        if not approved and "denied" in picture.cause:
            say(f"the run failed, as it should after a rejection: [red]{picture.cause}[/]")
            return
        raise CliFault(f"the run {short(picture.run_id)} {picture.status}: {picture.cause}")

    async def _show_notice(self, *, notified: bool) -> None:
        self._step("The notification, as the HTTP receiver got it")
        if not notified:
            say("  none: the gate was not passed")
            return
        try:
            await asyncio.wait_for(self.receiver.arrived.wait(), NOTICE_WITHIN_S)
        except TimeoutError:
            say(f"  [red]nothing arrived at {self.receiver.url}[/]")
            return
        for body in self.receiver.bodies:
            say(f"  POST {self.receiver.url}")
            out.print_json(data=body)

    async def _replay(self, run_id: str) -> None:
        self._step("The same run, rebuilt from the event store (penstock replay)")
        steps = await asyncio.to_thread(history_of, self.access, run_id)
        show_steps(steps, brief=True)
        served = await served_hash(self.access, steps[-1])
        show_end(steps[-1], served, whole=True)
        if served is None:
            raise CliFault("the gateway served no state of the run's last event")
        if served != steps[-1].hash:
            raise CliFault("the state hash from the store is not the served one")
