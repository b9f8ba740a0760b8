"""What is approved is what happens: the world changes between show, click and apply.

Everything is real: four services, the patcher in the sandbox, git repositories. The executor is
the test's own, so that a decided task can be made to wait in its queue while something changes.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.bundles import read_bundle
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.hands import (
    GREET_OTHERWISE,
    INPUTS,
    Hands,
    asked,
    commit,
    git,
    landings,
    look,
    make_repository,
    patch_node,
    patching_stack,
    queued,
    refused,
    tamper,
    until_event,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

SHOWN, DECIDED = "between show and click", "between decision and apply"
when_changed = pytest.mark.parametrize("when", [SHOWN, DECIDED])
Change = Callable[[], object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(place: Path) -> AsyncGenerator[tuple[RunningStack, Hands]]:
    """The stack and our executor, with a workflow that patches once and never again."""
    async with patching_stack(place) as (stack, hands):
        await stack.apply("patch", {"patch": patch_node()}, inputs=INPUTS)
        given: Json = {"target_branch": "side"}
        node = patch_node()
        node["with"] |= given
        await stack.apply("patch-side", {"patch": node}, inputs=INPUTS)
        yield stack, hands


@pytest.fixture
def stack(both: tuple[RunningStack, Hands]) -> RunningStack:
    return both[0]


async def approved(
    stack: RunningStack, hands: Hands, case: tuple[str, str], when: str, change: Change
) -> None:
    """Approve a plan that was shown, with a change of the world before or after the click."""
    run, approval = case
    if when == SHOWN:
        change()
        _ = await stack.respond(approval, "approve")
        return
    await hands.stop()
    _ = await stack.respond(approval, "approve")
    _ = await queued(stack, run)
    change()
    await hands.start()


async def assert_refused(
    stack: RunningStack, run: str, repository: Path, before: dict[str, bytes]
) -> tuple[str, str]:
    """The run has failed and nothing of the repository has changed; gives code and message."""
    answer = await refused(stack, run)
    assert look(repository) == before
    assert landings(repository) == 0
    return answer


# --- the repository -----------------------------------------------------------------------------


@when_changed
async def test_a_tip_moved_by_another_file_does_not_void_the_plan(
    stack: RunningStack, hands: Hands, repository: Path, when: str
) -> None:
    case = await asked(stack, repository)
    await approved(stack, hands, case, when, lambda: commit(repository, "other.md", "changed\n"))
    ended = await stack.ended(case[0])

    assert ended["run"]["status"] == "succeeded", ended
    assert git(repository, "log", "-1", "--format=%s", "main~1") == "Change other.md"
    assert git(repository, "diff", "--name-only", "main~1", "main") == "greeting.txt"
    assert (repository / "other.md").read_text() == "changed\n"
    assert (repository / "greeting.txt").read_text() == "hallo\n"
    assert git(repository, "status", "--porcelain") == ""


@when_changed
async def test_an_untouched_file_keeps_its_uncommitted_change(
    stack: RunningStack, hands: Hands, repository: Path, when: str
) -> None:
    case = await asked(stack, repository)
    await approved(
        stack, hands, case, when, lambda: (repository / "other.md").write_text("half done\n")
    )
    ended = await stack.ended(case[0])

    assert ended["run"]["status"] == "succeeded", ended
    assert (repository / "other.md").read_text() == "half done\n"
    assert git(repository, "status", "--porcelain") == "M other.md"
    assert git(repository, "show", "main:other.md") == "hello"


@when_changed
async def test_a_touched_file_voids_the_plan_and_is_named_with_both_blobs(
    stack: RunningStack, hands: Hands, repository: Path, when: str
) -> None:
    case = await asked(stack, repository)
    planned = git(repository, "rev-parse", "main:greeting.txt")
    seen: dict[str, bytes] = {}

    def change() -> None:
        commit(repository, "greeting.txt", "hello, all\n")
        seen.update(look(repository))

    await approved(stack, hands, case, when, change)
    code, message = await assert_refused(stack, case[0], repository, seen)

    found = git(repository, "rev-parse", "main:greeting.txt")
    assert code == "base_changed"
    assert f"greeting.txt was {planned[:12]} and is {found[:12]} now" in message


@when_changed
async def test_a_touched_file_with_uncommitted_work_is_not_overwritten(
    stack: RunningStack, hands: Hands, repository: Path, when: str
) -> None:
    case = await asked(stack, repository)
    seen: dict[str, bytes] = {}

    def change() -> None:
        (repository / "greeting.txt").write_text("half done\n")
        seen.update(look(repository))

    await approved(stack, hands, case, when, change)
    code, message = await assert_refused(stack, case[0], repository, seen)

    assert code == "workspace_refused"
    assert "greeting.txt is not as committed" in message
    assert "nothing was landed" in message


@pytest.mark.parametrize(
    ("workflow", "gone", "orders"),
    [
        ("patch", "refs/heads/main", ("branch", "-m", "main", "trunk")),
        ("patch-side", "refs/heads/side", ("branch", "-D", "side")),
    ],
    ids=["renamed", "deleted"],
)
@when_changed
async def test_a_branch_that_is_gone_voids_the_plan(
    stack: RunningStack,
    hands: Hands,
    repository: Path,
    when: str,
    workflow: str,
    gone: str,
    orders: tuple[str, ...],
) -> None:
    git(repository, "branch", "side")
    case = await asked(stack, repository, workflow)
    seen: dict[str, bytes] = {}

    def change() -> None:
        git(repository, *orders)
        seen.update(look(repository))

    await approved(stack, hands, case, when, change)
    code, message = await assert_refused(stack, case[0], repository, seen)

    assert code == "base_changed"
    assert f"{gone} is no longer there" in message


async def test_a_workflow_applied_anew_does_not_change_what_was_shown(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    assert hands.running
    await stack.apply("changing", {"patch": patch_node()}, inputs=INPUTS)
    run, approval = await asked(stack, repository, "changing")
    evil = patch_node()
    evil["with"]["operations"] = [GREET_OTHERWISE | {"replace": "evil"}]
    await stack.apply("changing", {"patch": evil}, inputs=INPUTS)
    _ = await stack.respond(approval, "approve")
    assert (await stack.ended(run))["run"]["status"] == "succeeded"
    assert (repository / "greeting.txt").read_text() == "hallo\n"


# --- the agent ----------------------------------------------------------------------------------


@contextmanager
def another_patcher(place: Path) -> Iterator[Callable[[], str]]:
    """Give what changes a file of the agent and gives its digest then; mended at the end."""
    file = place / "agents" / "patcher" / "penstock_agent_patcher" / "__init__.py"
    before = file.read_bytes()

    def change() -> str:
        file.write_bytes(before + b"# another\n")
        return read_bundle(file.parent.parent).digest

    try:
        yield change
    finally:
        file.write_bytes(before)


@when_changed
async def test_another_bundle_is_refused_and_the_agent_named(
    stack: RunningStack, hands: Hands, repository: Path, place: Path, when: str
) -> None:
    case = await asked(stack, repository)
    before = look(repository)
    pinned = read_bundle(place / "agents" / "patcher").digest
    with another_patcher(place) as change:
        await approved(stack, hands, case, when, change)
        code, message = await assert_refused(stack, case[0], repository, before)
        found = change()

    assert code == "agent_unavailable"
    assert f"patcher {pinned}" in message
    assert f"patcher as {found}" in message


async def test_another_bundle_under_its_own_digest_is_not_what_was_approved(
    stack: RunningStack, hands: Hands, repository: Path, place: Path
) -> None:
    run, approval = await asked(stack, repository)
    before = look(repository)
    await hands.stop()
    _ = await stack.respond(approval, "approve")
    with another_patcher(place) as change:
        found = change()
        await tamper(stack, run, lambda task: task.update(agent_digest=found))
        await hands.start()
        code, message = await assert_refused(stack, run, repository, before)

    assert code == "grant_refused"
    assert "agent was " in message


# --- the task on the bus ------------------------------------------------------------------------


def _other_input(task: Json) -> None:
    task["input"]["operations"][0]["replace"] = "evil"


def _other_repository(task: Json) -> None:
    task["input"]["repository_path"] += "/../other"


def _other_effect(task: Json) -> None:
    task["plan"]["effect"]["message"] = "Something else"


def _other_base(task: Json) -> None:
    task["plan"]["base"]["commit"] = "0" * 40


def _other_key(task: Json) -> None:
    task["idempotency_key"] = task["run_id"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_other_input, "input was "),
        (_other_repository, "input was "),
        (_other_effect, "effect was "),
        (_other_base, "base was "),
        (_other_key, "idempotency key is not the one"),
        (lambda task: task.pop("grant"), "carries no grant"),
        (lambda task: task.pop("plan"), "carries no plan"),
    ],
    ids=["input", "repository", "effect", "base", "key", "no-grant", "no-plan"],
)
async def test_a_task_changed_in_the_queue_is_refused_and_the_part_named(
    stack: RunningStack,
    hands: Hands,
    repository: Path,
    change: Callable[[Json], None],
    named: str,
) -> None:
    run, approval = await asked(stack, repository)
    before = look(repository)
    await hands.stop()
    _ = await stack.respond(approval, "approve")
    await tamper(stack, run, change)
    await hands.start()
    code, message = await assert_refused(stack, run, repository, before)

    assert code == "grant_refused"
    assert named in message


async def test_a_grant_that_ended_while_the_task_waited_allows_nothing(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    node = patch_node(approval={"grant_for": "1s"})
    await stack.apply("short", {"patch": node}, inputs=INPUTS)
    run, approval = await asked(stack, repository, "short")
    before = look(repository)
    await hands.stop()
    _ = await stack.respond(approval, "approve")
    passed = await until_event(stack, run, "gate_passed")
    ends_us = json.loads(passed["grant"]["payload"])["expires_us"]

    async def ended() -> bool:
        return time.time_ns() // 1000 >= ends_us

    await stack.until(ended)
    await hands.start()
    code, message = await assert_refused(stack, run, repository, before)

    assert code == "grant_refused"
    assert "the grant ended at" in message


async def test_two_gates_that_look_alike_are_told_apart_by_their_inputs(
    stack: RunningStack, hands: Hands, repository: Path, place: Path
) -> None:
    twin = make_repository(place / "work" / f"{repository.name}-twin")
    first, second = await asked(stack, repository), await asked(stack, twin)
    before = look(twin)
    shown = [await stack.get(f"/api/approvals/{approval}") for _, approval in (first, second)]
    diffs = [one["proposal"]["plan"]["effect"]["diff"] for one in shown]
    assert diffs[0] == diffs[1]
    assert shown[0]["title"] == shown[1]["title"]
    assert shown[0]["digest"] != shown[1]["digest"]
    # The click on one, meant for what the other showed, counts for neither.
    body = {"decision": "approve", "digest": shown[0]["digest"]}
    status, said = await stack.call("POST", f"/api/approvals/{second[1]}/respond", body)
    assert (status, said["code"]) == (409, "not_proposed"), said

    await hands.stop()
    for _, approval in (first, second):
        _ = await stack.respond(approval, "approve")
    granted: list[Json] = []
    await tamper(stack, first[0], lambda task: granted.append(task["grant"]))
    await tamper(stack, second[0], lambda task: task.update(grant=granted[0]))
    await hands.start()
    code, message = await assert_refused(stack, second[0], twin, before)
    ended = await stack.ended(first[0])

    assert code == "grant_refused"
    assert f"its run is {first[0]}, the task's {second[0]}" in message
    assert ended["run"]["status"] == "succeeded"
