"""The agent's clone: what it is given, and what it may have made of it."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    EffectDiffers,
    ProposedFile,
    ProposedFiles,
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import (
    furnish_with_traps,
    git,
    object_id,
    put_object,
)
from tests.integration.git_world import FILES, NEW, GitWorld


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


async def plan(world: GitWorld, *files: ProposedFile, message: str = "Change it") -> None:
    world.plan = await world.repositories.plan(
        world.path, world.opened, ProposedFiles(files, message)
    )


async def test_the_clone_stands_alone(bare: GitWorld):
    opened = await bare.open()
    assert git(opened.clone, "fsck", "--full", "--strict") == b""
    assert git(opened.clone, "log", "--format=%s").decode() == "Begin\n"
    assert git(opened.clone, "symbolic-ref", "HEAD").decode().strip() == opened.ref
    assert not (opened.clone / "objects" / "info" / "alternates").exists()
    own = (opened.clone / "config").read_text().lower()
    assert [word for word in ("remote", "hook", "include", "url", "alias") if word in own] == []


async def test_a_blob_in_a_pack_is_read_as_well(bare: GitWorld):
    await bare.open()
    order = b"blob\ndata %d\n%s\n" % (len(NEW.content), NEW.content)
    git(bare.opened.clone, "fast-import", "--quiet", stdin=order)
    git(bare.opened.clone, "repack", "-a", "-d", "-k", "-q")
    await plan(bare, ProposedFile("a.txt", "100644", object_id(NEW.content)))
    assert (await bare.land()).commit == bare.tip()


async def test_a_blob_that_lies_about_its_id_is_refused(bare: GitWorld):
    await bare.open()
    name = put_object(bare.opened.clone, b"evil\n", name="ab" * 20)
    with pytest.raises(EffectDiffers, match="another than its id says"):
        await plan(bare, ProposedFile("a.txt", "100644", name))


async def test_a_tampered_base_pack_does_not_count(bare: GitWorld):
    opened = await bare.open()
    for file in (opened.clone / "objects" / "pack").iterdir():
        file.unlink()
    content = FILES[b"a.txt"].content
    put_object(opened.clone, b"nothing to see\n", name=object_id(content))
    files = bare.write({"b.txt": NEW})
    await plan(bare, *files, ProposedFile("a.txt", None, None))
    assert "-one\n-two\n" in str(bare.plan.effect["diff"])


def _with_link(clone: Path) -> None:
    (clone / "objects" / "ff").symlink_to("/etc")


def _with_linked_file(clone: Path) -> None:
    (clone / "objects" / "ff").mkdir()
    (clone / "objects" / "ff" / ("f" * 38)).symlink_to("/etc/shadow")


def _with_pipe(clone: Path) -> None:
    (clone / "objects" / "ff").mkdir()
    os.mkfifo(clone / "objects" / "ff" / ("f" * 38))


def _with_alternates(clone: Path) -> None:
    (clone / "objects" / "info" / "alternates").write_text("/srv/secret/.git/objects\n")


def _without_objects(clone: Path) -> None:
    shutil.rmtree(clone / "objects")


def _with_other_objects(clone: Path) -> None:
    shutil.move(clone / "objects", clone / "moved")
    (clone / "objects").symlink_to(clone / "moved")


def _replaced(clone: Path) -> None:
    shutil.move(clone, clone.with_name("moved"))
    clone.symlink_to(clone.with_name("moved"))


@pytest.mark.parametrize(
    "twist",
    [
        _with_link,
        _with_linked_file,
        _with_pipe,
        _with_alternates,
        _without_objects,
        _with_other_objects,
        _replaced,
    ],
)
async def test_a_clone_with_something_strange_in_it_is_not_read(
    bare: GitWorld, twist: Callable[[Path], None]
):
    opened = await bare.open()
    files = bare.write({"a.txt": NEW})
    twist(opened.clone)
    with pytest.raises(RepositoryRefused, match=r"the clone holds|no repository"):
        await plan(bare, *files)


@pytest.mark.parametrize(
    "junk", [b"", b"junk", zlib.compress(b"tree 0\0"), zlib.compress(b"x" * 99)]
)
async def test_a_broken_object_is_refused(bare: GitWorld, junk: bytes):
    opened = await bare.open()
    folder = opened.clone / "objects" / "ab"
    folder.mkdir()
    (folder / ("ab" * 19)).write_bytes(junk)
    with pytest.raises(RepositoryRefused):
        await plan(bare, ProposedFile("a.txt", "100644", "ab" * 20))


async def test_configuration_and_hooks_of_the_clone_do_nothing(bare: GitWorld):
    opened = await bare.open()
    marker = bare.folder.with_name("MARKER")
    furnish_with_traps(opened.clone, marker)
    files = bare.write({"a.txt": NEW})
    await plan(bare, *files)
    await bare.land()
    assert not marker.exists()


async def test_roots_left_open_allow_every_place(bare: GitWorld):
    bare.repositories = GitRepositories()
    await bare.propose()
    assert (await bare.land()).commit == bare.tip()
