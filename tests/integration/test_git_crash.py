"""An executor killed while it lands: the state explains itself, and the same key finishes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_runtime.ports.repositories import Landed, RepositoryRefused
from penstock_testkit.builders.repositories import File, git
from tests.integration.git_world import FILES, KEY, NEW, GitWorld, run_script

KILLED_WITHIN_S = 60
BACKUP = f"refs/penstock/backup/{KEY}"
WANTED: dict[str, File | None] = {"a.txt": NEW, "src/b.py": None, "new/c.txt": File(b"c\n")}

# Lands as an executor does, and dies by SIGKILL right before the given step.
DYING = """
import asyncio, json, os, signal, sys
from pathlib import Path
from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import Opened

given = json.loads(sys.stdin.read())

def on_step(name):
    if name == given["step"]:
        os.kill(os.getpid(), signal.SIGKILL)

opened = Opened(Path(given["clone"]), given["ref"], given["commit"])
repositories = GitRepositories(on_step=on_step)
asyncio.run(repositories.land(
    Path(given["path"]), opened, given["effect"], given["base"], given["key"]))
"""


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    folder = tmp_path / "w"
    folder.mkdir()
    return GitWorld(folder)


async def die(world: GitWorld, step: str) -> None:
    await world.propose(WANTED)
    given = {
        "step": step,
        "path": str(world.path),
        "clone": str(world.opened.clone),
        "ref": world.opened.ref,
        "commit": world.opened.commit,
        "effect": world.plan.effect,
        "base": world.plan.base,
        "key": KEY,
    }
    assert run_dying(json.dumps(given)) == -signal.SIGKILL


def run_dying(given: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        input=given.encode(),
        timeout=KILLED_WITHIN_S,
        check=False,
    )
    return done.returncode


async def land_again(world: GitWorld) -> Landed:
    await world.open()
    world.write(WANTED)
    return await world.land()


def check_landed(world: GitWorld) -> None:
    assert (world.path / "a.txt").read_bytes() == NEW.content
    assert not (world.path / "src").exists()
    assert (world.path / "new" / "c.txt").read_bytes() == b"c\n"
    assert git(world.git_dir, "status", "--porcelain", GIT_WORK_TREE=str(world.path)) == b""
    assert not (world.git_dir / "index.lock").exists()
    assert list(world.git_dir.glob("penstock-*")) == []


@pytest.mark.parametrize("step", ["objects", "branch"])
async def test_killed_before_the_branch_moved_nothing_has_happened(world: GitWorld, step: str):
    old = world.tip()
    await die(world, step)
    assert world.tip() == old
    assert not (world.git_dir / BACKUP).exists()
    assert (world.path / "a.txt").read_bytes() == FILES[b"a.txt"].content
    landed = await land_again(world)
    assert not landed.before
    assert landed.previous == old
    check_landed(world)


async def test_killed_after_the_branch_moved_the_backup_explains_it(world: GitWorld):
    old = world.tip()
    await die(world, "files")
    moved = world.tip()
    assert moved != old
    assert git(world.git_dir, "rev-parse", BACKUP).decode().strip() == old
    said = git(world.git_dir, "log", "--format=%B", f"{old}..{moved}").decode()
    assert f"Penstock-Key: {KEY}" in said
    assert (world.path / "a.txt").read_bytes() == FILES[b"a.txt"].content


async def test_killed_after_the_branch_moved_the_same_key_finishes_it(world: GitWorld):
    old = world.tip()
    await die(world, "files")
    moved = world.tip()
    landed = await land_again(world)
    assert (landed.before, landed.commit, landed.previous) == (True, moved, old)
    assert landed.unfinished == ()
    assert world.tip() == moved
    check_landed(world)
    assert run_script(landed.rollback).returncode == 0
    assert (world.path / "src" / "b.py").read_bytes() == FILES[b"src/b.py"].content


async def test_work_done_after_the_crash_is_kept_and_named(world: GitWorld):
    await die(world, "files")
    (world.path / "a.txt").write_text("my work\n")
    landed = await land_again(world)
    assert landed.before
    assert "a.txt is not as committed" in landed.unfinished[0]
    assert (world.path / "a.txt").read_text() == "my work\n"


async def test_a_lock_that_a_dead_landing_left_is_named_to_another(world: GitWorld):
    await die(world, "branch")
    await world.open()
    world.write(WANTED)
    before = world.everything()
    with pytest.raises(RepositoryRefused, match=f"landing {KEY} died"):
        await world.land("another-key")
    assert world.everything() == before
