"""A plan made, approved and landed by real git, with a real agent in a real sandbox."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.bundles import FolderBundles, read_bundle
from penstock_adapters.git import GitRepositories
from penstock_adapters.process.scratch import Scratch, remove_tree
from penstock_adapters.system.clock import SystemClock
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.codes import Code
from penstock_contracts.run.v1 import ClaimTask, ReportResult
from penstock_contracts.task.v1 import PlannedChange, TaskMessage
from penstock_contracts.values import JsonObject, Phase
from penstock_core.workflow.plan import manifest_digest
from penstock_executor.workspaces import Workspaces
from penstock_testkit.fakes.executor import RUN, ExecutorWorld, Real
from penstock_testkit.sandboxes import opened_bubblewrap

pytestmark = pytest.mark.real

WAIT_S = 60.0
POLL_S = 0.02
FAR_US = 2**53 - 1
# Changes one file by git's plumbing: the blob anew in both phases, whatever the plan says of it.
AGENT = """\
import json, os, pathlib, subprocess, sys

given = json.loads(pathlib.Path("/penstock/input.json").read_text())
applies = os.environ["PENSTOCK_PHASE"] == "apply"
task = given["input"] if applies else given
os.chdir(task["repository_path"])

def git(*args, text=None):
    done = subprocess.run(["git", *args], input=text, capture_output=True, text=True, check=True)
    return done.stdout.strip()

exec(task.get("first", ""))
text = task["text_applied"] if applies and "text_applied" in task else task["text"]
blob = git("hash-object", "-w", "--stdin", text=text)
files = [{"path": "greeting.txt", "mode": "100644", "blob": blob}]
effect = {"files": files, "message": "Greet"}
said = {"applied": True} if applies else {"plan": {"effect": effect}}
pathlib.Path("/penstock/output.json").write_text(json.dumps(said))
"""
MANIFEST: JsonObject = {
    "apiVersion": "penstock/v1",
    "kind": "Agent",
    "name": "greeter",
    "risk": "APPROVAL_REQUIRED",
    "phases": ["plan", "apply"],
    "command": ["python", "/penstock/agent/agent.py"],
    "workspaces": [{"input": "repository_path", "mode": "git", "ref": "target_branch"}],
    "limits": {"memory_mb": 256, "wall_s": 30, "log_kb": 64, "output_kb": 64},
    "input": {"type": "object", "required": ["text"]},
    "output": {
        "type": "object",
        "required": ["applied"],
        "properties": {"applied": {}, "commit": {}, "backup_path": {}, "rollback": {}},
    },
}


def from_json(text: str, _name: str) -> object:
    return json.loads(text)


class Greeting:
    """A world with a checked-out repository and an agent that changes one file of it."""

    def __init__(self, world: ExecutorWorld, manifest: AgentManifest, repository: Path) -> None:
        self.world = world
        self.repository = repository
        self._manifest = manifest

    def git(self, *args: str) -> str:
        command = ["git", "-C", str(self.repository), *args]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def task(self, phase: Phase, plan: PlannedChange | None, **given: object) -> TaskMessage:
        task = self.world.task(
            phase=phase,
            agent="greeter",
            agent_digest=manifest_digest(self._manifest),
            ends_by_us=FAR_US,
            input={"repository_path": str(self.repository), "text": "hello, world\n", **given},
            plan=plan,
        )
        return self.world.granted(task, expires_us=FAR_US) if plan is not None else task

    async def plans(self, **given: object) -> PlannedChange:
        result = await self.runs(self.task(Phase.PLAN, None, **given))
        assert result.error is None
        assert result.plan is not None
        return result.plan

    async def applies(self, plan: PlannedChange, **given: object) -> ReportResult:
        return await self.runs(self.task(Phase.APPLY, plan, **given))

    async def runs(self, task: TaskMessage) -> ReportResult:
        self.world.publisher.sent.clear()
        item = self.world.deliver(task)
        done = asyncio.create_task(item.done.wait())
        async with asyncio.timeout(WAIT_S):
            while not done.done():
                for claim in self.world.data_of(ClaimTask.TYPE):
                    nonce = ClaimTask.model_validate(claim).nonce
                    await self.world.answer_claim(task, nonce, granted=True)
                _ = await asyncio.wait([done], timeout=POLL_S)
        assert item.fates[-1] == "ack"
        (result,) = self.world.results()
        return result


@asynccontextmanager
async def greeting(tmp_path: Path) -> AsyncIterator[Greeting]:
    folder = tmp_path / "agents" / "greeter"
    folder.mkdir(parents=True)
    (folder / "agent.yaml").write_text(json.dumps(MANIFEST))
    (folder / "agent.py").write_text(AGENT)
    for path in (tmp_path, tmp_path / "agents", folder):
        path.chmod(0o755)
    repository = make_repository(tmp_path / "work" / "repository")
    manifest = read_bundle(folder, from_json).manifest
    scratch = Scratch(tmp_path / "clones")
    bundles = FolderBundles([tmp_path / "agents"], read=from_json)
    try:
        async with opened_bubblewrap(tmp_path / "scratch") as sandbox:
            git = (GitRepositories([tmp_path / "work"]), Temporaries(scratch))
            world = ExecutorWorld(
                manifest,
                real=Real(sandbox, bundles, SystemClock(), git),
                workspaces=Workspaces([tmp_path / "work"]),
            )
            async with world:
                yield Greeting(world, manifest, repository)
        assert list(scratch.root.iterdir()) == []
    finally:
        scratch.close()


class Temporaries:
    """Folders of the real kind."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def task_folder(self) -> Path:
        return self._scratch.task_folder()

    async def remove(self, folder: Path) -> None:
        await asyncio.to_thread(remove_tree, folder)


