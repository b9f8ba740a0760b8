"""What a seed stands for: topology, workload and weather, all drawn before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock_core.workflow.validation import validate
from penstock_testkit.builders.workflows import AGENTS, workflow
from penstock_testkit.sim.dice import Dice
from penstock_testkit.sim.links import Weather

NODES_MAX = 5
TRIGGERS_MAX = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A trigger that somebody will send.

    Attributes:
        at_s: when, in seconds of virtual time.
        by_api: through the gateways; otherwise it is a message on the bus.
        cancel_at_s: when it is cancelled; None: never.
    """

    at_s: float
    workflow: str
    trigger_id: str
    cancel_at_s: float | None
    by_api: bool


@dataclass(frozen=True, slots=True)
class Topology:
    """How many there are of each."""

    partitions: int
    schedulers: int
    approvals: int
    executors: int
    gateways: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is drawn beforehand.

    Attributes:
        storm_s: how long faults go on, in seconds of virtual time.
        faults: how many befall the world meanwhile.
        repeats: share of commands that come twice.
        restores: whether the store is put back to an earlier state, once.
    """

    seed: int
    topology: Topology
    documents: Sequence[Mapping[str, Any]]
    asked: Sequence[Asked]
    storm_s: float
    faults: int
    repeats: float
    weather: Weather
    restores: bool


def plan_of(seed: int) -> Plan:
    """Draw a plan."""
    dice, way = Dice(seed, "plan"), Dice(seed, "way")
    documents = [_document(dice, f"flow-{number}") for number in range(dice.choice((1, 1, 2)))]
    storm_s = dice.seconds(20, 400)
    rough = dice.chance(0.6)
    return Plan(
        seed=seed,
        topology=Topology(
            partitions=dice.choice((1, 1, 2, 3)),
            schedulers=dice.choice((1, 2, 2, 3)),
            approvals=dice.choice((1, 2)),
            executors=dice.choice((1, 2, 2, 3)),
            gateways=dice.choice((1, 2)),
        ),
        documents=documents,
        asked=[
            _asked(dice, way, number, documents, storm_s)
            for number in range(dice.randint(1, TRIGGERS_MAX))
        ],
        storm_s=storm_s,
        faults=dice.randint(1, 8),
        repeats=dice.choice((0.0, 0.05, 0.3)),
        weather=Weather(
            slow=dice.choice((0.1, 0.5, 1.0)),
            slow_s=dice.choice((0.005, 0.05, 1.0)),
            lost=dice.choice((0.0, 0.01, 0.05)) if rough else 0.0,
            unanswered=dice.choice((0.0, 0.01, 0.05)) if rough else 0.0,
        ),
        restores=dice.chance(0.12),
    )


def _asked(
    dice: Dice, way: Dice, number: int, documents: Sequence[Mapping[str, Any]], storm_s: float
) -> Asked:
    at_s = dice.uniform(0, storm_s)
    return Asked(
        at_s=at_s,
        workflow=str(dice.choice(documents)["name"]),
        trigger_id=f"t{number}",
        cancel_at_s=at_s + dice.seconds(0.1, 120) if dice.chance(0.15) else None,
        by_api=way.chance(0.5),
    )


def _document(dice: Dice, name: str) -> Mapping[str, Any]:
    nodes: dict[str, Any] = {}
    for number in range(dice.randint(1, NODES_MAX)):
        needs = [one for one in nodes if dice.chance(0.5)]
        nodes[f"n{number}"] = _node(dice, needs)
    document = workflow(name, nodes=nodes, timeout=dice.choice(("2m", "10m", "1h")))
    for found in validate(document, AGENTS):
        _, _, node, _, field, _ = found.pointer.split("/")
        assert field == "push_back", found
        document["nodes"][node]["approval"].pop(field, None)
    return document


def _node(dice: Dice, needs: Sequence[str]) -> dict[str, Any]:
    node: dict[str, Any] = {"needs": sorted(needs)}
    kind = dice.choice(("work", "work", "pay", "pay", "patch", "gate"))
    if kind != "gate":
        node["agent"] = kind
        node["with"] = {"said": "{{run.feedback}}"}
        if needs and dice.chance(0.3):
            node["with"]["before"] = f"{{{{{needs[0]}.output}}}}"
        node["retry"] = {"attempts": dice.randint(1, 3), "delay": dice.choice((1, 5, 60))}
        node["timeout"] = {"total": dice.choice((20, 200)), "running": 10}
        if dice.chance(0.3):
            node["timeout"]["queued"] = dice.choice((5, 90))
    if kind == "gate" or dice.chance(0.15):
        approval: dict[str, Any] = {"expires": dice.choice((30, 300))}
        if needs and dice.chance(0.7):
            approval["push_back"] = [dice.choice(needs)]
        if dice.chance(0.3):
            approval["quorum"] = 2
        if dice.chance(0.2):
            approval["remind_every"] = 20
        node["approval"] = approval
    if dice.chance(0.4):
        node["on_failure"] = "continue"
    if needs and dice.chance(0.3):
        node["when"] = f"{needs[0]}.status != 'skipped'"
    return node
