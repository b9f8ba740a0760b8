"""Loops that work until they are cancelled wait in a way that cannot lose the cancellation."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.tree import Source, sources

ENDLESS = ("penstock_runtime", "penstock_adapters", "penstock_executor")


def _calls(source: Source) -> list[str]:
    """Places that call `asyncio.wait_for`."""
    return [
        f"{source.path}:{node.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "wait_for"
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    ]


@pytest.mark.parametrize("package", ENDLESS)
def test_waits_are_bounded_by_timeout(package: str):
    """Use `asyncio.timeout`.

    In Python 3.11 `wait_for` drops a cancellation that comes while its result is just there. A
    loop then goes on for ever, and the task group that cancelled it waits for it: a partition
    without an owner, and no word in the log.
    """
    found = [call for source in sources() if source.package == package for call in _calls(source)]
    assert found == []
