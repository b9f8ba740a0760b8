"""Clients of the gateways' API: they ask any gateway, and again with the same key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from penstock_contracts.values import JsonObject
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.door import Answer, Broken, Door
from penstock_testkit.sim.gateways import ADMIN_TOKEN

ADMIN = "admin"
VOTERS: Final = ("bob", "eve", "kim")
CREATED, DELIVERED = 201, 202
WITHIN_S = (0.5, 40.0)  # how long a client waits for an answer
_NOT_NOW = frozenset({429, 503, 504})


def token_of(name: str) -> str:
    """Give somebody's token."""
    return ADMIN_TOKEN if name == ADMIN else f"the token of {name}"


class Clients:
    """People who use the API.

    Attributes:
        defects: answers that no client should get.
        restored: the stores have forgotten something: then anything may be refused.
        answered: how often each status was answered.
    """

    def __init__(self, doors: Mapping[str, Door], dice: Dice) -> None:
        """Knock at `doors`, by the name of the process."""
        self.defects: list[str] = []
        self.restored: Callable[[], bool] = lambda: False
        self.answered: dict[int, int] = {}
        self._doors = doors
        self._dice = dice

    async def post(
        self, who: str, path: str, body: JsonObject, key: str, *refusals: str
    ) -> Answer | None:
        """Ask one of the gateways, drawn at random; None: ask again, with the same key.

        Whatever is refused otherwise than by the codes of `refusals` is noted as a defect.
        """
        headers = {"Authorization": f"Bearer {token_of(who)}", "Idempotency-Key": key}
        within_s = self._dice.seconds(*WITHIN_S)
        try:
            door = self._doors[self._dice.choice(sorted(self._doors))]
            answer = await door.post(path, body, headers, within_s)
        except Broken:
            return None
        self.answered[answer.status] = self.answered.get(answer.status, 0) + 1
        if answer.status in _NOT_NOW:
            return None
        forgotten = self.restored() and answer.status < 500
        if answer.status >= 400 and answer.code not in refusals and not forgotten:
            told = f"{answer.status} {answer.code}: {answer.body.get('detail')}"
            self.defects.append(f"{who} asked for {path} and was told {told}")
        if answer.status == 401:
            return None  # once the catalog knows the token again
        return answer
