"""Says which kind of control groups the tests of this folder have met."""

from __future__ import annotations

import pytest

from penstock_adapters.bubblewrap.cgroups import find_cgroups


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = find_cgroups()
    if found is None:
        said = "none may be made: limits were held by the watchdog, version 1 and 2 on fixtures"
    else:
        other = 2 if found.version == 1 else 1
        said = f"version {found.version} is real, version {other} was a fixture tree"
    terminalreporter.write_line(f"control groups here: {said}; the watchdog is always real")
