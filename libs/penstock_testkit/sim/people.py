"""Everybody outside: who asks for work, who votes, who settles what is unknown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock_contracts import subjects
from penstock_contracts.approval.v1 import Choice
from penstock_contracts.ids import trigger_aggregate_id
from penstock_contracts.partition.v1 import RedriveMessages
from penstock_contracts.run.v1 import CancelRun, SettleOutcome
from penstock_contracts.subjects import APPROVAL_PARTITION, CATALOG_PARTITION
from penstock_contracts.trigger.v1 import IssueToken
from penstock_contracts.values import SYSTEM_TENANT, JsonObject
from penstock_runtime.faults import TransientFault
from penstock_runtime.ports.projection import ViewReader, ViewRow
from penstock_testkit.checking.history import Accepted, Observed
from penstock_testkit.sim.agents import AGENTS, Deeds
from penstock_testkit.sim.bus import SimBus
from penstock_testkit.sim.clients import ADMIN, CREATED, DELIVERED, VOTERS, Clients, token_of
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.plan import Asked
from penstock_testkit.virtual_time import VirtualClock
from penstock_testkit.world.users import TENANT, Users
from penstock_webhook_gateway.http.access import token_hash
from penstock_webhook_gateway.kinds import View

PAGE = 100
ASK_AGAIN_S = (1.0, 30.0)
ROUND_S = (2.0, 40.0)
BY_API = 0.5  # share of votes and words that go through the gateways


class People(Users):
    """They see what the gateway shows, and repeat what nobody seems to have heard.

    Attributes:
        accepted: triggers that somebody was told of as accepted.
        observed: what they have read of runs.
        patient: they do what ends things: the storm is over.
        restored: the store has forgotten something: they look whether any attempt has acted.
    """

    def __init__(
        self,
        bus: SimBus,
        views: ViewReader,
        clients: Clients,
        clock: VirtualClock,
        deeds: Deeds,
        dice: Dice,
    ) -> None:
        """Look at `views`, publish on `bus`, and use the API by `clients`."""
        super().__init__(bus)
        self._clients = clients
        self.accepted: dict[str, Accepted] = {}
        self.observed: list[Observed] = []
        self.patient = False
        self.restored: Callable[[], bool] = lambda: False
        self._views = views
        self._clock = clock
        self._deeds = deeds
        self._dice = dice

    async def _pause(self, bounds: tuple[float, float] = ASK_AGAIN_S) -> None:
        await self._clock.sleep(self._dice.seconds(*bounds))

    async def _get(self, kind: View, tenant: str, row_id: str) -> ViewRow | None:
        try:
            return await self._views.get(kind, tenant, row_id)
        except TransientFault:  # the gateway answers that it cannot look now
            return None

    async def _page(
        self, kind: View, tenant: str, *, state: str | None = None, limit: int
    ) -> Sequence[ViewRow]:
        try:
            return await self._views.page(kind, tenant, state=state, limit=limit)
        except TransientFault:
            return ()

    # --- definitions --------------------------------------------------------------------------

    async def define(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Register agents and people and apply the workflows, until the gateway shows them."""
        hashes = [token_hash(token_of(name)) for name in (ADMIN, *VOTERS)]
        while None in [await self._get(View.TOKEN, SYSTEM_TENANT, one) for one in hashes]:
            self._try_to_admit()
            await self._pause((0.5, 5.0))
        for kind, name, send in (
            *((View.AGENT, agent.name, agent) for agent in AGENTS.values()),
            *((View.WORKFLOW, str(one["name"]), one) for one in documents),
        ):
            while await self._get(kind, TENANT, name) is None:
                self._try_to_define(send)
                await self._pause((0.5, 5.0))

    def _try_to_define(self, what: Any) -> None:  # noqa: ANN401 - a manifest or a document
        try:
            if isinstance(what, Mapping):
                self.apply(dict(what))
            else:
                self.register(what)
        except TransientFault:
            return

    def _try_to_admit(self) -> None:
        """Have the voters known; for the first token the gateways provide themselves."""
        for name in VOTERS:
            body = IssueToken(name=name, sha256=token_hash(token_of(name)), roles=("approver",))
            self._try_to_send(subjects.catalog(TENANT, "token", name, "issue_token"), body)

    # --- triggers -----------------------------------------------------------------------------

    async def ask(self, asked: Asked) -> None:
        """Send a trigger until it is accepted; cancel its run where that is wanted."""
        await self._clock.sleep(asked.at_s)
        if asked.by_api:
            runs = await self._accepted_by_api(asked)
        else:
            runs = await self._accepted_by_message(asked)
        if asked.cancel_at_s is not None:
            await self._clock.sleep(asked.cancel_at_s - asked.at_s)
            for run in runs:
                await self._cancel(run, asked)

    async def _accepted_by_api(self, asked: Asked) -> tuple[str, ...]:
        """Ask gateways until one names the runs: then nothing may ever lose them."""
        while True:
            answer = await self._clients.start(asked.workflow, asked.trigger_id)
            if answer is not None and answer.status != DELIVERED:
                break
            await self._pause()
        if answer.status != CREATED:
            return ()  # it is a defect, unless the stores have forgotten the workflow
        trigger = str(answer.body["trigger_id"])
        runs = tuple(str(run["run_id"]) for run in _objects(answer.body.get("runs")))
        self.accepted[trigger] = Accepted(trigger, runs, self._clock.now_us())
        return runs

    async def _accepted_by_message(self, asked: Asked) -> tuple[str, ...]:
        """Publish a message until the gateway shows what became of it."""
        trigger = f"msg:{asked.trigger_id}"
        aggregate = trigger_aggregate_id(TENANT, trigger)
        while (row := await self._get(View.TRIGGER, TENANT, aggregate)) is None:
            with contextlib.suppress(TransientFault):
                self.trigger(asked.workflow, asked.trigger_id)
            await self._pause()
        runs = tuple(str(run["run_id"]) for run in _objects(row.body.get("runs")))
        self.accepted[trigger] = Accepted(trigger, runs, self._clock.now_us())
        return runs

    async def _cancel(self, run: str, asked: Asked) -> None:
        key = f"cancel-{asked.trigger_id}"
        while True:
            row = await self._get(View.RUN, TENANT, run)
            if row is None and self.patient:
                return  # it is forgotten: the store was put back
            if row is not None:
                if row.state not in ("running", "pending"):
                    return
                if asked.by_api:
                    if await self._clients.cancel(run, key) is not None:
                        return
                else:
                    path = subjects.run(TENANT, str(row.body["partition"]), run, "cancel_run")
                    self._try_to_send(path, CancelRun(run_id=run, reason="enough"), key)
            await self._pause()

    def _try_to_send(self, path: str, body: Any, command_id: str = "") -> None:  # noqa: ANN401
        try:
            self.send(path, body, command_id)
        except TransientFault:
            return

    # --- rounds -------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Read what the gateway shows of every run, again and again."""
        while True:
            await self._pause((1.0, 20.0))
            for row in await self._page(View.RUN, TENANT, limit=PAGE):
                self.observed.append(Observed(row.id, row.state, self._clock.now_us()))

    async def decide(self) -> None:
        """Vote on whatever waits for a decision."""
        while True:
            await self._pause(ROUND_S)
            waiting = await self._page(View.APPROVAL, TENANT, state="pending", limit=PAGE)
            for row in waiting:
                if self.patient or self._dice.chance(0.7):
                    await self._vote_on(row)

    async def _vote_on(self, row: ViewRow) -> None:
        kinds = (Choice.APPROVE,) * 6 + (Choice.REJECT, Choice.PUSH_BACK)
        choice = Choice.APPROVE if self.patient else self._dice.choice(kinds)
        body, to = row.body, None
        if choice is Choice.PUSH_BACK:
            policy = body.get("policy")
            allowed = policy.get("push_back") if isinstance(policy, dict) else None
            to = str(allowed[0]) if isinstance(allowed, list) and allowed else None
        for voter in VOTERS[: 3 if self.patient else self._dice.randint(1, 3)]:
            if self._dice.chance(BY_API):
                await self._clients.vote(row.id, voter, choice, to)
                continue
            try:
                self.vote(
                    str(body["run_id"]), str(body["node"]), choice, "seen", f"user:{voter}",
                    attempt=_number(body["attempt"]), to=to,
                )  # fmt: skip
            except TransientFault:
                return

    async def settle_unknown(self) -> None:
        """Say of unknown outcomes what really happened."""
        while True:
            await self._pause(ROUND_S)
            for row in await self._page(View.NODE, TENANT, state="unknown", limit=PAGE):
                run = await self._get(View.RUN, TENANT, row.parent)
                if run is None or run.state not in ("running", "pending"):
                    continue
                attempt = _number(row.body["attempt"])
                node = row.id.removeprefix(f"{row.parent}/")
                happened = self._happened(row.parent, node, attempt)
                if self._dice.chance(BY_API):
                    await self._clients.settle(row.parent, node, attempt, happened=happened)
                    continue
                body = SettleOutcome(
                    run_id=row.parent, node=node, attempt=attempt, reason="looked it up",
                    happened=happened, output={},
                )  # fmt: skip
                partition = str(run.body["partition"])
                path = subjects.run(TENANT, partition, row.parent, "settle_outcome")
                self._try_to_send(path, body)

    def _happened(self, run: str, node: str, attempt: int) -> bool:
        if self.restored():
            return self._deeds.of_node(run, node)
        return self._deeds.of_attempt(run, node, attempt)

    async def redrive(self) -> None:
        """Once the storm is over, put parked messages back."""
        while True:
            await self._pause(ROUND_S)
            if not self.patient:
                continue
            holders = {
                (str(row.body["holder"]), str(row.body["partition"]))
                for row in await self._page(View.DEAD, TENANT, limit=PAGE)
                if row.body.get("status") == "parked"
            }
            for holder, partition in sorted(holders):
                self._try_to_send(_door(partition, holder), RedriveMessages(aggregate=holder))

    def rounds(self) -> Sequence[Any]:
        """Give what goes on for ever."""
        return self.watch(), self.decide(), self.settle_unknown(), self.redrive()


def _door(partition: str, holder: str) -> str:
    verb = "redrive_messages"
    if partition == CATALOG_PARTITION:
        return subjects.catalog(TENANT, "parked", holder, verb)
    if partition == APPROVAL_PARTITION:
        return subjects.approval(TENANT, holder, verb)
    return subjects.run(TENANT, partition, holder, verb)


def _objects(value: object) -> Sequence[JsonObject]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
