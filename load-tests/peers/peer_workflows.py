"""The harness's three kinds of workflow as definitions, and what their outputs mean to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from peer_executor import LOG, PAUSE, STEP

from penstock_adapters.inline.sandbox import NOOP

CHAIN, FAN, PARKED = "chain", "fan", "parked"
GATE: Final = "ask"
GIVEN: Final = {"sleep_ms": PAUSE, "log": LOG}  # of a run's inputs: as a step's input has it
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how a definition looks; the rest of the parameters are inputs of the run.

    Attributes:
        kind: `chain`, `fan` or `parked`.
        steps: of a chain one after another, of a fan all at once.
        given: parameters that each step is handed.
    """

    kind: str
    steps: int
    given: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, parameters: Mapping[str, Any]) -> "Shape":
        """Give the shape for the parameters of one run."""
        steps = parameters[{CHAIN: "steps", FAN: "k"}[kind]] if kind != PARKED else 1
        return cls(kind, steps, tuple(name for name in sorted(GIVEN) if name in parameters))

    @property
    def name(self) -> str:
        """Name of the workflow."""
        return "-".join(("peers", self.kind, str(self.steps), *self.given))

    def document(self) -> Json:
        """Give the definition."""
        if self.kind == PARKED:
            nodes: Json = {GATE: {"approval": {"title": "May it go on?"}}}
            return {"name": self.name, "nodes": nodes, "outputs": {"ok": _output(GATE, "approved")}}
        given = {GIVEN[name]: f"{{{{inputs.{name}}}}}" for name in self.given}
        names = [f"step_{number}" for number in range(self.steps)]
        nodes = {
            name: {"agent": NOOP, "with": {STEP: number, **given}}
            for number, name in enumerate(names)
        }
        if self.kind == FAN:  # the join: every step's result stands in the run's
            outputs: Json = {"all": [_output(name, "i") for name in names]}
        else:
            for before, name in pairwise(names):
                nodes[name]["needs"] = [before]
            outputs = {"last": _output(names[-1], "i"), "t": _output(names[0], "t")}
        return {"name": self.name, "nodes": nodes, "outputs": outputs}

    def result(self, outputs: Json) -> Json:
        """Give what the harness expects of a run with these outputs."""
        if self.kind == PARKED:
            return {"ok": outputs["ok"]}
        if self.kind == FAN:
            return {"n": len(outputs["all"])}
        return {"n": outputs["last"] + 1, "t": outputs["t"]}


def _output(node: str, field: str) -> str:
    return f"{{{{{node}.output.{field}}}}}"
