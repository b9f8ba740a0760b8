"""A run as it is drawn: read from the gateway's document, kept up to date by its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from rich.text import Text
from rich.tree import Tree

from penstock_cli.terminal import MICROSECONDS, duration, short, span, styled, symbol
from penstock_cli.visible import one_line

Json = dict[str, Any]

AFTER = {
    "task_scheduled": "queued",
    "task_started": "running",
    "task_result_received": "storing",
    "node_succeeded": "succeeded",
    "attempt_failed": "retrying",
    "node_failed": "failed",
    "node_skipped": "skipped",
    "plan_made": "waiting",
    "gate_opened": "gated",
    "gate_passed": "waiting",
    "gate_pushed_back": "waiting",
    "outcome_unknown": "unknown",
    "outcome_settled": "unknown",
}
RUN_AFTER = {
    "run_started": "running",
    "run_succeeded": "succeeded",
    "run_failed": "failed",
    "run_cancelled": "cancelled",
}
ENDED = frozenset({"succeeded", "failed", "cancelled"})
SETTLED = ENDED | {"skipped"}
DOING = {
    ("plan", "queued"): "planning",  # a plan is started by whoever takes it, and says so late
    ("plan", "running"): "planning",
    ("apply", "running"): "applying",
}
"""What a node of an agent that plans is doing, by phase and status."""


@dataclass(slots=True)
class NodePicture:
    """One node: its status, and what to say about it."""

    status: str = "waiting"
    attempt: int = 0
    phase: str = "run"
    agent: str | None = None
    executor: str = ""
    approval_id: str = ""
    error: str = ""
    began_us: int = 0
    ended_us: int = 0

    plan: str = ""
    feedback: str = ""
    progress: Json = field(default_factory=dict[str, Any])
    partial: Json | None = None

    @property
    def doing(self) -> str:
        """Give the status, or what it means for an agent that plans."""
        return DOING.get((self.phase, self.status), self.status)

    def line(self, name: str, now_us: int) -> Text:
        """Give its line of the tree."""
        text = Text.assemble(symbol(self.doing), " ", (name, "bold"))
        text.append(f"  {self.agent or 'gate'}", style="dim")
        text.append("  ").append_text(styled(self.doing))
        if self.attempt > 1:
            text.append(f"  attempt {self.attempt}", style="yellow")
        if self.status == "gated":
            text.append(f"  waits for a decision on {short(self.approval_id)}", style="yellow")
            if self.plan:
                text.append("  ").append_text(one_line(self.plan))
        elif self.status == "unknown":
            text.append("  did it happen? an operator has to say: penstock runs settle", "yellow")
        elif self.began_us and self.status not in ("waiting", "skipped"):
            end = self.ended_us or now_us
            text.append(f"  {span((end - self.began_us) / MICROSECONDS)}", style="dim")
        if self.progress and self.status in ("queued", "running"):
            text.append("  ").append_text(one_line(progress_of(self.progress), "cyan"))
        if self.feedback and self.status not in SETTLED:
            text.append("  pushed back: ", style="yellow").append_text(one_line(self.feedback))
        if self.error:
            text.append("  ").append_text(one_line(self.error, "red"))
        return text


@dataclass(slots=True)
class RunPicture:
    """A run and its nodes."""

    run_id: str
    workflow: str = ""
    status: str = "running"
    started_us: int = 0
    ended_us: int = 0
    cause: str = ""
    version: int = 0
    order: Sequence[str] = ()
    edges: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    nodes: dict[str, NodePicture] = field(default_factory=dict[str, NodePicture])

    @property
    def ended(self) -> bool:
        """Tell whether nothing will change any more."""
        return self.status in ENDED

    @property
    def unfinished(self) -> bool:
        """Tell whether agents may have said what no result holds: they run, or were cancelled."""
        return not self.ended or self.status == "cancelled"

    def apply(self, kind: str, event: Json) -> None:
        """Take one event of the run in; one already seen changes nothing."""
        version = int(event.get("version", 0))
        if version <= self.version:
            return
        self.version = version
        data = cast("Json", event.get("data") or {})
        at_us = _time_us(str(event.get("time", "")))
        if kind in RUN_AFTER:
            self._run_changed(kind, data, at_us)
        elif kind == "gate_pushed_back":
            self._pushed_back(data)
        elif kind in AFTER and data.get("node"):
            self._node_changed(
                self.nodes.setdefault(str(data["node"]), NodePicture()), kind, data, at_us
            )

    def _run_changed(self, kind: str, data: Json, at_us: int) -> None:
        self.status = RUN_AFTER[kind]
        self.started_us = self.started_us or int(data.get("started_us", 0))
        self.ended_us = int(data.get("ended_us", 0))
        self.cause = cause_of(data.get("cause"))
        if self.ended:
            for node in self.nodes.values():
                if node.status not in SETTLED and node.status != "unknown":
                    node.status, node.ended_us = "cancelled", at_us

    def _pushed_back(self, data: Json) -> None:
        for name in cast("list[str]", data.get("reset") or []):
            node = self.nodes.setdefault(name, NodePicture())
            node.status, node.error, node.plan, node.ended_us = "waiting", "", "", 0
            node.feedback = str(data.get("feedback", "")) if name == data.get("to") else ""

    def _node_changed(self, node: NodePicture, kind: str, data: Json, at_us: int) -> None:
        node.status = AFTER[kind]
        node.attempt = int(data.get("attempt", node.attempt))
        node.executor = str(data.get("executor") or node.executor)
        node.approval_id = str(data.get("approval_id") or node.approval_id)
        node.error = failure_of(data.get("error"))
        node.partial = partial_of(data.get("error")) or node.partial
        if kind == "task_scheduled":
            node.phase = str(data.get("phase", "run"))
            node.progress, node.partial = {}, None
        if kind == "plan_made":
            node.plan = summary_of(data.get("plan"))
        if kind in ("task_scheduled", "gate_opened"):
            node.began_us = node.began_us or at_us
        if node.status in SETTLED:
            node.ended_us = at_us

    def tree(self, now_us: int) -> Tree:
        """Draw it: each node below the last of those it needs."""
        head = Text.assemble((self.workflow, "bold"), "  ", (short(self.run_id), "dim"), "  ")
        head.append_text(styled(self.status))
        if self.started_us:
            head.append(f"  {duration(self.started_us, self.ended_us or now_us)}", style="dim")
        if self.cause:
            head.append("  ").append_text(one_line(self.cause, "red"))
        tree = Tree(head, guide_style="dim")
        drawn: dict[str, Tree] = {}
        for name in self._by_depth():
            needs = self.edges.get(name, [])
            parents = [tree for parent, tree in drawn.items() if parent in needs]
            above = parents[-1] if parents else None
            line = self.nodes[name].line(name, now_us)
            if len(needs) > 1:
                line.append(f"  joins {', '.join(needs)}", style="dim")
            drawn[name] = (above or tree).add(line)
        return tree

    def _by_depth(self) -> list[str]:
        """Order nodes so that each stands behind all it needs; ties as the definition has them."""
        left = [*self.order, *(name for name in self.nodes if name not in self.order)]
        done: list[str] = []
        while left:
            ready = [
                n for n in left if all(p in done or p not in left for p in self.edges.get(n, []))
            ]
            done += ready or left
            left = [name for name in left if name not in done]
        return [name for name in done if name in self.nodes]


def picture_of(document: Json) -> RunPicture:
    """Read the gateway's document of a run."""
    run = cast("Json", document["run"])
    agents = cast("dict[str, str | None]", document.get("agents") or {})
    picture = RunPicture(
        run_id=str(run["run_id"]),
        workflow=str(run.get("workflow", "")),
        status=str(run.get("status", "running")),
        started_us=int(run.get("started_us") or 0),
        ended_us=int(run.get("ended_us") or 0),
        cause=cause_of(run.get("cause")),
        order=cast("list[str]", document.get("order") or []),
        edges=cast("dict[str, list[str]]", document.get("edges") or {}),
    )
    for name, node in cast("dict[str, Json]", document.get("nodes") or {}).items():
        picture.nodes[name] = NodePicture(
            status=str(node.get("status", "waiting")),
            attempt=int(node.get("attempt") or 0),
            agent=agents.get(name),
            executor=str(node.get("executor") or ""),
            approval_id=str(node.get("approval_id") or ""),
            error=failure_of(node.get("error")),
            phase=str(node.get("phase") or "run"),
            plan=summary_of(node.get("plan")),
            feedback=str(node.get("feedback") or ""),
            partial=partial_of(node.get("error")),
        )
    return picture


