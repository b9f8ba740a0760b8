"""What the sandbox adapters make of the host: obstacles, cgroups, views, outputs, leftovers."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap.cgroups import find_cgroups
from penstock_adapters.bubblewrap.obstacles import explain
from penstock_adapters.bubblewrap.ownership import change_owner
from penstock_adapters.bubblewrap.view import View, ViewTooWide
from penstock_adapters.process.etc import alternatives, make_etc
from penstock_adapters.process.output import OutputState, read_path
from penstock_adapters.process.scratch import (
    HELD_S,
    Scratch,
    owner_is_dead,
    remove_tree,
    sweep,
    unique_name,
)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kernel/unprivileged_userns_clone", "0"),
        ("user/max_user_namespaces", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_setting_in_the_way_is_named_with_its_mend(tmp_path: Path, setting: str, value: str):
    (tmp_path / setting).parent.mkdir(parents=True)
    (tmp_path / setting).write_text(value + "\n")
    obstacle, mend = explain("whatever", tmp_path)
    name = setting.replace("/", ".")
    assert name in obstacle
    assert f"sysctl -w {name}=" in mend


def test_a_container_is_recognised_by_its_filter(tmp_path: Path):
    (tmp_path / "status").write_text("Name:\tx\nSeccomp:\t2\n")
    obstacle, mend = explain("Operation not permitted", tmp_path, tmp_path / "status")
    assert "Operation not permitted" in obstacle
    assert "seccomp=unconfined" in mend


def test_anything_else_is_told_as_it_was_printed(tmp_path: Path):
    obstacle, _ = explain("bwrap: strange", tmp_path, tmp_path / "none")
    assert obstacle.endswith("bwrap: strange")


def test_a_hybrid_host_without_controllers_offers_no_cgroup(tmp_path: Path):
    (tmp_path / "unified").mkdir()
    (tmp_path / "cgroup.subtree_control").write_text("\n")
    assert find_cgroups(tmp_path) is None


def test_links_are_made_again_and_what_they_lead_to_is_bound(tmp_path: Path):
    real = tmp_path / "python 3.12.7"
    (real / "bin").mkdir(parents=True)
    (real / "bin" / "python").touch()
    (tmp_path / "python 3.12").symlink_to("python 3.12.7")
    view = View()
    view.show(tmp_path / "python 3.12" / "bin" / "python")
    arguments = view.arguments()
    at = arguments.index("--symlink")
    assert arguments[at + 1 : at + 3] == ["python 3.12.7", str(tmp_path / "python 3.12")]
    at = arguments.index("--ro-bind")
    assert arguments[at + 1] == str(real / "bin" / "python")


def test_what_is_shown_already_is_not_shown_twice(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    view = View()
    view.show(tmp_path / "a")
    view.show(tmp_path / "a" / "b")
    assert view.arguments().count("--ro-bind") == 1


@pytest.mark.parametrize("path", ["/", "/home", "/etc", "/proc", "~", "~/.."])
def test_too_much_is_never_shown(path: str):
    if not Path(path).expanduser().exists():
        pytest.skip("not on this machine")
    with pytest.raises(ViewTooWide):
        View().show(Path(path).expanduser())


def test_a_missing_path_is_told(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        View().show(tmp_path / "none")


def test_etc_is_readable_whatever_the_mask(tmp_path: Path):
    mask = os.umask(0o077)
    try:
        make_etc(tmp_path, 7, 8)
    finally:
        os.umask(mask)
    assert (tmp_path / "etc" / "passwd").read_text().startswith("agent:x:7:8:")
    for path in (tmp_path / "etc").rglob("*"):
        assert path.stat().st_mode & 0o004


def test_programs_that_the_administrator_chose_are_found(tmp_path: Path):
    place = tmp_path / "alternatives"
    place.mkdir()
    (place / "sh").symlink_to("/usr/bin/env")
    (place / "up").symlink_to("/usr/../etc/passwd")
    (place / "page").symlink_to("/usr/share")
    (place / "gone").symlink_to("/usr/bin/no-such-program")
    (place / "own").symlink_to(tmp_path / "own")
    (place / "file").write_text("")
    assert list(alternatives(place)) == [("sh", "/usr/bin/env")]
    assert list(alternatives(tmp_path / "none")) == []


def test_outputs(tmp_path: Path):
    (tmp_path / "good").write_text("{}")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("good")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    found = {path.name: read_path(path, 2).state for path in tmp_path.iterdir()}
    assert found == {
        "good": OutputState.PRESENT,
        "empty": OutputState.MISSING,
        "link": OutputState.REFUSED,
        "pipe": OutputState.REFUSED,
        "folder": OutputState.REFUSED,
    }
    assert read_path(tmp_path / "none", 2).state is OutputState.MISSING
    assert read_path(tmp_path / "good", 1).state is OutputState.TOO_LARGE


def test_only_leftovers_of_the_dead_are_removed(tmp_path: Path):
    dead = tmp_path / "penstock-sandbox-999999999-1-1"
    recycled = tmp_path / f"penstock-sandbox-{os.getpid()}-1-1"
    foreign = tmp_path / "something else"
    mine = tmp_path / unique_name()
    for folder in (dead, recycled, foreign, mine):
        folder.mkdir()
    (dead / "sealed").mkdir()
    (dead / "sealed" / "file").touch()
    (dead / "sealed").chmod(0o500)
    scratch = Scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        foreign.name,
        mine.name,
        scratch.root.name,
    }
    scratch.close()
    assert not scratch.root.exists()
    assert not owner_is_dead("penstock-sandbox-x-1-1")


def test_a_folder_whose_owner_lives_in_another_container_stays(tmp_path: Path):
    unseen = tmp_path / "penstock-sandbox-999999999-1-1"  # no such process is to be seen here
    unseen.mkdir()
    held = os.open(unseen, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        waited: list[float] = []
        Scratch(tmp_path, wait=waited.append).close()
        assert unseen.is_dir()
        assert sum(waited) == pytest.approx(HELD_S)
    finally:
        os.close(held)
    Scratch(tmp_path).close()
    assert not unseen.exists()


def test_a_lock_that_a_child_of_the_dead_has_not_let_go_yet_is_waited_for(tmp_path: Path):
    dead = tmp_path / "penstock-sandbox-999999999-1-1"
    (dead / "1").mkdir(parents=True)
    lock = os.open(dead, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    inherited = [os.dup(lock)]  # as what is forked shares every open file until its `exec`
    os.close(lock)
    sweep(tmp_path, lambda _pause_s: os.close(inherited.pop()))
    assert not dead.exists()
    assert inherited == []


def make_deep(folder: Path, levels: int) -> None:
    """Nest folders deeper than any path may be long: from the inside, as an agent would."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_tree_of_any_depth_is_removed(tmp_path: Path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    make_deep(tree, 3_000)
    (tree / "link").symlink_to(kept)
    (tree / "sealed").mkdir()
    (tree / "sealed" / "inner").mkdir()
    for sealed in (tree / "sealed" / "inner", tree / "sealed", tree):
        sealed.chmod(0o500)
    remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()


