"""Penstock for a driver of several engines: every kind of workflow, a death, and nothing left."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import ROOT

DRIVER = """
import time

async def step_body(wid, i, sleep_ms=0, log=False):
    if sleep_ms < 0:
        raise ValueError("told to fail")
    return {"i": i, "t": time.monotonic_ns()}

def tree(pid):
    return [pid]

def prio(pid):
    pass
"""
MODULE = "common"
pytestmark = pytest.mark.timeout(300)  # it starts and kills, on machines that do more than that


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / f"{MODULE}.py").write_text(DRIVER)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.syspath_prepend(str(driver))
    monkeypatch.syspath_prepend(str(ROOT / "load-tests" / "peers"))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    made = importlib.import_module("eng_penstock").Engine("each+run_partitions=2", 1)
    try:
        made.start_server()
        made.start_worker()
        yield made
    finally:
        made.stop()
        _ = sys.modules.pop(MODULE, None)


def left(folder: Path, pids: list[int]) -> list[Path]:
    """State folders and processes that are there."""
    processes = [place for pid in pids if (place := Path(f"/proc/{pid}")).exists()]
    return [*folder.glob("penstock-peers-*"), *processes]


async def test_each_kind_of_workflow_comes_to_its_result_and_nothing_is_left(
    engine: Any, tmp_path: Path
):
    roles = {process.role: process.pids() for process in engine.procs()}
    assert set(roles) == {
        *("nats", "postgres", "scheduler", "executor", "approval", "webhook-gateway"),
        "supervisor",
    }
    await engine.connect()
    try:
        chains = [engine.run("chain", f"chain-{number}", {"steps": 3}) for number in range(20)]
        assert {result["n"] for result in await asyncio.gather(*chains)} == {3}
        assert await engine.run("fan", "fan", {"k": 30}) == {"n": 30}
        with pytest.raises(RuntimeError, match="failed"):
            _ = await engine.run("chain", "bad", {"steps": 1, "sleep_ms": -1})
        parked = await engine.start("parked", "parked", {})
        await engine.signal("parked", parked)
        assert await engine.wait("parked", parked) == {"ok": True}

        await asyncio.to_thread(engine.kill_worker)
        await asyncio.to_thread(engine.start_worker)
        again = {process.role: process.pids() for process in engine.procs()}
        assert {role for role in roles if again[role] != roles[role]} == {"executor"}
        assert (await engine.run("chain", "after", {"steps": 1}))["n"] == 1
    finally:
        await engine.close()

    pids = [pid for process in engine.procs() for pid in process.pids()]
    assert len(left(tmp_path, pids)) == len(pids) + 1
    await asyncio.to_thread(engine.stop)
    assert left(tmp_path, pids) == []
