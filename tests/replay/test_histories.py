"""Stored histories fold to the states they folded to when they were recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.memory.ledger import MemoryLedger
from penstock_contracts.records import NewRecord, chain_hash, decode_state, genesis_hash
from penstock_core.run.decider import RunDecider
from penstock_core.run.snapshot import state_hash
from penstock_runtime.cells import event_of
from penstock_runtime.codes import TaskCodeBook
from penstock_runtime.definitions import Definitions
from penstock_runtime.ports.ledger import Commit
from penstock_scheduler.runs import RunDomain
from penstock_testkit.fakes.clock import ManualClock

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


async def stored(history: dict[str, Any]) -> MemoryLedger:
    """Put a history into a store, as it was."""
    ledger = MemoryLedger(ManualClock())
    for partition, rows in history["events"].items():
        events = [NewRecord(one, version, topic, raw.encode()) for one, version, topic, raw in rows]
        row = await ledger.acquire(partition, "test", 10)
        assert row is not None
        head = genesis_hash(partition)
        for event in events:
            assert decode_state(event.state)[1] == head.hex(), "the chain is broken"
            head = chain_hash(head, event.aggregate_id, event.version, event.topic, event.state)
        commit = Commit(partition, row.epoch, row.commit_number, len(events), head, events)
        await ledger.commit(commit)
    return ledger


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_stored_history_folds_to_its_recorded_state(path: Path):
    history = read(path)
    ledger = await stored(history)
    run = history["run"]
    records = (await ledger.load([run]))[run]
    assert [record.topic.split(".")[1] for record in records] == history["story"]
    domain = RunDomain(Definitions(ledger), TaskCodeBook(b"0" * 32))
    state = await domain.blank(run, event_of(records[0]))
    for record in records:
        state = RunDecider().evolve(state, event_of(record))
    assert state_hash(state) == history["state_hash"]


def test_every_ending_is_recorded():
    stories = [json.loads(path.read_text("utf-8"))["story"] for path in HISTORIES]
    names = {name for story in stories for name in story}
    assert names >= {
        "run_succeeded", "run_failed", "run_cancelled", "gate_passed", "attempt_failed",
        "node_failed", "node_skipped", "task_started", "plan_made", "gate_pushed_back",
        "outcome_unknown", "outcome_settled",
    }  # fmt: skip