def test_a_link_in_the_place_of_a_tree_is_not_followed(tmp_path: Path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "none")
    assert (tmp_path / "kept").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership_stops_at_links_of_either_kind(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("of the host")
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "own").touch()
    (tree / "hard").hardlink_to(outside)
    (tree / "soft").symlink_to(outside)
    change_owner(tree, 0, 12345)
    assert outside.stat().st_uid == 0
    owners = {path.name: path.lstat().st_uid for path in (tree, *tree.rglob("*"))}
    assert owners == {"tree": 12345, "deep": 12345, "own": 12345, "hard": 0, "soft": 12345}
    change_owner(tree, 12345, 0)
    assert (tree / "deep" / "own").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership_goes_to_any_depth(tmp_path: Path):
    tree = tmp_path / "tree"
    (tree / "beside" / "deep").mkdir(parents=True)
    make_deep(tree, 3_000)
    (tree / "zz").mkdir()
    change_owner(tree, 0, 12345)
    here = os.open(tree, os.O_RDONLY)
    for _ in range(3_000):
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    assert os.stat("file", dir_fd=here).st_uid == 12345
    os.close(here)
    owners = {path.name: path.stat().st_uid for path in (tree / "beside" / "deep", tree / "zz")}
    assert owners == {"deep": 12345, "zz": 12345}
    change_owner(tree, 12345, 0)
    remove_tree(tree)
