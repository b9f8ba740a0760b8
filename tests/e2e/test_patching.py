"""The patcher on a real stack: what was approved lands as a commit, once, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.bundles import default_roots
from penstock_testkit.stack import Json, RunningStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

AS_AUTHOR = ("-c", "user.name=T", "-c", "user.email=t@localhost")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(place: Path) -> AsyncGenerator[RunningStack]:
    """Four services, the patcher, and a workflow that asks before it patches."""
    (place / "work").mkdir()
    settings = {
        "PENSTOCK_SANDBOX": "bubblewrap",
        "PENSTOCK_WORKSPACE_ROOTS": str(place / "work"),
    }
    async with RunningStack.started(place / "state", **settings) as running:
        (root,) = default_roots()
        await running.register_bundle(root / "patcher")
        node = {
            "agent": "patcher",
            "with": {"repository_path": "{{inputs.repository}}", "operations": [GREET_OTHERWISE]},
            "timeout": {"running": "15s"},
            "retry": {"attempts": 3, "delay": "50ms"},
        }
        await running.apply("patch", {"patch": node}, inputs=INPUTS)
        yield running


INPUTS: Json = {"type": "object", "properties": {"repository": {"type": "string"}}}
GREET_OTHERWISE: Json = {
    "type": "find_replace",
    "find": "hello",
    "replace": "hallo",
    "files": ["*.txt"],
}


def git(repository: Path, *args: str) -> str:
    command = ["git", "-C", str(repository), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(place: Path, request: pytest.FixtureRequest) -> Path:
    """A checked-out repository with one file to change and one to leave alone."""
    path = place / "work" / str(request.node.name)
    path.mkdir()
    (path / "greeting.txt").write_text("hello\n")
    (path / "other.md").write_text("hello\n")
    git(path, "init", "-q", "-b", "main")
    git(path, "add", ".")
    git(path, *AS_AUTHOR, "commit", "-q", "-m", "First")
    return path


async def asked(stack: RunningStack, repository: Path) -> tuple[str, str, Json]:
    """Start a run and wait for its plan; gives run, approval and what is shown."""
    run = await stack.trigger("patch", repository=str(repository))
    approval = await stack.pending_approval(run)
    return run, approval, await stack.get(f"/api/approvals/{approval}")


async def until_node(stack: RunningStack, run: str, *statuses: str) -> Json:
    """Wait until the node has one of the statuses; gives it."""
    found: list[Json] = []

    async def there() -> bool:
        shown = await stack.get(f"/api/runs/{run}")
        found[:] = [shown["nodes"]["patch"]]
        return found[0]["status"] in statuses

    await stack.until(there)
    return found[0]


async def test_what_was_approved_is_committed_and_can_be_taken_back(
    stack: RunningStack, repository: Path
) -> None:
    before = git(repository, "rev-parse", "HEAD")
    run, approval, shown = await asked(stack, repository)
    diff = str(shown["proposal"]["plan"]["effect"]["diff"])
    assert "-hello\n+hallo\n" in diff
    assert git(repository, "rev-parse", "HEAD") == before
    _ = await stack.respond(approval, "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded", ended
    assert (repository / "greeting.txt").read_text() == "hallo\n"
    assert (repository / "other.md").read_text() == "hello\n"
    assert git(repository, "status", "--porcelain") == ""
    output = ended["nodes"]["patch"]["output"]
    assert output["commit"] == git(repository, "rev-parse", "HEAD")
    assert output["files_modified"] == ["greeting.txt"]
    assert f"Penstock-Run: {run}" in git(repository, "log", "-1", "--format=%B")

    _ = subprocess.run(["sh", "-c", str(output["rollback"])], check=True)  # noqa: ASYNC221
    assert git(repository, "rev-parse", "HEAD") == before
    assert (repository / "greeting.txt").read_text() == "hello\n"


async def test_what_was_rejected_changes_nothing(stack: RunningStack, repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    run, approval, _ = await asked(stack, repository)
    _ = await stack.respond(approval, "reject", "no")
    assert (await stack.ended(run))["run"]["status"] == "failed"

    assert git(repository, "rev-parse", "HEAD") == before


async def test_a_file_changed_after_the_plan_is_planned_and_asked_again(
    stack: RunningStack, repository: Path
) -> None:
    run, first, _ = await asked(stack, repository)
    (repository / "greeting.txt").write_text("hello, all\n")
    git(repository, *AS_AUTHOR, "commit", "-qam", "Second")
    _ = await stack.respond(first, "approve")

    async def asked_again() -> bool:
        return await stack.pending_approval(run) != first

    await stack.until(asked_again)
    assert (repository / "greeting.txt").read_text() == "hello, all\n"
    _ = await stack.respond(await stack.pending_approval(run), "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded", ended
    assert (repository / "greeting.txt").read_text() == "hallo, all\n"


async def test_a_death_after_the_claim_is_settled_by_who_has_looked(
    stack: RunningStack, repository: Path
) -> None:
    run, approval, _ = await asked(stack, repository)
    _ = await stack.respond(approval, "approve")
    _ = await until_node(stack, run, "running")
    os.kill(stack.pid("executor"), signal.SIGKILL)
    node = await until_node(stack, run, "unknown", "succeeded")

    landed = f"Penstock-Run: {run}" in git(repository, "log", "-1", "--format=%B")
    assert (repository / "greeting.txt").read_text() == ("hallo\n" if landed else "hello\n")
    if node["status"] == "unknown":
        body = {"happened": landed, "reason": "looked for the commit"}
        path = f"/api/runs/{run}/nodes/patch/settle"
        status, said = await stack.call("POST", path, body)
        assert status == 200, said
        if not landed:
            _ = await stack.respond(await stack.pending_approval(run), "approve")
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded", ended
    assert (repository / "greeting.txt").read_text() == "hallo\n"
    assert git(repository, "log", "--format=%B").count("Penstock-Run:") == 1
