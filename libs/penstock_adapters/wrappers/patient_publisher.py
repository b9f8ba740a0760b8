"""A publisher that tries again: what failed or found no room, and nothing else."""

from collections.abc import Awaitable, Callable, Sequence

from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from penstock_runtime.ports.bus import Outgoing, Published, Publisher

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 1.0
TRIES = 95  # with the waits above about a minute and a half

_AGAIN = frozenset({Published.FAILED, Published.FULL})


class PatientPublisher:
    """Fulfils the port `Publisher`: repeats refused messages with backoff, at most `tries` times.

    Messages of one batch that were acknowledged are not sent again. `sleep` is injected so that
    a simulation owns the waiting.
    """

    def __init__(
        self,
        inner: Publisher,
        sleep: Callable[[float], Awaitable[None]],
        tries: int = TRIES,
    ) -> None:
        self._inner = inner
        self._sleep = sleep
        self._wait: wait_base = wait_exponential(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._stop: stop_base = stop_after_attempt(tries)

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Published]:
        """Publish all; give each outcome in order, after the last try."""
        outcomes = list(await self._inner.publish(batch))
        open_places = [place for place, outcome in enumerate(outcomes) if outcome in _AGAIN]
        if not open_places:
            return outcomes

        async def again() -> bool:
            given = await self._inner.publish([batch[place] for place in open_places])
            for place, outcome in zip(tuple(open_places), given, strict=True):
                outcomes[place] = outcome
            open_places[:] = [place for place in open_places if outcomes[place] in _AGAIN]
            return bool(open_places)

        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=self._wait,
            stop=self._stop,
            retry=retry_if_result(bool),
            retry_error_callback=lambda _state: True,
        )
        await self._sleep(FIRST_WAIT_S)
        await retrying(again)
        return outcomes

    async def purge_subject(self, stream: str, subject: str) -> None:
        """Pass on."""
        await self._inner.purge_subject(stream, subject)
