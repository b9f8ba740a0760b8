"""The pure tiers are guarded: a test there cannot reach the network or wait for time."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

pytest_plugins = ["pytester"]

GUARD = (ROOT / "tests/conftest.py").read_text(encoding="utf-8")

REACHING = """
import asyncio, socket, time
import pytest

def test_connect():
    socket.create_connection(("127.0.0.1", 9))

def test_sleep():
    time.sleep(1)

def test_wait():
    asyncio.run(asyncio.sleep(1))

def test_yield_is_allowed():
    asyncio.run(asyncio.sleep(0))
"""


@pytest.mark.parametrize(
    ("tier", "passed", "failed"), [("unit", 1, 3), ("property", 1, 3)], ids=["unit", "property"]
)
def test_pure_tiers_refuse_network_and_sleep(
    pytester: pytest.Pytester, tier: str, passed: int, failed: int
):
    pytester.makeconftest(GUARD)
    folder = pytester.mkdir(tier)
    (folder / "test_reaching.py").write_text(REACHING, encoding="utf-8")
    # Only the guard is under test: no plugin of the outer run takes part.
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio", tier)
    result.assert_outcomes(passed=passed, failed=failed)


def test_the_guard_ends_with_the_test():
    assert socket.socket.connect.__qualname__ != "_no_network"
    assert getattr(time.sleep, "__name__", "") == "sleep"
    assert asyncio.sleep.__name__ == "sleep"


def test_tiers_are_the_known_ones():
    known = {
        "architecture",
        "chaos",
        "conformance",
        "contracts",
        "e2e",
        "integration",
        "property",
        "quality",
        "replay",
        "security",
        "simulation",
        "unit",
    }
    present = {
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and any(path.rglob("*.py"))
    }
    assert present - {"__pycache__"} <= known, f"{Path('tests')} has a tier nobody knows"
