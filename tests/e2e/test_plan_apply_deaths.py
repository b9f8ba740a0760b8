"""Executors that die or stand still with an approved plan in hand: it lands once, or a person says.

The windows are held open by real means: a file that git waits for, a lock of the index, a bus
that stands still. What has happened is read from the repository, never from the executor.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_contracts.ids import idempotency_key
from penstock_contracts.subjects import Stream
from penstock_runtime.ports.bus import Published
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.hands import (
    INPUTS,
    Hands,
    asked,
    asked_again,
    claims,
    commit,
    git,
    landings,
    look,
    of_topic,
    patch_node,
    patching_stack,
    queued,
    refused,
    settled,
    until_event,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(place: Path) -> AsyncGenerator[tuple[RunningStack, Hands]]:
    """The stack and our executor; what is claimed and says nothing is unknown after seconds."""
    async with patching_stack(place) as (stack, hands):
        timeout = {"running": "8s"}
        await stack.apply("patch", {"patch": patch_node(timeout=timeout)}, inputs=INPUTS)
        again = patch_node(timeout=timeout, retry={"attempts": 2, "delay": "50ms"})
        await stack.apply("again", {"patch": again}, inputs=INPUTS)
        side = patch_node(timeout=timeout)
        side["with"]["target_branch"] = "side"
        await stack.apply("side", {"patch": side}, inputs=INPUTS)
        yield stack, hands


@pytest.fixture
def stack(both: tuple[RunningStack, Hands]) -> RunningStack:
    return both[0]


def git_works_on(repository: Path, command: str) -> bool:
    """Tell whether a git command is at work on a repository just now."""
    wanted = str(repository).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if command.encode() in words and wanted in environ:
            return True
    return False


def landing_begun(repository: Path) -> bool:
    return any(repository.glob(".git/penstock-*/lock"))


def left_over(repository: Path) -> list[Path]:
    return [*repository.glob(".git/**/*.lock"), *repository.glob(".git/penstock-*")]


async def landing(stack: RunningStack, repository: Path) -> None:
    """Wait until a landing waits for the index, which the test has locked."""

    async def waits() -> bool:
        return landing_begun(repository)

    await stack.until(waits)


async def unknown(stack: RunningStack, run: str) -> Json:
    """Wait until nobody knows the outcome; the run waits for a person."""
    _ = await until_event(stack, run, "outcome_unknown")
    shown = await stack.get(f"/api/runs/{run}")
    assert shown["nodes"]["patch"]["status"] == "unknown"
    assert shown["run"]["status"] == "running"
    return shown


async def settle(stack: RunningStack, run: str, *, happened: bool) -> None:
    """Say whether it happened, as an operator at the terminal."""
    word = "--happened" if happened else "--did-not-happen"
    await settled(stack, run, "patch", word, "-r", "looked for the commit")


async def test_a_death_before_the_claim_costs_nothing(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    run, approval = await asked(stack, repository)
    waits = repository / ".git" / "packed-refs"
    os.mkfifo(waits)  # whoever reads the branches waits for ever
    _ = await stack.respond(approval, "approve")

    async def looks() -> bool:
        return git_works_on(repository, "for-each-ref")

    await stack.until(looks)
    assert claims(stack, run) == []
    await hands.kill()
    os.close(os.open(waits, os.O_WRONLY | os.O_NONBLOCK))  # lets go the git that still waits
    waits.unlink()
    assert landings(repository) == 0
    await hands.start()
    ended = await stack.ended(run)

    assert ended["run"]["status"] == "succeeded", ended
    assert of_topic(stack, run, "outcome_unknown") == []
    assert landings(repository) == 1


@pytest.mark.parametrize("workflow", ["patch", "again"], ids=["one-attempt", "two-attempts"])
async def test_a_death_between_claim_and_landing_is_for_a_person_to_settle(
    stack: RunningStack, hands: Hands, repository: Path, workflow: str
) -> None:
    run, approval = await asked(stack, repository, workflow)
    lock = repository / ".git" / "index.lock"
    lock.touch(exist_ok=False)
    _ = await stack.respond(approval, "approve")
    await landing(stack, repository)
    await hands.kill()
    lock.unlink()
    await hands.start()  # it is given the task again, and must not begin it
    _ = await unknown(stack, run)
    assert landings(repository) == 0
    assert git(repository, "status", "--porcelain") == ""
    assert len(claims(stack, run)) == 1

    await settle(stack, run, happened=False)
    if workflow == "again":
        second = await asked_again(stack, run, approval)
        assert landings(repository) == 0
        _ = await stack.respond(second, "approve")
    ended = await stack.ended(run)

    if workflow == "again":
        assert ended["run"]["status"] == "succeeded", ended
        assert landings(repository) == 1
    else:
        (failed,) = of_topic(stack, run, "node_failed")
        assert failed["error"]["code"] == "did_not_happen"
        assert "looked for the commit" in failed["error"]["message"]
        assert landings(repository) == 0


async def test_a_death_while_git_waits_to_move_the_branch_leaves_nothing_that_goes_on(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    before = git(repository, "rev-parse", "main")
    run, approval = await asked(stack, repository, "again")
    git(repository, "config", "core.filesRefLockTimeout", "60000")  # ms; it is not listened to
    lock = repository / ".git" / "refs" / "heads" / "main.lock"
    lock.touch(exist_ok=False)
    _ = await stack.respond(approval, "approve")

    async def moves() -> bool:
        return git_works_on(repository, "update-ref")

    await stack.until(moves)
    await hands.kill()

    async def is_over() -> bool:
        return not git_works_on(repository, "update-ref")

    await stack.until(is_over, 5)
    lock.unlink()
    assert git(repository, "rev-parse", "main") == before
    await hands.start()
    _ = await unknown(stack, run)
    assert git(repository, "rev-parse", "main") == before

    await settle(stack, run, happened=False)
    _ = await stack.respond(await asked_again(stack, run, approval), "approve")
    ended = await stack.ended(run)
    assert ended["run"]["status"] == "succeeded", ended
    assert landings(repository) == 1
    assert git(repository, "status", "--porcelain") == ""
    assert left_over(repository) == []


async def test_a_death_after_the_branch_moved_is_found_out_and_settled(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    before = git(repository, "rev-parse", "main")
    run, approval = await asked(stack, repository, "again")
    lock = repository / ".git" / "index.lock"
    lock.touch(exist_ok=False)
    _ = await stack.respond(approval, "approve")
    await landing(stack, repository)
    bus = stack.pid("nats")
    os.kill(bus, signal.SIGSTOP)  # no result gets through from here
    lock.unlink()

    async def moved() -> bool:
        return git(repository, "rev-parse", "main") != before

    await stack.until(moved)
    await hands.kill()
    os.kill(bus, signal.SIGKILL)  # with it goes whatever it had not read yet
    await hands.start()
    _ = await unknown(stack, run)
    assert landings(repository) == 1

    await settle(stack, run, happened=True)
    ended = await stack.ended(run)
    assert ended["run"]["status"] == "succeeded", ended
    assert landings(repository) == 1
    kept = f"refs/penstock/backup/{idempotency_key(run, 'patch')}"
    assert git(repository, "rev-parse", kept) == before
    assert git(repository, "show", "main:greeting.txt") == "hallo"
    assert len(claims(stack, run)) == 1


async def test_what_stood_still_past_its_time_does_not_land_after_a_person_has_settled_it(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    run, approval = await asked(stack, repository)
    lock = repository / ".git" / "index.lock"
    lock.touch(exist_ok=False)
    before = look(repository)
    _ = await stack.respond(approval, "approve")
    await landing(stack, repository)
    hands.pause()
    _ = await unknown(stack, run)
    await settle(stack, run, happened=False)
    (failed,) = of_topic(stack, run, "node_failed")
    assert failed["error"]["code"] == "did_not_happen"
    lock.unlink()
    hands.go_on()

    async def gave_up() -> bool:
        return not left_over(repository)

    async def said_why() -> bool:  # its patience with the lock may be over as well
        return hands.said("the attempt's time was over") or hands.said(" is locked")

    await stack.until(gave_up)
    await stack.until(said_why)
    del before[".git/index.lock"]
    assert look(repository) == before


@pytest.mark.parametrize(("file", "lands"), [("other.md", True), ("greeting.txt", False)])
async def test_a_branch_that_another_git_moves_at_that_moment(
    stack: RunningStack, hands: Hands, repository: Path, file: str, lands: bool
) -> None:
    assert hands.running
    git(repository, "branch", "side")
    git(repository, "checkout", "-q", "-b", "next")
    commit(repository, file, "hello from another\n")
    git(repository, "checkout", "-q", "main")
    run, approval = await asked(stack, repository, "side")
    branch = repository / ".git" / "refs" / "heads" / "side"
    lock = branch.with_suffix(".lock")
    lock.write_text(git(repository, "rev-parse", "next") + "\n")  # as git itself does it
    _ = await stack.respond(approval, "approve")

    async def moves() -> bool:
        return git_works_on(repository, "update-ref")

    await stack.until(moves)
    lock.replace(branch)
    ended = await stack.ended(run)

    if lands:
        assert ended["run"]["status"] == "succeeded", ended
        assert git(repository, "rev-parse", "side~1") == git(repository, "rev-parse", "next")
        assert git(repository, "diff", "--name-only", "next", "side") == "greeting.txt"
    else:
        (failed,) = of_topic(stack, run, "node_failed")
        assert failed["error"]["code"] == "base_changed"
        assert "greeting.txt was " in failed["error"]["message"]
        assert git(repository, "rev-parse", "side") == git(repository, "rev-parse", "next")
        assert landings(repository) == 0
    assert left_over(repository) == []


async def test_a_branch_that_another_git_has_locked_stays_where_it_is(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    assert hands.running
    run, approval = await asked(stack, repository)
    lock = repository / ".git" / "refs" / "heads" / "main.lock"
    lock.touch(exist_ok=False)
    before = look(repository)
    _ = await stack.respond(approval, "approve")
    code, message = await refused(stack, run)

    assert code == "workspace_refused"
    assert "main.lock" in message
    assert "nothing was landed" in message
    assert look(repository) == before


async def test_of_two_who_are_given_the_task_one_does_it(
    stack: RunningStack, hands: Hands, repository: Path
) -> None:
    second = Hands(stack, "hands-2")
    run, approval = await asked(stack, repository)
    lock = repository / ".git" / "index.lock"
    lock.touch(exist_ok=False)
    _ = await stack.respond(approval, "approve")
    await landing(stack, repository)
    hands.pause()  # with its claim, before anything has happened
    lock.unlink()
    await second.start()
    try:
        # The queue gives the task to another when it hears nothing; and here is a copy as well.
        message = await queued(stack, run)
        copy = message.subject.replace(".patcher.", ".another.")  # one message a subject
        assert await stack.publish(Stream.TASKS, copy, message.payload) is Published.DONE

        async def was_refused() -> bool:
            return second.said("claim refused")

        await stack.until(was_refused)
        assert landings(repository) == 0
        hands.go_on()
        ended = await stack.ended(run)
    finally:
        await second.stop()

    assert ended["run"]["status"] == "succeeded", ended
    assert landings(repository) == 1
    assert len(claims(stack, run)) == 1
