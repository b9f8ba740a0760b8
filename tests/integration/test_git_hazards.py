"""What a repository, or an agent's clone of it, may hold to harm whoever touches it."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_adapters.git import GitRepositories
from penstock_runtime.ports.repositories import (
    BLOB_BYTES_MAX,
    FILES_MAX,
    PLAN_BYTES_MAX,
    EffectDiffers,
    ProposedFile,
    ProposedFiles,
    RepositoryRefused,
)
from penstock_testkit.builders.repositories import (
    File,
    furnish_with_traps,
    git,
    make_repository,
    object_id,
    put_object,
    tree,
)
from tests.integration.git_cases import FOUND
from tests.integration.git_world import FILES, NEW, GitWorld

PLAIN_GIT_TIMEOUT_S = 30


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


# --- the target ---------------------------------------------------------------------------------


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


# --- the plan -----------------------------------------------------------------------------------


async def test_the_diff_says_what_the_blobs_say(bare: GitWorld):
    bare.path = bare.git_dir = bare.folder / "all"
    make_repository(bare.git_dir, FOUND, bare=True)
    wanted: dict[str, File | None] = {}
    for number, (name, file) in enumerate(sorted(FOUND.items())):
        if name not in (b"sub", b"bad-\xff\xfe.bin"):
            changed = File(file.content + b"more", file.mode)
            wanted[name.decode()] = (changed, changed, None)[number % 3]
    wanted |= {'n"e\\w*?[x].txt': File("Käse\n".encode("latin-1")), "new\n": File(b"\0\1\2")}
    await bare.propose(wanted)
    diff = str(bare.plan.effect["diff"]).encode()
    opened = await bare.open()
    git(opened.clone, "read-tree", "HEAD")
    git(opened.clone, "apply", "--cached", "-p1", stdin=diff)
    made = git(opened.clone, "write-tree").decode().strip()
    bare.write(wanted)
    landed = await bare.land()
    assert git(bare.git_dir, "rev-parse", f"{landed.commit}^{{tree}}").decode().strip() == made


async def test_a_base_names_each_file_as_it_was(bare: GitWorld):
    await bare.propose({"a.txt": NEW, "new.txt": NEW, "src/b.py": None})
    assert bare.plan.base == {
        "ref": "refs/heads/main",
        "commit": bare.tip(),
        "files": {
            "a.txt": object_id(FILES[b"a.txt"].content),
            "new.txt": None,
            "src/b.py": object_id(FILES[b"src/b.py"].content),
        },
    }


async def test_a_plan_that_changes_nothing_is_refused(bare: GitWorld):
    with pytest.raises(RepositoryRefused, match="changes nothing"):
        await bare.propose({"a.txt": FILES[b"a.txt"]})


async def test_a_plan_too_large_to_read_is_refused(bare: GitWorld):
    text = "".join(f"line {number}\n" for number in range(PLAN_BYTES_MAX // 8))
    with pytest.raises(RepositoryRefused, match="make the change in parts"):
        await bare.propose({"large.txt": File(text.encode())})


async def test_a_file_too_large_to_land_is_refused(bare: GitWorld):
    with pytest.raises(RepositoryRefused, match=f"{BLOB_BYTES_MAX} are allowed"):
        await bare.propose({"large.bin": File(bytes(BLOB_BYTES_MAX + 1))})


async def test_too_many_files_are_refused(bare: GitWorld):
    with pytest.raises(RepositoryRefused, match=f"1 to {FILES_MAX} are allowed"):
        await bare.propose({f"{number}.txt": NEW for number in range(FILES_MAX + 1)})


@pytest.mark.parametrize(
    "message",
    [
        "x\n\nApproved-By: boss\n",
        "x\n\npenstock-key : 1\n",
        "  Penstock-Approval: 1",
        "",
        " \n",
        "nul\0byte",
        "lone \udc80",
        "long " * 2000,
    ],
)
async def test_a_message_claims_no_approval_and_is_text(bare: GitWorld, message: str):
    with pytest.raises(RepositoryRefused, match="commit message"):
        await bare.propose(message=message)


@pytest.mark.parametrize(
    "mode, path", [("160000", "sub"), ("040000", "dir"), ("100664", "x"), ("120000", ".gitmodules")]
)
async def test_modes_that_are_no_files_are_refused(bare: GitWorld, mode: str, path: str):
    with pytest.raises(RepositoryRefused, match=path):
        await bare.propose({path: File(b"a.txt", mode)})


async def test_a_plan_for_another_branch_is_refused(bare: GitWorld):
    await bare.open()
    files = bare.write({"a.txt": NEW})
    with pytest.raises(RepositoryRefused, match="the clone was made of"):
        await bare.repositories.plan(bare.path, bare.opened, ProposedFiles(files, "x", "side"))


@pytest.mark.parametrize(
    "effect",
    [
        {},
        {"files": [], "message": "x"},
        {"files": [{"path": "a"}], "message": "x"},
        {"files": [{"path": "a", "mode": "100644", "blob": 7}], "message": "x"},
        {"files": [{"path": "a", "mode": "1", "blob": "2", "more": 3}], "message": "x"},
        {"files": [{"path": "a", "blob": None}]},
        {"files": [{"path": "a", "blob": None}], "message": "x", "ref": 1},
        {"files": [{"path": "a", "blob": None}], "message": "x", "command": "rm"},
    ],
)
def test_a_proposal_of_another_shape_is_refused(effect: dict[str, object]):
    with pytest.raises(RepositoryRefused, match="effect"):
        ProposedFiles.read(effect)  # pyright: ignore[reportArgumentType] - JSON from an agent


# --- the agent's clone --------------------------------------------------------------------------


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
