"""How one try ended."""

from dataclasses import dataclass

# What a receiver says about itself and may change its mind on; every other 4xx is final.
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one try ended.

    Attributes:
        ok: The receiver took the message.
        detail: Why, in a few words.
        again: Another try may end better.
        wait_s: The receiver asked not to be tried again before.
    """

    ok: bool
    detail: str
    again: bool = False
    wait_s: float = 0.0


def of_status(status: int, wait_s: float = 0.0) -> Outcome:
    """Judge an HTTP answer."""
    if 200 <= status < 300:
        return Outcome(True, "accepted")
    if status < 400:
        return Outcome(False, f"HTTP {status} (redirects are not followed)")
    again = status >= 500 or status in _PASSING
    return Outcome(False, f"HTTP {status}", again, wait_s if again else 0.0)
