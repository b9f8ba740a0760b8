"""Work, a backup, more work, the database gone: restored and recovered, nothing done twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock_contracts.partition.v1 import StoreRecovered
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.published import STORES, assert_events_are_the_store
from tests.e2e.test_rebuild import folded_hash

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_S = 120.0
COMMAND_WITHIN_S = 120.0
PAYING: Json = {
    "before": {"agent": "noop"},
    "pay": {"agent": "noop-once", "needs": ["before"]},
    "after": {"agent": "noop", "needs": ["pay"]},
}
GATED: Json = {
    "review": {"approval": {"title": "Go on?"}},
    "after": {"agent": "noop", "needs": ["review"]},
}


async def penstock(home: Path, *line: str) -> tuple[int, str]:
    """Run a verb as a person would; gives its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "penstock_cli", "--json", *line,
        env={**os.environ, "PENSTOCK_HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_WITHIN_S):
        told, faults = await process.communicate()
    return process.returncode or 0, told.decode() or faults.decode()


async def done(home: Path, *line: str) -> Any:
    """Run a verb that has to succeed; gives its document."""
    code, told = await penstock(home, *line)
    assert code == 0, told
    return json.loads(told)


@asynccontextmanager
async def started(home: Path) -> AsyncGenerator[RunningStack]:
    async with RunningStack.started(home, PENSTOCK_SANDBOX="inline") as stack:
        yield stack


async def test_a_backup_restored_beside_a_living_bus_repeats_nothing(tmp_path: Path) -> None:
    home, file = tmp_path / "state", tmp_path / "kept.zip"
    async with started(home) as stack:
        await stack.register_builtin()
        await stack.apply("paying", PAYING)
        await stack.apply("gated", GATED)
        kept = await stack.trigger("paying")
        await stack.ended(kept)
        gated = await stack.trigger("gated")
        approval = await stack.pending_approval(gated)

        written = await done(home, "backup", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert written["events"] > 0
        code, refused = await penstock(home, "recover", "--yes")
        assert code != 0
        assert "penstock down" in refused

        lost = await stack.trigger("paying")
        await stack.ended(lost)
        rehearsed = await done(home, "backup", "--rehearse", str(file))
        assert rehearsed["faults"] == []
        assert rehearsed["runs"] == rehearsed["compared"] == 2
        assert rehearsed["statuses"] == {"succeeded": 1, "running": 1}
        assert rehearsed["events"] == written["events"]

    shutil.rmtree(home / "postgres")
    code, refused = await penstock(home, "recover", "--yes")  # EVENTS alone tells what was lost
    assert code != 0
    assert "nothing was put back yet" in refused
    restored = await done(home, "restore", "--yes", str(file))
    assert restored["events"] == written["events"]

    recovered = await done(home, "recover", "--yes", "--by", "ann", "--reason", "a lost disk")
    plan = recovered["plan"]
    assert plan["put_back"] == ["scheduler"]
    assert plan["lost"]["runs_started"] == plan["lost"]["runs_ended"] == [lost]
    assert [claim["run_id"] for claim in plan["lost"]["claims"]] == [lost]
    rebuilt = await done(home, "rebuild", "streams", "--yes")
    # What is left is what the recovery itself has committed: its owners publish that.
    assert rebuilt["left"] == recovered["done"]["left"] > 0
    views = await done(home, "rebuild", "projections", "--yes")
    assert views["runs"] == 2
    assert views["read_model_hash"] == views["store_hash"]

    async with started(home) as stack:
        shown = await stack.ended(lost, WAIT_S)  # its trigger and its results are still there
        assert shown["run"]["status"] == "succeeded"
        names = Counter(event.topic for event in stack.stored(lost))
        assert names["run.outcome_unknown.v1"] == 1
        assert not [e for e in stack.stored(lost) if e.data.get("nonce")], "it was claimed again"
        _ = await stack.respond(approval, "approve")
        assert (await stack.ended(gated, WAIT_S))["run"]["status"] == "succeeded"
        for run in (kept, lost, gated):
            assert (await stack.get(f"/api/runs/{run}"))["state_hash"] == await folded_hash(
                stack, run
            )
        await assert_events_are_the_store(stack)
        records = [e for e in stack.partition("catalog") if e.topic == StoreRecovered.TYPE]
        assert [(e.data["by"], e.data["reason"]) for e in records] == [("ann", "a lost disk")]
        for database, partitions in STORES.items():
            for name in partitions:
                assert stack.chain_fault(name, database) is None
