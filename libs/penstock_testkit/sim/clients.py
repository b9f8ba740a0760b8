"""Clients of the gateways' API: they ask any gateway, and again with the same key.

Each method gives None where nobody has answered, or not for now: then they ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from penstock_contracts.approval.v1 import Choice
from penstock_contracts.codes import Code
from penstock_contracts.ids import derive
from penstock_contracts.subjects import CATALOG_PARTITION
from penstock_contracts.trigger.v1 import TriggerMatched
from penstock_contracts.values import DEFAULT_TENANT, JsonObject
from penstock_testkit.checking.history import History, Violation
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.door import Answer, Broken, Door
from penstock_testkit.sim.gateways import ADMIN_TOKEN

ADMIN = "admin"
BY_GATEWAY = "gateway:"  # begins the ids of triggers that the API has published
VOTERS: Final = ("bob", "eve", "kim")
OK, CREATED, DELIVERED, REFUSED, UNAUTHORIZED, DEFECT = 200, 201, 202, 400, 401, 500
WITHIN_S = (0.5, 40.0)  # how long a client waits for an answer
_NOT_NOW = frozenset({429, 503, 504})
_LATE_VOTES = (Code.ALREADY_DECIDED, Code.ALREADY_VOTED, Code.LATE, Code.NO_PUSH_BACK)
_LATE_WORDS = (Code.NOT_UNKNOWN, Code.ALREADY_ENDED, Code.STALE)


def token_of(name: str) -> str:
    """Give somebody's token."""
    return ADMIN_TOKEN if name == ADMIN else f"the token of {name}"


class Clients:
    """People who use the API.

    Attributes:
        defects: answers that no client should get.
        restored: the stores have forgotten something: then anything may be refused.
        done: ids of the commands of which somebody was told that they are done.
    """

    def __init__(self, doors: Mapping[str, Door], dice: Dice) -> None:
        """Knock at `doors`, by the name of the process."""
        self.defects: list[str] = []
        self.restored: Callable[[], bool] = lambda: False
        self.done: list[str] = []
        self._doors = doors
        self._dice = dice

    # --- what they ask for --------------------------------------------------------------------

    async def start(self, workflow: str, key: str) -> Answer | None:
        """Start a workflow."""
        return await self._post(ADMIN, f"/api/workflows/{workflow}/trigger", {"inputs": {}}, key)

    async def cancel(self, run: str, key: str) -> Answer | None:
        """Stop a run; who is told that it is stopped may rely on it."""
        path, body = f"/api/runs/{run}/cancel", dict[str, JsonValue](reason="enough")
        answer = await self._post(ADMIN, path, body, key, Code.ALREADY_ENDED)
        if answer is not None and answer.status == OK and answer.body["status"] != "cancelled":
            self.defects.append(f"{path} is done, and the run is {answer.body['status']}")
        return answer

    async def vote(self, approval: str, who: str, choice: Choice, to: str | None) -> Answer | None:
        """Vote; who is told that the vote is cast finds it there."""
        path = f"/api/approvals/{approval}/respond"
        body: JsonObject = {"decision": choice.value, "reason": "seen", "to": to}
        answer = await self._post(who, path, body, f"{choice}", *_LATE_VOTES)
        if answer is not None and answer.status == OK:
            votes = answer.body["votes"]
            if not any(isinstance(one, dict) and one["user"] == who for one in _each(votes)):
                self.defects.append(f"{path} is done, and the vote of {who} is not there")
        return answer

    async def settle(self, run: str, node: str, attempt: int, *, happened: bool) -> Answer | None:
        """Say of an unknown outcome what really happened."""
        path = f"/api/runs/{run}/nodes/{node}/settle"
        body: JsonObject = {
            "happened": happened, "reason": "looked it up", "output": {}, "attempt": attempt,
        }  # fmt: skip
        return await self._post(ADMIN, path, body, f"{attempt}", *_LATE_WORDS)

    # --- how they ask -------------------------------------------------------------------------

    async def _post(
        self, who: str, path: str, body: JsonObject, key: str, *refusals: str
    ) -> Answer | None:
        """Ask one of the gateways, drawn at random; None: ask again, with the same key.

        Whatever is refused otherwise than by the codes of `refusals` is noted as a defect.
        """
        headers = {"Authorization": f"Bearer {token_of(who)}", "Idempotency-Key": key}
        try:
            door = self._doors[self._dice.choice(sorted(self._doors))]
            answer = await door.post(path, body, headers, self._dice.seconds(*WITHIN_S))
        except Broken:
            return None
        if answer.status in _NOT_NOW:
            return None
        if answer.status == OK:
            self.done.append(derive("http", DEFAULT_TENANT, who, path, key))
        forgotten = self.restored() and answer.status < DEFECT
        if answer.status >= REFUSED and answer.code not in refusals and not forgotten:
            told = f"{answer.status} {answer.code}: {answer.body.get('detail')}"
            self.defects.append(f"{who} asked for {path} and was told {told}")
        return None if answer.status == UNAUTHORIZED else answer


def one_key_is_one_trigger(history: History, told: Collection[str]) -> Iterator[Violation]:
    """Who asks until there is an answer has started nothing beside the trigger that was told."""
    if not history.ended:
        return
    for fact in history.facts.get(CATALOG_PARTITION, ()):
        event = fact.event
        if not isinstance(event, TriggerMatched) or event.trigger_id in told:
            continue
        if event.trigger_id.startswith(BY_GATEWAY):
            detail = f"{event.trigger_id} was started for a key that was told another trigger"
            yield Violation("one key", fact.where, detail)


def _each(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, list) else ()
