"""What `/health/ready` asks a service."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a service needs, or wants known.

    Attributes:
        name: as in `nats`, `postgres`, `sandbox`, `projection`.
        ok: False: the service is not ready.
        detail: one sentence: what holds, or what is in the way and how to mend it.
        data: further facts, shown as they are (no secrets).
    """

    name: str
    ok: bool
    detail: str = ""
    data: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


ReadyProbe = Callable[[], Awaitable[Sequence[Check]]]
"""Gives the checks of the moment; must answer within a few seconds and never raise."""