def blank_picture_of(document: Json) -> RunPicture:
    """Read only what never changes; the run's events, from the first, give the rest."""
    picture = picture_of(document)
    for node in picture.nodes.values():
        node.status, node.error, node.attempt = "waiting", "", 0
        node.phase, node.plan, node.feedback = "run", "", ""
    picture.status, picture.ended_us, picture.cause = "running", 0, ""
    return picture


def summary_of(plan: object) -> str:
    """Give the one line about a plan."""
    return str(cast("Json", plan).get("summary", "")) if isinstance(plan, dict) else ""


def failure_of(error: object) -> str:
    """Give a failure as a sentence with its code."""
    if not isinstance(error, dict):
        return ""
    told = cast("Json", error)
    return f"{told.get('code', 'failed')}: {told.get('message', '')}".rstrip(": ")


def partial_of(error: object) -> Json | None:
    """Give what an agent had when it was ended before its time, beside its failure."""
    found: object = cast("Json", error).get("partial") if isinstance(error, dict) else None
    return cast("Json", found) if isinstance(found, dict) else None


def cause_of(cause: object) -> str:
    """Give what ended a run before its time."""
    if not isinstance(cause, dict):
        return ""
    told = cast("Json", cause)
    text = failure_of(told.get("error"))
    return f"{told['node']}: {text}" if told.get("node") else text


