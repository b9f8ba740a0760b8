"""What runs while the nemesis is at work: every way in which a run can wait for something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Json = dict[str, Any]
SUCCEEDS = ("succeeded",)
APPROVERS = ("ada", "bob")
GROUP = "chaos"
PROBE = "chaos-probe"
ONCE_RUNNING_S = 12  # a claimed attempt that says nothing for so long is unknown
BRANCHES = 6
APPROVED = 0.8  # part of all votes


@dataclass(frozen=True, slots=True)
class Work:
    """A workflow of the load.

    Attributes:
        nodes: its nodes.
        weight: how often it is started, compared with the others.
        ends: how its runs may end.
        voted: whether clients decide its gates.
        cancelled: whether the client that started a run cancels it.
    """

    nodes: Json
    weight: int = 1
    ends: tuple[str, ...] = SUCCEEDS
    voted: bool = False
    cancelled: bool = False


def _noop(needs: tuple[str, ...] = (), agent: str = "noop", **more: Any) -> Json:  # noqa: ANN401
    nap = {"sleep_ms": "{{inputs.nap_ms}}"}
    return {"agent": agent, "needs": list(needs), "with": nap, **more}


def _once(needs: tuple[str, ...]) -> Json:
    return _noop(
        needs,
        "noop-once",
        timeout={"running": f"{ONCE_RUNNING_S}s"},
        retry={"attempts": 5, "delay": "200ms"},
    )


def _gate(needs: tuple[str, ...], **more: Any) -> Json:  # noqa: ANN401
    policy = {"title": "{{run.id}}", "approvers": {"groups": [GROUP]}, **more}
    return {"needs": list(needs), "approval": policy, "on_failure": "continue"}


def _branches() -> Json:
    names = [f"branch_{number}" for number in range(BRANCHES)]
    nodes = {name: _noop(("split",)) for name in names}
    return {"split": _noop(), **nodes, "join": _noop(tuple(names))}


WORKS: Mapping[str, Work] = {
    "chaos-chain": Work({"a": _noop(), "b": _noop(("a",)), "c": _noop(("b",))}, weight=4),
    "chaos-fan": Work(_branches(), weight=2),
    "chaos-flaky": Work(
        {
            "shaky": {
                "agent": "noop",
                "with": {"fail_times": 2, "payload": {"nap": "{{inputs.nap_ms}}"}},
                "retry": {"attempts": 4, "delay": "700ms"},
            },
            "after": _noop(("shaky",)),
        },
        weight=2,
    ),
    "chaos-once": Work(
        {"before": _noop(), "charge": _once(("before",)), "after": _noop(("charge",))}, weight=4
    ),
    "chaos-gate": Work(
        {
            "before": _noop(),
            "review": _gate(("before",), quorum=2),
            "after": {**_once(("review",)), "when": "review.status == 'succeeded'"},
        },
        weight=3,
        voted=True,
    ),
    "chaos-plan": Work(
        {
            "change": {
                "agent": "noop-planner",
                "with": {"payload": {"nap": "{{inputs.nap_ms}}"}},
                "approval": {"approvers": {"groups": [GROUP]}},
                "on_failure": "continue",
                "timeout": {"running": f"{ONCE_RUNNING_S}s"},
            },
        },
        weight=2,
        voted=True,
    ),
    "chaos-expiry": Work(
        {
            "review": _gate((), expires="3s"),
            "late": {**_noop(("review",)), "when": "review.status == 'failed'"},
        },
        ends=SUCCEEDS,
    ),
    "chaos-slow": Work(
        {"long": {"agent": "noop", "with": {"sleep_ms": 20_000}}},
        ends=("cancelled", "succeeded"),
        cancelled=True,
    ),
}
PROBE_NODES: Json = {"only": {"agent": "noop", "with": {"payload": {"mark": "{{inputs.mark}}"}}}}


def draw(dice: Random) -> tuple[str, Json]:
    """Choose what to start next, and its inputs."""
    name = dice.choices(list(WORKS), [work.weight for work in WORKS.values()])[0]
    return name, {"nap_ms": dice.choice((0, 0, 20, 100, 400))}


def approves(seed: int, approval_id: str) -> bool:
    """Say how the approvers decide; the same for both, and whenever they are asked."""
    dice = Random(f"{seed}/vote/{approval_id}")  # noqa: S311 - a seed
    return dice.random() < APPROVED
