"""Root lands in other people's repositories as they would themselves."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_runtime.ports.repositories import RepositoryRefused
from penstock_testkit.builders.repositories import File, furnish_with_traps
from tests.integration.git_world import NEW, GitWorld

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")

OWNER = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the owner can reach: pytest's own are root's alone."""
    parent = Path(tempfile.mkdtemp(prefix="penstock-owner-"))
    parent.chmod(0o755)
    folder = parent / "w"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(parent)


def give(folder: Path, mode: int) -> None:
    """Hand everything over, folders with this mode."""
    for found in below(folder) | {folder}:
        os.chown(found, OWNER, OWNER, follow_symlinks=False)
        if found.is_dir() and not found.is_symlink():
            found.chmod(mode)


def below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o2775])
async def test_everything_written_is_the_owners(place: Path, mode: int):
    world = GitWorld(place)
    furnish_with_traps(world.git_dir, place / "MARKER")
    give(place, mode)
    before = below(place)
    link = File(b"a.txt", "120000")
    await world.propose({"a.txt": NEW, "new/deep/c.sh": File(b"c\n", "100755"), "l": link})
    landed = await world.land()
    assert landed.unfinished == ()
    made = [found for found in below(place) if found not in before]
    made += [world.path / "a.txt", world.git_dir / "index"]
    assert {(found.lstat().st_uid, found.lstat().st_gid) for found in made} == {(OWNER, OWNER)}
    assert stat.S_IMODE((world.path / "new").stat().st_mode) == mode
    executable = mode & 0o777 & ~0o022 | mode & 0o020
    assert stat.S_IMODE((world.path / "new/deep/c.sh").stat().st_mode) == executable
    folders = [found for found in made if found.is_dir()]
    assert all(found.stat().st_mode & 0o077 == mode & 0o077 for found in folders)
    assert not (place / "MARKER").exists()


async def test_a_link_to_what_only_root_may_write_is_not_written_through(place: Path):
    world = GitWorld(place)
    precious = place.parent / "precious"
    precious.write_text("root's own\n")
    precious.chmod(0o600)
    log = world.git_dir / "logs" / "refs" / "heads" / "main"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to(precious)
    give(place, 0o755)
    await world.propose()
    with pytest.raises(RepositoryRefused):
        await world.land()
    assert precious.read_text() == "root's own\n"
    assert precious.stat().st_uid == 0


async def test_an_owner_who_cannot_reach_the_repository_is_named(place: Path):
    world = GitWorld(place)
    give(place, 0o755)
    place.parent.chmod(0o700)
    with pytest.raises(RepositoryRefused, match=f"uid {OWNER}"):
        await world.open()
