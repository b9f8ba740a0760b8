"""What holds for every test.

Tests of the tiers `unit` and `property` are pure: while one of them runs, opening a connection
or sleeping is an error. The guard wraps the whole test, set-up included, and is not a fixture,
so that it also holds for tests that Hypothesis repeats.

Tests of real servers and processes are tried once more when they fail (ADR 0004); more second
tries than `SECOND_TRIES_MAX` fail the run.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import pytest

PURE_TIERS = ("unit", "property")
REAL_TIERS = ("conformance", "integration", "e2e", "security")
ONCE_TIERS = ("chaos", "simulation")  # what they see once has happened
SECOND_TRIES_MAX = 3
REASON_CHARS = 3_000
TESTS = Path(__file__).parent


class ImpureTestError(AssertionError):
    """A test of a pure tier reached for the network or for time."""


def _no_network(*_args: object, **_kwargs: object) -> NoReturn:
    raise ImpureTestError("tests/unit and tests/property open no connection: use a fake")


def _no_sleep(*_args: object, **_kwargs: object) -> NoReturn:
    raise ImpureTestError("tests/unit and tests/property never sleep: wait on a condition")


_yield_once = asyncio.sleep


async def _only_yield(delay: float, result: object = None) -> object:
    if delay > 0:
        _no_sleep()
    return await _yield_once(0, result)


def tier_of(path: Path) -> str:
    """The folder below tests/ that a test file lives in."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if tier_of(item.path) not in PURE_TIERS:
        return (yield)
    # The event loop's own socketpair() is untouched: only reaching outwards is refused.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "bind", "sendto"):
            patch.setattr(socket.socket, name, _no_network)
        patch.setattr(socket, "getaddrinfo", _no_network)
        patch.setattr(time, "sleep", _no_sleep)
        patch.setattr(asyncio, "sleep", _only_yield)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = tier_of(item.path)
        if tier in ONCE_TIERS:
            continue
        if tier in REAL_TIERS or item.get_closest_marker("real"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    tries = len(reporter.stats.get("rerun", ()))
    if tries > SECOND_TRIES_MAX and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"\n{tries} second tries, {SECOND_TRIES_MAX} are taken", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each second try why there had to be one."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.write_sep("_", f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-REASON_CHARS:])