def progress_of(said: Json) -> str:
    """Give progress as a text: 40% and what is done."""
    fraction = said.get("fraction")
    share = f"{float(fraction):.0%} " if isinstance(fraction, int | float) else ""
    return f"{share}{said.get('text') or ''}"


def _time_us(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * MICROSECONDS)
    except ValueError:
        return 0


def event_line(kind: str, event: Json) -> Text:
    """Give an event as one line for logs and pipes."""
    data = cast("Json", event.get("data") or {})
    text = Text.assemble((f"{str(event.get('time', ''))[11:23]:<13}", "dim"))
    status = AFTER.get(kind) or RUN_AFTER.get(kind) or ""
    status = DOING.get((str(data.get("phase")), status), status)
    if status:
        text.append_text(styled(f"{status:<10}", status))
    text.append(kind, style="bold")
    if data.get("node"):
        text.append(f"  {data['node']}")
    if int(data.get("attempt") or 0) > 1:
        text.append(f"  attempt {data['attempt']}")
    if data.get("phase"):
        text.append(f"  {data['phase']}", style="cyan")
    for name in ("executor", "by", "to", "feedback", "reason"):
        if data.get(name):
            text.append_text(one_line(f"  {name} {data[name]}", "dim"))
    if kind == "plan_made":
        text.append("  ").append_text(one_line(summary_of(data.get("plan"))))
    if kind == "outcome_settled":
        text.append("  it happened" if data.get("happened") else "  it did not happen")
    error = failure_of(data.get("error")) or cause_of(data.get("cause"))
    if error:
        text.append("  ").append_text(one_line(error, "red"))
    if kind == "gate_opened":
        text.append(f"  approval {short(data.get('approval_id'))}", style="yellow")
    return text
