"""The rate limit: a fixed window of a minute per address, in bounded memory."""

import math
from collections import OrderedDict
from dataclasses import dataclass

WINDOW_S = 60
ADDRESSES_MAX = 50_000  # addresses remembered; the longest silent one is forgotten first


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limit says of one request.

    Attributes:
        reset_s: whole seconds until the window ends.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Give the headers of draft-ietf-httpapi-ratelimit-headers, and Retry-After."""
        given = {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"default";r={self.remaining};t={self.reset_s}',
        }
        if not self.allowed:
            given["Retry-After"] = str(self.reset_s)
        return given


class RateLimit:
    """Counts requests by address."""

    def __init__(self, per_minute: int) -> None:
        """Allow `per_minute` requests in each window."""
        self._limit = per_minute
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, address: str, now_s: float) -> Verdict:
        """Count a request from `address`."""
        began, count = self._windows.get(address, (now_s, 0))
        if now_s - began >= WINDOW_S:
            began, count = now_s, 0
        count += 1
        self._windows[address] = (began, count)
        self._windows.move_to_end(address)
        if len(self._windows) > ADDRESSES_MAX:
            self._windows.popitem(last=False)
        reset = max(1, math.ceil(began + WINDOW_S - now_s))
        remaining = max(0, self._limit - count)
        return Verdict(count <= self._limit, self._limit, remaining, reset)
