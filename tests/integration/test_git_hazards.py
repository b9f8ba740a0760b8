"""What a repository may hold to harm whoever touches it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_runtime.ports.repositories import (
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import (
    File,
    add_commit,
    check_out,
    furnish_with_traps,
    git,
    make_repository,
    object_id,
    put_object,
    tree,
)
from tests.integration.git_world import FILES, NEW, GitWorld, run_script

PLAIN_GIT_TIMEOUT_S = 30
YOUNG_S = 2**31 - 2  # later than any index is written


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


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["update-ref", "refs/heads/other", "main"],
        ["diff", "HEAD"],
        ["commit", "--allow-empty", "-m", "x"],
        ["cat-file", "-e", "4b825dc642cb6eb9a060e54bf8d69288fbee4903"],
    ],
    ids=lambda command: command[0],
)
def test_the_traps_close_on_plain_git(world: GitWorld, command: list[str]):
    marker = world.folder / "MARKER"
    furnish_with_traps(world.git_dir, marker)
    (world.path / "a.txt").write_text("changed\n")
    settings = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_ALLOW_PROTOCOL": "ext"}
    settings |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a"}
    subprocess.run(
        ["git", *command],
        cwd=world.path,
        env={"PATH": os.environ["PATH"], "HOME": str(world.folder), **settings},
        capture_output=True,
        check=False,
        timeout=PLAIN_GIT_TIMEOUT_S,
    )
    assert marker.exists()


async def test_nothing_of_the_target_is_executed(world: GitWorld):
    marker = world.folder / "MARKER"
    furnish_with_traps(world.git_dir, marker)
    await world.propose({"a.txt": NEW, "src/b.py": None, "c": File(b"c\n", "100755")})
    await world.check()
    await world.land()
    assert not marker.exists()


async def test_a_missing_object_of_a_partial_clone_is_not_fetched(bare: GitWorld):
    marker = bare.folder / "MARKER"
    furnish_with_traps(bare.git_dir, marker)
    blob = object_id(FILES[b"a.txt"].content)
    git(bare.git_dir, "unpack-objects", "-q", stdin=_all_objects(bare.git_dir))
    (bare.git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(RepositoryRefused, match="git pack-objects"):
        await bare.open()
    assert not marker.exists()


def _all_objects(git_dir: Path) -> bytes:
    pack = next((git_dir / "objects" / "pack").glob("*.pack"), None)
    if pack is None:
        return git(git_dir, "pack-objects", "--stdout", "--all", "--revs")
    data = pack.read_bytes()
    for file in (git_dir / "objects" / "pack").iterdir():
        file.unlink()
    return data


async def test_replaced_objects_do_not_stand_in_for_what_is_approved(bare: GitWorld):
    blob = object_id(FILES[b"a.txt"].content)
    other = put_object(bare.git_dir, b"harmless\n")
    git(bare.git_dir, "update-ref", f"refs/replace/{blob}", other)
    await bare.propose()
    assert "-two\n+TWO" in str(bare.plan.effect["diff"])
    landed = await bare.land()
    assert tree(bare.git_dir, landed.commit)[b"a.txt"][1] == object_id(NEW.content)


async def test_a_replaced_commit_does_not_stand_in_for_the_tip(bare: GitWorld):
    await bare.propose()
    other = add_commit(bare.git_dir, {b"a.txt": File(b"other\n")}, message="Stand in")
    old = bare.opened.commit
    git(bare.git_dir, "update-ref", "refs/heads/main", old)
    git(bare.git_dir, "update-ref", f"refs/replace/{old}", other)
    await bare.check()
    assert (await bare.land()).previous == old


async def test_a_file_as_young_as_the_index_is_not_looked_at_again(world: GitWorld):
    more = {b".gitattributes": File(b"*.trap filter=trap\n"), b"x.trap": File(b"filtered\n")}
    add_commit(world.git_dir, {**more})
    check_out(world.git_dir, world.path)
    os.utime(world.path / "x.trap", (YOUNG_S, YOUNG_S))
    git(world.git_dir, "update-index", "--refresh", GIT_WORK_TREE=str(world.path))
    marker = world.folder / "MARKER"
    furnish_with_traps(world.git_dir, marker)
    await world.propose()
    landed = await world.land()
    assert not marker.exists()
    assert run_script(landed.rollback).returncode == 0
    assert not marker.exists()


def _outside(world: GitWorld) -> Path:
    outside = world.folder.with_name("outside")
    make_repository(outside, dict(FILES), bare=True)
    return outside


def _pointing_away(world: GitWorld) -> None:
    outside = _outside(world)
    shutil.rmtree(world.git_dir)
    world.git_dir.write_text(f"gitdir: {outside}\n")


def _linked_away(world: GitWorld) -> None:
    outside = _outside(world)
    shutil.rmtree(world.git_dir)
    world.git_dir.symlink_to(outside)


def _objects_away(world: GitWorld) -> None:
    outside = _outside(world)
    shutil.rmtree(world.git_dir / "objects")
    (world.git_dir / "objects").symlink_to(outside / "objects")


def _borrowing(world: GitWorld) -> None:
    outside = _outside(world)
    (world.git_dir / "objects" / "info" / "alternates").write_text(f"{outside}/objects\n")


def _shared_away(world: GitWorld) -> None:
    (world.git_dir / "commondir").write_text(f"{_outside(world)}\n")


def _worktree_away(world: GitWorld) -> None:
    with (world.git_dir / "config").open("a") as config:
        config.write("[core]\n\tworktree = /etc\n")


def _head_of_nothing(world: GitWorld) -> None:
    (world.git_dir / "HEAD").write_text("ref: ../../../etc/passwd\n")


def _no_repository(world: GitWorld) -> None:
    shutil.rmtree(world.git_dir)


@pytest.mark.parametrize(
    "twist",
    [
        _pointing_away,
        _linked_away,
        _objects_away,
        _borrowing,
        _shared_away,
        _worktree_away,
        _head_of_nothing,
        _no_repository,
    ],
)
async def test_no_part_of_a_repository_lies_elsewhere(
    world: GitWorld, twist: Callable[[GitWorld], None]
):
    twist(world)
    with pytest.raises(RepositoryRefused):
        await world.open()


async def test_a_worktree_outside_the_roots_is_not_written_to(bare: GitWorld):
    outside = bare.folder.with_name("elsewhere")
    git(bare.git_dir, "worktree", "add", "-q", str(outside), "main")
    await bare.propose()
    with pytest.raises(RepositoryRefused, match="outside the allowed roots"):
        await bare.land()
    assert (outside / "a.txt").read_bytes() == FILES[b"a.txt"].content


@pytest.mark.parametrize("ref", ["refs/tags/v1", "HEAD", "none", "main:a.txt", "-x", "a b", "\n"])
async def test_only_branches_are_opened(bare: GitWorld, ref: str):
    git(bare.git_dir, "update-ref", "refs/tags/v1", "main")
    with pytest.raises(RepositoryRefused):
        await bare.open(ref)


async def test_another_name_for_a_branch_is_refused(bare: GitWorld):
    git(bare.git_dir, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    with pytest.raises(RepositoryRefused, match="only another name"):
        await bare.open("alias")


async def test_a_link_on_the_way_is_not_followed(world: GitWorld):
    outside = world.folder.with_name("outside")
    outside.mkdir()
    (world.path / "new").symlink_to(outside)
    await world.propose({"new/file.txt": NEW})
    with pytest.raises(RepositoryRefused, match="new is not a folder"):
        await world.land()
    assert list(outside.iterdir()) == []


async def test_another_repository_inside_the_worktree_is_not_written_to(world: GitWorld):
    make_repository(world.path / "inner" / ".git", dict(FILES))
    await world.propose({"inner/file.txt": NEW})
    with pytest.raises(RepositoryRefused, match="a repository of its own"):
        await world.land()


async def test_a_device_in_the_place_of_a_file_is_not_opened(world: GitWorld):
    (world.path / "a.txt").unlink()
    os.mkfifo(world.path / "a.txt")
    await world.propose()
    with pytest.raises(RepositoryRefused, match=r"a\.txt is not as committed"):
        await world.land()


async def test_an_untracked_file_in_the_way_is_kept(world: GitWorld):
    (world.path / "new.txt").write_text("mine\n")
    await world.propose({"new.txt": NEW})
    with pytest.raises(RepositoryRefused, match=r"new\.txt is not as committed"):
        await world.land()
    assert (world.path / "new.txt").read_text() == "mine\n"


async def test_a_plan_that_touches_attributes_is_not_landed_in_a_worktree(world: GitWorld):
    await world.propose({".gitattributes": File(b"* filter=x\n")})
    with pytest.raises(RepositoryRefused, match="says how files are checked out"):
        await world.land()


async def test_a_submodule_is_a_repository_like_any(world: GitWorld, tmp_path: Path):
    modules = world.git_dir / "modules" / "sub"
    make_repository(modules, dict(FILES))
    with (modules / "config").open("a") as config:
        config.write("\tworktree = ../../../sub\n[core]\n\tworktree = ../../../sub\n")
    sub = world.path / "sub"
    sub.mkdir()
    (sub / ".git").write_text("gitdir: ../.git/modules/sub\n")
    git(modules, "read-tree", "-m", "-u", "HEAD", GIT_WORK_TREE=str(sub))
    world.path, world.git_dir = sub, modules
    await world.propose()
    await world.land()
    assert (sub / "a.txt").read_bytes() == NEW.content
