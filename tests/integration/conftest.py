"""Real servers that a module's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.doctor_servers import Bench
from tests.real_servers import postgres, urls

__all__ = ["bench", "postgres", "urls"]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A place for the doctor to look at."""
    with Bench.prepared() as prepared:
        yield prepared