def make_repository(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "greeting.txt").write_text("hello\n")
    (path / "other.txt").write_text("other\n")
    hook = path / ".git" / "hooks" / "reference-transaction"
    for args in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-q", "-m", "First"),
    ):
        _ = subprocess.run(["git", "-C", str(path), *args], check=True)
    hook.write_text(f"#!/bin/sh\ntouch {path}/../executed\n")
    hook.chmod(0o755)
    return path


async def test_a_plan_is_approved_and_landed_and_taken_back(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        before = agent.git("rev-parse", "HEAD")
        plan = await agent.plans()
        assert (agent.git("rev-parse", "HEAD"), agent.git("status", "--porcelain")) == (before, "")
        result = await agent.applies(plan)
        assert result.error is None
        output = result.output
        assert output is not None

        assert "-hello\n+hello, world\n" in str(plan.effect["diff"])
        assert plan.base["commit"] == before
        assert agent.git("rev-parse", "HEAD") == output["commit"]
        assert agent.git("rev-parse", str(output["backup_path"])) == before
        assert agent.git("status", "--porcelain") == ""
        assert (agent.repository / "greeting.txt").read_text() == "hello, world\n"
        message = agent.git("log", "-1", "--format=%B")
        assert f"Penstock-Run: {RUN}" in message
        assert "Approved-By: ada" in message

        rollback = ["sh", "-c", str(output["rollback"])]
        # penstock: ignore[command-injection] -- the script is what is tested
        _ = subprocess.run(rollback, cwd=tmp_path, check=True, env={"PATH": os.environ["PATH"]})  # noqa: ASYNC221
        assert (agent.repository / "greeting.txt").read_text() == "hello\n"
        assert agent.git("rev-parse", "HEAD") == before

    assert not (tmp_path / "work" / "executed").exists()


async def test_another_branch_is_changed_beside_the_checked_out_one(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        agent.git("branch", "next")
        plan = await agent.plans(target_branch="next")
        result = await agent.applies(plan, target_branch="next")

        assert result.output is not None
        assert agent.git("rev-parse", "next") == result.output["commit"]
        assert agent.git("rev-parse", "main") == plan.base["commit"]
        assert (agent.repository / "greeting.txt").read_text() == "hello\n"


async def test_a_file_that_has_changed_since_is_named_before_the_claim(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        plan = await agent.plans()
        (agent.repository / "greeting.txt").write_text("hallo\n")
        agent.git("-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-qam", "Second")
        tip = agent.git("rev-parse", "HEAD")
        result = await agent.applies(plan)

        assert result.error is not None
        assert (result.error.code, result.nonce) == (Code.BASE_CHANGED, None)
        assert "greeting.txt" in result.error.message
        assert agent.git("rev-parse", "HEAD") == tip


async def test_a_moved_branch_that_left_the_file_alone_is_landed_on(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        plan = await agent.plans()
        (agent.repository / "other.txt").write_text("changed\n")
        agent.git("-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-qam", "Second")
        tip = agent.git("rev-parse", "HEAD")
        result = await agent.applies(plan)

        assert result.error is None
        assert agent.git("rev-parse", "HEAD^") == tip


async def test_a_dirty_file_is_a_conflict(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        plan = await agent.plans()
        (agent.repository / "greeting.txt").write_text("mine\n")
        result = await agent.applies(plan)

        assert result.error is not None
        assert "greeting.txt" in result.error.message
        assert "nothing was landed" in result.error.message
        assert (agent.repository / "greeting.txt").read_text() == "mine\n"
        assert agent.git("rev-parse", "HEAD") == plan.base["commit"]


async def test_an_apply_that_makes_something_else_is_thrown_away(tmp_path: Path) -> None:
    async with greeting(tmp_path) as agent:
        given = {"text_applied": "evil\n"}
        result = await agent.applies(await agent.plans(**given), **given)

        assert result.error is not None
        assert result.error.code == Code.EFFECT_DIFFERS
        assert (agent.repository / "greeting.txt").read_text() == "hello\n"


async def test_a_clone_is_hostile_and_changes_nothing(tmp_path: Path) -> None:
    first = (
        "pathlib.Path('hooks').mkdir(exist_ok=True);"
        "pathlib.Path('hooks/post-index-change').write_text('#!/bin/sh\\ntouch /tmp/executed\\n');"
        "git('config', 'core.fsmonitor', 'touch /tmp/executed');"
        "git('config', 'alias.cat-file', '!touch /tmp/executed');"
        "git('update-ref', 'refs/heads/evil', 'HEAD')"
    )
    async with greeting(tmp_path) as agent:
        result = await agent.applies(await agent.plans(first=first), first=first)

        assert result.error is None
        assert agent.git("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    assert not (tmp_path / "work" / "executed").exists()


async def test_a_clone_that_is_filled_up_ends_the_agent(tmp_path: Path) -> None:
    first = (
        "import time\n"
        "for number in range(100):\n"
        "    pathlib.Path(f'filler-{number}').write_bytes(os.urandom(2**20))\n"
        "time.sleep(60)"
    )
    async with greeting(tmp_path) as agent:
        result = await agent.runs(agent.task(Phase.PLAN, None, first=first))

    assert result.error is not None
    assert result.error.code == Code.OUTPUT_TOO_LARGE
    assert "its clone grew to" in result.error.message


async def test_a_clone_that_is_nested_beyond_every_path_is_removed(tmp_path: Path) -> None:
    first = (
        "for _ in range(3000):\n"
        "    os.mkdir('d' * 9)\n"
        "    os.chdir('d' * 9)\n"
        "os.chdir(task['repository_path'])"
    )
    async with greeting(tmp_path) as agent:
        _ = await agent.runs(agent.task(Phase.PLAN, None, first=first))  # whatever it says of it
        assert (await agent.plans()).effect["kind"] == "git"
