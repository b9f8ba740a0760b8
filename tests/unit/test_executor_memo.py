"""Memoised agents: what makes two tasks equal, and what such an agent is told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_contracts.agent.v1 import AgentLimits, AgentManifest, Workspace
from penstock_contracts.task.v1 import TaskMessage
from penstock_executor import memo
from penstock_executor.workspaces import Workspaces
from penstock_runtime.ports.sandbox import SandboxSpec
from penstock_testkit.fakes.clock import START_US
from penstock_testkit.fakes.executor import PROBE, ExecutorWorld

READER = PROBE.model_copy(update={"memoise": True, "workspaces": (Workspace(input="path"),)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repo" / "pkg").mkdir(parents=True)
    (tmp_path / "repo" / "pkg" / "code.py").write_text("one")
    (tmp_path / "repo" / "link").symlink_to("pkg/code.py")
    return tmp_path


async def spec_of(
    root: Path,
    manifest: AgentManifest = READER,
    *,
    workspaces: Workspaces | None = None,
    memoises: bool = True,
    **changes: Any,
) -> SandboxSpec:
    asked = changes.pop("input", {"path": str(root / "repo")})
    shown = workspaces or Workspaces([root])
    async with ExecutorWorld(manifest, workspaces=shown, memoises=memoises) as world:
        task: TaskMessage = world.task(input=asked, **changes)
        assert (await world.result(task)).error is None
    (spec,) = world.sandbox.ran
    return spec


async def memo_of(root: Path, manifest: AgentManifest = READER, **changes: Any) -> str:
    found = (await spec_of(root, manifest, **changes)).memo
    assert found is not None
    assert found.startswith("sha256:")
    return found


# --- equal tasks --------------------------------------------------------------------------------


async def test_another_run_and_time_make_no_difference(root: Path) -> None:
    first = await memo_of(root)
    other = "00000000-0000-4000-8000-000000000000"
    told: dict[str, Any] = {
        "run_id": other,
        "node": "again",
        "workflow": "other",
        "idempotency_key": other,
    }

    assert await memo_of(root, **told) == first
    assert await memo_of(root, ends_by_us=START_US + 30_000_000, running_s=1.5) == first


async def test_the_same_contents_elsewhere_are_equal(root: Path) -> None:
    before = await memo_of(root)
    (root / "repo").rename(root / "moved")

    assert await memo_of(root, input={"path": str(root / "moved")}) == before


async def test_times_of_files_do_not_count(root: Path) -> None:
    before = await memo_of(root)
    os.utime(root / "repo" / "pkg" / "code.py", (1, 1))

    assert await memo_of(root) == before


async def test_the_order_of_fields_does_not_count(root: Path) -> None:
    path = str(root / "repo")

    assert await memo_of(root, input={"path": path, "a": 1}) == await memo_of(
        root, input={"a": 1, "path": path}
    )


def _write(repo: Path) -> None:
    (repo / "pkg" / "code.py").write_text("two")


def _add(repo: Path) -> None:
    (repo / "pkg" / "new").write_text("")


def _add_empty_folder(repo: Path) -> None:
    (repo / "empty").mkdir()


def _rename(repo: Path) -> None:
    (repo / "pkg" / "code.py").rename(repo / "pkg" / "other.py")


def _move_up(repo: Path) -> None:
    (repo / "pkg" / "code.py").rename(repo / "code.py")


def _mode(repo: Path) -> None:
    (repo / "pkg" / "code.py").chmod(0o755)


def _mode_of_all(repo: Path) -> None:
    repo.chmod(0o700)


def _link(repo: Path) -> None:
    (repo / "link").unlink()
    (repo / "link").symlink_to("pkg")


def _file_for_link(repo: Path) -> None:
    (repo / "link").unlink()
    (repo / "link").write_text("pkg/code.py")


def _cache(repo: Path) -> None:
    (repo / "__pycache__").mkdir()


@pytest.mark.parametrize(
    "change",
    [
        _write, _add, _add_empty_folder, _rename, _move_up, _mode, _mode_of_all, _link,
        _file_for_link, _cache,
    ],
)  # fmt: skip
async def test_every_change_of_a_folder_makes_another_task(
    root: Path, change: Callable[[Path], None]
) -> None:
    before = await memo_of(root)

    change(root / "repo")

    assert await memo_of(root) != before


async def test_agent_image_limits_and_input_make_another_task(root: Path) -> None:
    path = str(root / "repo")
    found = [
        await memo_of(root),
        await memo_of(root, READER.model_copy(update={"version": "2"})),
        await memo_of(root, READER.model_copy(update={"bundle": f"sha256:{'1' * 64}"})),
        await memo_of(root, READER.model_copy(update={"limits": AgentLimits(memory_mb=64)})),
        await memo_of(root, input={"path": path, "depth": 1}),
        await memo_of(root, input={"path": path, "depth": "1"}),
        await memo_of(root, input={"path": path, "depth": None}),
    ]

    assert len(set(found)) == len(found)


async def test_what_is_covered_does_not_count(root: Path) -> None:
    hidden, empty = root / "repo" / "state", root / "empty"
    hidden.mkdir()
    empty.mkdir()
    workspaces = Workspaces([root], hidden=[hidden], empty=empty)
    before = await memo_of(root, workspaces=workspaces)

    (hidden / "secret").write_text("x")

    assert await memo_of(root, workspaces=workspaces) == before
    (root / "repo" / "statement").write_text("x")
    assert await memo_of(root, workspaces=workspaces) != before


# --- tasks that are run afresh ------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"attempt": 2}, {"feedback": "look again"}])
async def test_a_further_attempt_is_run_afresh(root: Path, changes: dict[str, Any]) -> None:
    assert (await spec_of(root, **changes)).memo is None


async def test_only_who_asks_for_it_is_memoised(root: Path) -> None:
    assert (await spec_of(root, READER.model_copy(update={"memoise": False}))).memo is None


async def test_nothing_is_worked_out_where_nothing_is_kept(root: Path) -> None:
    assert (await spec_of(root, memoises=False)).memo is None


async def test_a_number_that_readers_see_differently_is_not_memoised(root: Path) -> None:
    asked = {"path": str(root / "repo"), "number": 2**60}

    assert (await spec_of(root, input=asked)).memo is None


async def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "repo" / "pipe")

    assert (await spec_of(root)).memo is None


async def test_a_folder_over_the_bounds_is_not_memoised(root: Path) -> None:
    with (root / "repo" / "large").open("wb") as file:
        _ = file.truncate(memo.MAX_BYTES + 1)  # sparse, and never read

    assert (await spec_of(root)).memo is None


async def test_a_folder_of_too_many_files_is_not_memoised(root: Path) -> None:
    folder = root / "repo" / "many"
    folder.mkdir()
    for number in range(memo.MAX_ENTRIES):
        os.link(root / "repo" / "pkg" / "code.py", folder / str(number))

    assert (await spec_of(root)).memo is None


# --- what the agent is told ---------------------------------------------------------------------


async def test_a_memoised_agent_is_told_nothing_of_the_run(root: Path) -> None:
    for memoises in (True, False):  # the same everywhere, so that no adapter hides a dependence
        assert (await spec_of(root, memoises=memoises)).env == {"PENSTOCK_PHASE": "run"}


async def test_feedback_is_told_all_the_same(root: Path) -> None:
    assert (await spec_of(root, feedback="look again")).env == {
        "PENSTOCK_PHASE": "run",
        "PENSTOCK_FEEDBACK": "look again",
    }


async def test_another_agent_is_told_as_before() -> None:
    async with ExecutorWorld() as world:
        _ = await world.result()

    assert set(world.sandbox.ran[0].env) == {
        "PENSTOCK_TASK_ID", "PENSTOCK_RUN_ID", "PENSTOCK_WORKFLOW", "PENSTOCK_NODE",
        "PENSTOCK_ATTEMPT", "PENSTOCK_PHASE", "PENSTOCK_IDEMPOTENCY_KEY", "TRACEPARENT",
    }  # fmt: skip
