"""Worktrees that are not simply checked out."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import (
    File,
    add_commit,
    check_out,
    git,
    snapshot,
)
from tests.integration.git_world import NEW, GitWorld

MEMORY = "/dev/shm"  # noqa: S108 - another file system than that of the tests
TEN_THOUSAND_S = 15.0  # an idle machine needs one: this finds what is not linear


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


async def test_a_worktree_on_another_file_system_is_landed_in(bare: GitWorld):
    if not os.access(MEMORY, os.W_OK) or os.lstat(MEMORY).st_dev == os.lstat(bare.folder).st_dev:
        pytest.skip("no second file system here")
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        worktree = Path(name) / "tree"
        git(bare.git_dir, "worktree", "add", "-q", str(worktree), "main")
        bare.repositories = GitRepositories([bare.folder, Path(name)])
        await bare.propose({"a.txt": NEW, "x/y": File(b"a.txt", "120000"), "src/b.py": None})
        landed = await bare.land()
        assert landed.unfinished == ()
        found = {name for name in snapshot(worktree) if not name.startswith(".git")}
        assert found == {"a.txt", "x", "x/y", "untouched.bin"}
        assert (worktree / "a.txt").read_bytes() == NEW.content
        assert (worktree / "x/y").readlink() == Path("a.txt")


async def test_a_sparse_index_is_refused(world: GitWorld):
    git(world.git_dir, "config", "index.sparse", "true")
    command = ["sparse-checkout", "set", "--cone", "--sparse-index", "none"]
    git(world.git_dir, *command, GIT_WORK_TREE=str(world.path))
    await world.propose()
    with pytest.raises(RepositoryRefused, match="the index is sparse"):
        await world.land()


async def test_a_file_outside_a_sparse_checkout_is_not_made_up(world: GitWorld):
    command = ["sparse-checkout", "set", "--cone", "none"]
    git(world.git_dir, *command, GIT_WORK_TREE=str(world.path))
    await world.propose({"src/b.py": File(b"pass\n")})
    with pytest.raises(RepositoryRefused, match=r"src/b\.py is marked skip-worktree"):
        await world.land()


@pytest.mark.parametrize("locked", [False, True])
async def test_a_worktree_that_is_gone_counts_only_if_it_is_locked(bare: GitWorld, locked: bool):
    worktree = bare.folder / "tree"
    git(bare.git_dir, "worktree", "add", "-q", str(worktree), "main")
    shutil.rmtree(worktree)
    if locked:
        (bare.git_dir / "worktrees" / "tree" / "locked").touch()
    await bare.propose()
    if locked:
        with pytest.raises(RepositoryRefused, match="locked and not at hand"):
            await bare.land()
    else:
        assert (await bare.land()).commit == bare.tip()


async def test_links_are_not_made_where_git_makes_none(world: GitWorld):
    git(world.git_dir, "config", "core.symlinks", "false")
    await world.propose({"link": File(b"a.txt", "120000")})
    with pytest.raises(RepositoryRefused, match=r"core\.symlinks is off"):
        await world.land()


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"nul\0"])
async def test_a_link_to_nowhere_possible_is_refused(bare: GitWorld, content: bytes):
    with pytest.raises(RepositoryRefused, match="symbolic link to nowhere"):
        await bare.propose({"link": File(content, "120000")})


@pytest.mark.parametrize("key", ["", "../x", "a/b", "x" * 80, "-x", "a b"])
async def test_a_key_is_part_of_a_name(bare: GitWorld, key: str):
    await bare.propose()
    with pytest.raises(RepositoryRefused, match="key"):
        await bare.land(key)


async def test_a_trailer_is_one_line(bare: GitWorld):
    await bare.propose()
    with pytest.raises(RepositoryRefused, match="one line"):
        await bare.repositories.land(
            bare.path, bare.opened, bare.plan.effect, bare.plan.base, "key", {"X": "a\nB: c"}
        )


async def test_ten_thousand_files_are_opened_and_landed_on(world: GitWorld):
    names = [b"p%d/q%d/f%d.py" % (number % 20, number % 200, number) for number in range(10_000)]
    files: dict[bytes, File | None] = {name: File(name * 50) for name in names}
    add_commit(world.git_dir, files)
    check_out(world.git_dir, world.path)
    started = time.monotonic()
    await world.propose({"p1/q1/f1.py": NEW})
    landed = await world.land()
    assert landed.unfinished == ()
    assert time.monotonic() - started < TEN_THOUSAND_S
    assert git(world.git_dir, "status", "--porcelain", GIT_WORK_TREE=str(world.path)) == b""
