"""Penstock for a driver of several engines: its workflows, and the driver's step in the sandbox."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
from pydantic_core import from_json

from penstock_adapters.inline import InlineSandbox
from penstock_adapters.system.clock import SystemClock
from penstock_contracts.workflow.v1 import WorkflowDefinition
from penstock_runtime.ports.sandbox import Limits, SandboxSpec
from tests.architecture.tree import ROOT

LIMITS = Limits(1 << 20, 1, 1.0, 60.0, 1 << 16, 1 << 16, 1 << 20)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "load-tests" / "peers"))
    return importlib.import_module


class Driver:
    """Has the step of every engine."""

    def __init__(self) -> None:
        self.steps: list[tuple[object, ...]] = []

    async def step_body(self, wid: str, i: int, sleep_ms: float, log: bool) -> dict[str, Any]:
        self.steps.append((wid, i, sleep_ms, log))
        return {"i": i, "t": 7}


def spec(document: bytes) -> SandboxSpec:
    env = {"PENSTOCK_RUN_ID": "run"}
    return SandboxSpec("task", ROOT, ("noop",), document, LIMITS, env=env)


async def test_the_step_gives_the_output(module: Any):
    driver = Driver()
    sandbox = module("peer_executor").StepSandbox(InlineSandbox(SystemClock()), driver)
    plain = await sandbox.run(spec(b'{"i":3}'), print)
    assert from_json(plain.output) == {"i": 3, "t": 7}
    told = await sandbox.run(spec(b'{"i":4,"pause_ms":200,"log":true}'), print)
    assert (told.exit_code, from_json(told.output)["i"]) == (0, 4)
    assert driver.steps == [("run", 3, 0, False), ("run", 4, 200, True)]


async def test_what_names_no_step_is_left_to_the_built_in_agent(module: Any):
    driver = Driver()
    sandbox = module("peer_executor").StepSandbox(InlineSandbox(SystemClock()), driver)
    echo = await sandbox.run(spec(b'{"payload":1}'), print)
    assert from_json(echo.output) == {"payload": 1}
    assert driver.steps == []


@pytest.mark.parametrize(
    ("kind", "parameters", "outputs", "result"),
    [
        ("chain", {"steps": 5}, {"last": 4, "t": 9}, {"n": 5, "t": 9}),
        ("chain", {"steps": 1, "sleep_ms": 5, "log": True}, {"last": 0, "t": 9}, {"n": 1, "t": 9}),
        ("fan", {"k": 300}, {"all": list(range(300))}, {"n": 300}),
        ("parked", {}, {"ok": True}, {"ok": True}),
    ],
)
def test_a_shape_is_a_workflow_with_a_result(
    module: Any, kind: str, parameters: dict[str, Any], outputs: dict[str, Any], result: object
):
    workflows: ModuleType = module("peer_workflows")
    shape = workflows.Shape.of(kind, parameters)
    definition = WorkflowDefinition.model_validate(shape.document())
    assert set(definition.outputs) == set(outputs)
    assert shape.result(outputs) == result
    depth = [name for name, node in definition.nodes.items() if node.needs]
    assert len(depth) == (len(definition.nodes) - 1 if kind == "chain" else 0)


def test_other_parameters_are_another_workflow(module: Any):
    shape = module("peer_workflows").Shape
    plain, paused = shape.of("chain", {"steps": 5}), shape.of("chain", {"steps": 5, "sleep_ms": 1})
    assert plain.name != paused.name
    assert paused == shape.of("chain", {"steps": 5, "sleep_ms": 2})
    assert paused.document()["nodes"]["step_4"]["with"] == {
        "i": 4,
        "pause_ms": "{{inputs.sleep_ms}}",
    }
