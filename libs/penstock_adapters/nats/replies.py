"""Awaiting replies: one wildcard inbox for requests and publish acknowledgements alike."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from penstock_adapters.nats.wire import NO_RESPONDERS, status_of

NOBODY: Final = b"nobody"  # compared by identity: no one serves that subject


class Frame(NamedTuple):
    """One message of an exchange; `headers` is an encoded block."""

    subject: str
    payload: bytes
    headers: bytes | None = None


class Exchange:
    """Replies to a row of messages, by place; None where none has come."""

    __slots__ = ("done", "first", "missing", "replies")

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.missing = count
        self.replies: list[bytes | None] = [None] * count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, number: int, payload: bytes) -> None:
        """Note a reply."""
        self.replies[number - self.first] = payload
        self.missing -= 1
        if self.missing == 0:
            self.give_up()

    def give_up(self) -> None:
        """End the wait with what has come."""
        if not self.done.done():
            self.done.set_result(None)


class ReplyBox:
    """Numbers every awaited reply, so that its subject's last token finds who waits for it."""

    def __init__(self, inbox: str) -> None:
        self.pattern = f"{inbox}.*"
        self._prefix = f"{inbox}."
        self._skip = len(self._prefix)
        self._next = 1
        self._waiting: dict[int, Exchange] = {}

    def open(self, count: int) -> Exchange:
        """Reserve `count` reply subjects."""
        exchange = Exchange(self._next, count)
        self._next += count
        for number in range(exchange.first, exchange.first + count):
            self._waiting[number] = exchange
        return exchange

    def subjects(self, exchange: Exchange) -> Sequence[str]:
        """Give the reply subjects of an exchange, in order."""
        first = exchange.first
        return [f"{self._prefix}{n}" for n in range(first, first + len(exchange.replies))]

    def close(self, exchange: Exchange) -> None:
        """Forget what is still missing."""
        if exchange.missing:
            for number in range(exchange.first, exchange.first + len(exchange.replies)):
                self._waiting.pop(number, None)

    def on_message(
        self, subject: bytes, _reply: bytes, payload: bytes, headers: bytes | None
    ) -> None:
        """Hand a reply to its exchange; late ones are dropped."""
        number = int(subject[self._skip :])
        exchange = self._waiting.pop(number, None)
        if exchange is None:
            return
        if not payload and headers is not None:
            status = status_of(headers)
            if status is not None and status.code == NO_RESPONDERS:
                payload = NOBODY
        exchange.answer(number, payload)

    def fail_all(self) -> None:
        """End all waits: the connection is gone and with it every reply."""
        for exchange in set(self._waiting.values()):
            exchange.give_up()
        self._waiting.clear()


class Tries:
    """One question asked several times: the first reply counts, whichever try it answers.

    A slow server answers an early try after a later one was sent, so none is closed before the
    end. For the same reason `NOBODY` counts only once no try can be answered any more: who was
    missing for one of them may be busy with another.
    """

    def __init__(self, box: ReplyBox) -> None:
        """Begin without any."""
        self._box = box
        self._tries: list[Exchange] = []

    def another(self) -> str:
        """Begin a try; gives the subject of its reply."""
        self._tries.append(self._box.open(1))
        return self._box.subjects(self._tries[-1])[0]

    @property
    def reply(self) -> bytes | None:
        """What was answered; `NOBODY` where that is all; None: nothing."""
        replies = [one.replies[0] for one in self._tries if one.replies[0] is not None]
        answers = [reply for reply in replies if reply is not NOBODY]
        return next(iter(answers or replies), None)

    async def decided(self, timeout_s: float) -> bool:
        """Wait for a reply, or until none can come; False when that took longer."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while waits := [one.done for one in self._tries if not one.done.done()]:
            left_s = end - loop.time()
            if left_s <= 0:
                return False
            await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if self.reply is not None and self.reply is not NOBODY:
                return True
        return True

    def close(self) -> None:
        """Forget what is still missing."""
        for one in self._tries:
            self._box.close(one)
