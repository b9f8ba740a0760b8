"""Answers that last: there is room for so many at the same time."""

import contextlib
from collections.abc import Generator

from penstock_webhook_gateway.http.problems import Problem


class Places:
    """Counts answers that are under way."""

    def __init__(self, most: int, busy: str) -> None:
        """Allow at most `most` at the same time; `busy` is what a further client is told."""
        self._most = most
        self._busy = busy
        self._taken = 0

    @contextlib.contextmanager
    def one(self) -> Generator[None]:
        """Take a place.

        Raises:
            Problem: 503: none is free.
        """
        if self._taken >= self._most:
            detail = f"{self._busy}; try again"
            raise Problem(503, "unavailable", detail, headers={"Retry-After": "5"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
