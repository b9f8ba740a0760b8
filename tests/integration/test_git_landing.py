"""Landing on repositories where people are at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    BaseChanged,
    EffectDiffers,
    OutOfTime,
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import File, add_commit, git, tree
from tests.integration.git_world import FILES, KEY, NEW, GitWorld, run_script

WAIT_S = 30.0
EXECUTABLE = File(FILES[b"a.txt"].content, "100755")
BACKUP = f"refs/penstock/backup/{KEY}"


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    folder = tmp_path / "w"
    folder.mkdir()
    return GitWorld(folder)


@pytest.fixture
def bare(tmp_path: Path) -> GitWorld:
    folder = tmp_path / "b"
    folder.mkdir()
    return GitWorld(folder, bare=True)


def at_step(world: GitWorld, step: str, do: Callable[[], object]) -> None:
    """Have something happen right before a step of the landing, once."""
    left = [do]

    def on_step(name: str) -> None:
        if name == step and left:
            left.pop()()

    world.repositories = GitRepositories([world.folder], lock_wait_s=0.05, on_step=on_step)


async def test_the_commit_says_who_allowed_it(world: GitWorld):
    await world.propose(message="Change it\n\nFor a reason.")
    old = world.tip()
    landed = await world.land()
    said = git(world.git_dir, "log", "-1", "--format=%an <%ae> %cn%n%B", landed.commit).decode()
    assert said.splitlines()[:-1] == [
        "Penstock <penstock@localhost> Penstock",
        "Change it",
        "",
        "For a reason.",
        "",
        "Penstock-Run: r-1",
        f"Penstock-Key: {KEY}",
    ]
    assert (landed.previous, landed.backup_ref, landed.before) == (old, BACKUP, False)
    assert git(world.git_dir, "rev-parse", BACKUP).decode().strip() == old
    assert (world.path / "a.txt").read_bytes() == NEW.content
    git(world.git_dir, "fsck", "--strict")


async def test_git_finds_the_worktree_clean_without_reading_it_again(world: GitWorld):
    await world.propose()
    await world.land()
    plumbing = git(world.git_dir, "diff-files", GIT_WORK_TREE=str(world.path))
    status = git(world.git_dir, "status", "--porcelain", GIT_WORK_TREE=str(world.path))
    assert (plumbing, status) == (b"", b"")


async def test_a_tip_that_moved_without_touching_the_files_is_landed_on(bare: GitWorld):
    await bare.propose()
    other = add_commit(bare.git_dir, {b"other.txt": File(b"by others\n")})
    await bare.check()
    landed = await bare.land()
    assert landed.previous == other
    assert set(tree(bare.git_dir, landed.commit)) == {*FILES, b"other.txt"}


@pytest.mark.parametrize(
    "files, word",
    [
        ({b"a.txt": File(b"else\n")}, "a.txt was 814f4a422927 and is"),
        ({b"a.txt": EXECUTABLE}, "a.txt had mode 100644 and has 100755"),
        ({b"a.txt": None}, "a.txt is no longer there"),
        ({b"new.txt": File(b"mine\n")}, "new.txt was not there and is now"),
    ],
)  # fmt: skip
async def test_each_file_that_is_no_longer_as_planned_is_named(
    bare: GitWorld, files: dict[bytes, File | None], word: str
):
    await bare.propose({"a.txt": NEW, "new.txt": NEW})
    add_commit(bare.git_dir, files)
    before = bare.everything()
    with pytest.raises(BaseChanged) as checked:
        await bare.check()
    with pytest.raises(BaseChanged) as landed:
        await bare.land()
    assert [sentence.startswith(word) for sentence in checked.value.differences] == [True]
    assert checked.value.differences == landed.value.differences
    assert bare.everything() == before


async def test_what_comes_too_late_to_the_last_step_changes_nothing(world: GitWorld):
    await world.propose()
    before = world.everything()
    with pytest.raises(OutOfTime):
        await world.land(in_time=lambda: False)
    assert world.everything() == before
    assert (await world.land()).before is False


async def test_a_deleted_branch_is_named(bare: GitWorld):
    await bare.propose()
    git(bare.git_dir, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(BaseChanged, match="refs/heads/main is no longer there"):
        await bare.check()
    with pytest.raises(BaseChanged, match="refs/heads/main is no longer there"):
        await bare.land()


async def test_a_tip_that_moves_at_the_last_moment_is_landed_on(bare: GitWorld):
    await bare.propose()
    at_step(bare, "branch", lambda: add_commit(bare.git_dir, {b"x": File(b"x\n")}))
    landed = await bare.land()
    assert landed.commit == bare.tip()
    assert set(tree(bare.git_dir, landed.commit)) == {*FILES, b"x"}
    assert git(bare.git_dir, "rev-parse", BACKUP).decode().strip() == landed.previous


async def test_a_file_that_changes_at_the_last_moment_is_refused(bare: GitWorld):
    await bare.propose()
    at_step(bare, "branch", lambda: add_commit(bare.git_dir, {b"a.txt": File(b"x\n")}))
    with pytest.raises(BaseChanged, match=r"a\.txt was"):
        await bare.land()
    assert not (bare.git_dir / BACKUP).exists()


async def test_a_file_edited_while_it_is_landed_is_kept_and_named(world: GitWorld):
    await world.propose({"a.txt": NEW, "src/b.py": File(b"pass\n")})
    at_step(world, "files", lambda: (world.path / "a.txt").write_bytes(b"my work\n"))
    landed = await world.land()
    assert landed.commit == world.tip()
    assert "a.txt" in landed.unfinished[0]
    assert (world.path / "a.txt").read_bytes() == b"my work\n"
    assert (world.path / "src/b.py").read_bytes() == b"pass\n"


async def test_another_branch_checked_out_at_the_last_moment_is_noticed(world: GitWorld):
    await world.propose()
    git(world.git_dir, "branch", "side", "main")
    (world.git_dir / "index.lock").touch()
    world.repositories = GitRepositories([world.folder], lock_wait_s=WAIT_S)
    landing = asyncio.create_task(world.land())
    async with asyncio.timeout(WAIT_S):
        while not list(world.git_dir.glob("penstock-*")):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0)
    (world.git_dir / "HEAD").write_text("ref: refs/heads/side\n")
    (world.git_dir / "index.lock").unlink()
    with pytest.raises(RepositoryRefused, match="another branch is checked out"):
        await landing
    assert (world.path / "a.txt").read_bytes() == FILES[b"a.txt"].content


async def test_two_landings_at_once_come_one_after_the_other(world: GitWorld):
    world.repositories = GitRepositories([world.folder], lock_wait_s=WAIT_S)
    await world.propose({"a.txt": NEW})
    first = (world.opened, world.plan)
    await world.propose({"src/b.py": File(b"pass\n")})
    one, two = await asyncio.gather(
        world.repositories.land(world.path, first[0], first[1].effect, first[1].base, "key-1"),
        world.land("key-2"),
    )
    assert {one.previous, two.previous} & {one.commit, two.commit}
    found = git(world.git_dir, "status", "--porcelain", GIT_WORK_TREE=str(world.path))
    assert found == b""
    assert (world.path / "a.txt").read_bytes() == NEW.content
    assert (world.path / "src/b.py").read_bytes() == b"pass\n"


async def test_the_same_key_lands_once(world: GitWorld):
    await world.propose()
    landed = await world.land()
    before = world.everything()
    add_commit(world.git_dir, {b"later.txt": File(b"later\n")})
    again = await world.land()
    assert again == replace(landed, before=True)
    git(world.git_dir, "update-ref", "refs/heads/main", landed.commit)
    after = {name: found for name, found in world.everything().items() if "logs" not in name}
    assert after == {name: found for name, found in before.items() if "logs" not in name}


async def test_the_same_key_for_another_plan_is_refused(bare: GitWorld):
    await bare.propose()
    await bare.land()
    await bare.propose({"src/b.py": File(b"pass\n")})
    with pytest.raises(RepositoryRefused, match="another change has landed under the key"):
        await bare.land()


async def test_what_was_taken_back_may_land_again(world: GitWorld):
    await world.propose()
    first = await world.land()
    assert run_script(first.rollback).returncode == 0
    assert (world.path / "a.txt").read_bytes() == FILES[b"a.txt"].content
    again = await world.land()
    assert not again.before
    assert (world.path / "a.txt").read_bytes() == NEW.content


async def test_nothing_is_taken_back_once_the_branch_has_moved_on(world: GitWorld):
    await world.propose()
    landed = await world.land()
    add_commit(world.git_dir, {b"later.txt": File(b"later\n")})
    before = world.everything()
    done = run_script(landed.rollback)
    assert (done.returncode, b"is no longer at" in done.stderr) == (1, True)
    assert world.everything() == before


async def test_nothing_is_taken_back_over_somebodys_work(world: GitWorld):
    await world.propose()
    landed = await world.land()
    (world.path / "a.txt").write_text("my work\n")
    before = world.everything()
    done = run_script(landed.rollback)
    assert (done.returncode, b"nothing was taken back" in done.stderr) == (1, True)
    assert world.everything() == before


async def test_what_apply_did_not_make_is_not_landed(world: GitWorld):
    await world.propose()
    await world.open()  # a fresh clone, into which nothing was written
    before = world.everything()
    with pytest.raises(EffectDiffers, match=r"blob [0-9a-f]{12} is not in the clone"):
        await world.land()
    assert world.everything() == before


async def test_a_clone_of_another_branch_is_not_landed_from(bare: GitWorld):
    git(bare.git_dir, "branch", "side", "main")
    await bare.propose()
    await bare.open("side")
    bare.write({"a.txt": NEW})
    with pytest.raises(EffectDiffers, match="refs/heads/side"):
        await bare.land()


@pytest.mark.parametrize(
    "config, attributes, expected",
    [
        ("autocrlf = true", "", b"one\r\nTWO\r\n"),
        ("autocrlf = true", "*.txt -text", b"one\nTWO\n"),
        ("autocrlf = input", "", b"one\nTWO\n"),
        ("eol = crlf", "*.txt text", b"one\r\nTWO\r\n"),
        ("eol = crlf", "*.txt text=auto", b"one\r\nTWO\r\n"),
        ("eol = crlf", "", b"one\nTWO\n"),
        ("eol = lf", "*.txt text=auto eol=crlf", b"one\r\nTWO\r\n"),
        ("autocrlf = true", "*.txt text eol=lf", b"one\nTWO\n"),
        ("eol = crlf", "*.txt crlf", b"one\r\nTWO\r\n"),
    ],
)
async def test_line_ends_are_those_git_would_write(
    world: GitWorld, config: str, attributes: str, expected: bytes
):
    with (world.git_dir / "config").open("a") as file:
        file.write(f"[core]\n\t{config}\n")
    (world.git_dir / "info" / "attributes").write_text(attributes)
    (world.path / "a.txt").unlink()
    git(world.git_dir, "checkout-index", "-f", "-u", "a.txt", GIT_WORK_TREE=str(world.path))
    old = (world.path / "a.txt").read_bytes()
    await world.propose()
    landed = await world.land()
    assert (world.path / "a.txt").read_bytes() == expected
    assert git(world.git_dir, "status", "--porcelain", GIT_WORK_TREE=str(world.path)) == b""
    assert run_script(landed.rollback).returncode == 0
    assert (world.path / "a.txt").read_bytes() == old
