"""Executors: how the circuit breaker in front of their sandbox stands."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from penstock_contracts.values import TimeUs, Wire

REASON_CHARS = 300
EXECUTOR_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # host names may be names of executors


class BreakerState(StrEnum):
    """Whether tasks are let through to the sandbox."""

    CLOSED = "CLOSED"  # all of them
    OPEN = "OPEN"  # none, until a moment
    HALF_OPEN = "HALF_OPEN"  # none; the sandbox is being tried, once


class ReportBreaker(Wire):
    """An executor says how its breaker stands; what it has said before changes nothing.

    Attributes:
        failures: how many within the breaker's window led to this.
        reason: of the last failure, one sentence without payload.
        since_us: when it came to stand so; later with each change.
        until_us: when an open one lets the sandbox be tried; else 0.
    """

    TYPE: ClassVar[str] = "executor.report_breaker.v1"
    executor: str = Field(max_length=128, pattern=EXECUTOR_PATTERN)
    pool: str = Field(max_length=63)
    adapter: str = Field(max_length=63)
    state: BreakerState
    failures: int = Field(default=0, ge=0)
    reason: str = Field(default="", max_length=REASON_CHARS)
    since_us: TimeUs
    until_us: TimeUs = 0


class BreakerChanged(Wire):
    """The breaker in front of an executor's sandbox stands otherwise than before."""

    TYPE: ClassVar[str] = "executor.breaker_changed.v1"
    tenant: str
    executor: str
    pool: str
    adapter: str
    state: BreakerState
    failures: int = 0
    reason: str = ""
    since_us: TimeUs
    until_us: TimeUs = 0
