"""The executor with real agents in a real sandbox; the bus is a fake."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.bundles import FolderBundles, read_bundle
from penstock_adapters.system.clock import SystemClock
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ReportResult
from penstock_contracts.task.v1 import LOG_TYPE, TaskMessage
from penstock_contracts.values import JsonObject
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.workspaces import Workspaces
from penstock_testkit.fakes.executor import ExecutorWorld, Real
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

WAIT_S = 60.0
AGENT = """\
import json, os, pathlib, sys, time

given = json.loads(pathlib.Path("/penstock/input.json").read_text())
def answer(value):
    pathlib.Path("/penstock/output.json").write_text(json.dumps(value))
exec(given["do"])
"""
MANIFEST: JsonObject = {
    "apiVersion": "penstock/v1",
    "kind": "Agent",
    "name": "doer",
    "effect": "repeatable",
    "command": ["python", "/penstock/agent/agent.py"],
    "workspaces": [{"input": "repository_path", "optional": True}],
    "limits": {"memory_mb": 128, "wall_s": 20, "log_kb": 64, "output_kb": 32},
    "input": {"type": "object", "required": ["do"]},
    "output": {"type": "object", "required": ["said"]},
}


def from_json(text: str, _name: str) -> object:
    return json.loads(text)


class Doer:
    """A world whose one agent does what its input says."""

    def __init__(self, world: ExecutorWorld, manifest: AgentManifest) -> None:
        self.world = world
        self._manifest = manifest
        self._count = 0

    async def does(self, code: str, **given: object) -> ReportResult:
        return await self.runs(self.task(code, **given))

    def task(self, code: str, **given: object) -> TaskMessage:
        self._count += 1
        return self.world.task(
            f"node_{self._count}",
            agent="doer",
            agent_digest=manifest_digest(self._manifest),
            ends_by_us=2**53,
            input={"do": code, **given},
        )

    async def runs(self, task: TaskMessage) -> ReportResult:
        self.world.publisher.sent.clear()
        item = self.world.deliver(task)
        await asyncio.wait_for(item.done.wait(), WAIT_S)
        assert item.fates[-1] == "ack"
        (result,) = self.world.results()
        return result


@asynccontextmanager
async def doer(tmp_path: Path) -> AsyncIterator[Doer]:
    folder = tmp_path / "agents" / "doer"
    folder.mkdir(parents=True)
    (folder / "agent.yaml").write_text(json.dumps(MANIFEST))
    (folder / "agent.py").write_text(AGENT)
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path, tmp_path / "agents", folder, empty):
        path.chmod(0o755)
    manifest = read_bundle(folder, from_json).manifest
    async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
        world = ExecutorWorld(
            manifest,
            real=Real(sandbox, FolderBundles([tmp_path / "agents"], read=from_json), SystemClock()),
            workspaces=Workspaces(
                [tmp_path / "work"], hidden=[tmp_path / "work/repo/.penstock"], empty=empty
            ),
        )
        async with world:
            yield Doer(world, manifest)


async def test_a_real_agent_gets_its_input_and_environment(tmp_path: Path) -> None:
    async with doer(tmp_path) as agent:
        task = agent.task("print('hello'); answer({'said': os.environ['PENSTOCK_NODE']})")
        result = await agent.runs(task)
        logs = agent.world.data_of(LOG_TYPE)

    assert result.error is None
    assert result.output == {"said": task.node}
    assert result.usage.wall_s > 0
    assert [data["lines"] for data in logs] == [[["stdout", "hello"]]]


@pytest.mark.parametrize(
    ("code", "expected", "said"),
    [
        ("answer({'wrong': 1})", Code.INVALID_OUTPUT, "'said' is a required property"),
        ("sys.exit(137)", Code.AGENT_CRASHED, "exit code 137 (SIGKILL)"),
        ("raise RuntimeError('boom')", Code.AGENT_CRASHED, "its last line: RuntimeError: boom"),
        (
            "answer({'error': {'code': 'no', 'message': 'way'}}); sys.exit(10)",
            Code.AGENT_FAILED,
            "no: way",
        ),
        ("answer({'said': 'x' * 100_000})", Code.OUTPUT_TOO_LARGE, ""),
        ("x = bytearray(512 * 2**20)", Code.OUT_OF_MEMORY, ""),
        ("while True: print('x' * 4000)", Code.OUTPUT_TOO_LARGE, ""),
    ],
)
async def test_what_an_agent_does_wrong_is_named(
    tmp_path: Path, code: str, expected: Code, said: str
) -> None:
    async with doer(tmp_path) as agent:
        result = await agent.does(code)

    assert result.error is not None
    assert result.error.code == expected, result.error
    assert said in result.error.message


async def test_an_agent_that_hangs_is_ended_in_its_tasks_time(tmp_path: Path) -> None:
    async with doer(tmp_path) as agent:
        task = agent.task("time.sleep(600)").model_copy(update={"running_s": 1.0})
        result = await agent.runs(task)

    assert result.error is not None
    assert result.error.code == Code.TIMEOUT_RUNNING


async def test_a_workspace_is_seen_inside(tmp_path: Path) -> None:
    repo = tmp_path / "work" / "repo"
    repo.mkdir(parents=True)
    (repo / "file").write_text("content")
    code = "answer({'said': (pathlib.Path(given['repository_path']) / 'file').read_text()})"
    async with doer(tmp_path) as agent:
        result = await agent.does(code, repository_path=str(repo))

    assert result.error is None
    assert result.output == {"said": "content"}


async def test_penstocks_own_state_is_not_seen_inside(tmp_path: Path) -> None:
    state = tmp_path / "work" / "repo" / ".penstock"
    state.mkdir(parents=True)
    (state / "admin.token").write_text("hunter2")
    code = (
        "repo = pathlib.Path(given['repository_path']);"
        "answer({'said': [[path.name for path in repo.iterdir()],"
        " [path.name for path in (repo / '.penstock').iterdir()]]})"
    )
    async with doer(tmp_path) as agent:
        result = await agent.does(code, repository_path=str(state.parent))

    assert result.error is None
    assert result.output == {"said": [[".penstock"], []]}


async def test_a_changed_agent_is_not_run_under_its_old_digest(tmp_path: Path) -> None:
    async with doer(tmp_path) as agent:
        assert (await agent.does("answer({'said': 1})")).error is None
        program = tmp_path / "agents" / "doer" / "agent.py"
        program.write_text(AGENT + "# changed\n")
        os.utime(program)
        result = await agent.does("answer({'said': 1})")

    assert result.error is not None
    assert result.error.code == Code.AGENT_UNAVAILABLE
