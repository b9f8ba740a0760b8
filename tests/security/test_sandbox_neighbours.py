"""A task beside one that takes all it can get: it ends well, and as soon as without.

How soon is measured by `python load-tests/neighbours.py`. What is held here could only fail if one
task had the machine, or the executor's event loop, to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_runtime.ports.sandbox import Sandbox
from penstock_testkit.bombs import BOMBS, LIMITS, Bomb
from penstock_testkit.neighbours import neighbours_of
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

TIMES = 30.0
"""How many times as long a neighbour may take; as measured it is twice."""

WAIT_S = 100.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    async with opened_bubblewrap(tmp_path_factory.mktemp("neighbours") / "scratch") as sandbox:
        yield sandbox


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
async def test_a_neighbour_keeps_its_latency(sandbox: Sandbox, bomb: Bomb, tmp_path: Path):
    bundle = tmp_path / "bundle"
    bundle.mkdir(mode=0o755)
    async with asyncio.timeout(WAIT_S):
        measured = await neighbours_of(sandbox, bundle, bomb, samples=3)
    # On a machine that is busy otherwise one in the middle of six can be slow by itself.
    assert measured.beside_s < TIMES * measured.alone_s + LIMITS.wall_s, measured
