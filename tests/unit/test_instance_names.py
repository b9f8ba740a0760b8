"""Names of instances that were given none."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock_adapters.system.naming import claimed_name, is_there

HOST = "some-host"
LONG_AGO_S = 1_000_000


@contextmanager
def cleaning(folder: Path) -> Generator[int]:
    """Lock a folder as systemd-tmpfiles does before it deletes what is old in it.

    Raises:
        BlockingIOError: it is in use, and left alone.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def test_the_first_has_the_hosts_name_and_others_a_number(tmp_path: Path):
    with (
        claimed_name("scheduler", HOST, tmp_path) as first,
        claimed_name("scheduler", HOST, tmp_path) as second,
        claimed_name("approval", HOST, tmp_path) as other,
    ):
        assert (first, second, other) == (HOST, f"{HOST}-2", HOST)


def test_a_name_is_free_again_once_its_holder_has_gone(tmp_path: Path):
    with claimed_name("scheduler", HOST, tmp_path) as first:
        pass
    with claimed_name("scheduler", HOST, tmp_path) as next_one:
        assert next_one == first == HOST


def test_where_no_name_can_be_held_it_is_random(tmp_path: Path):
    nowhere = tmp_path / "a file"
    nowhere.touch()
    with (
        claimed_name("scheduler", HOST, nowhere) as one,
        claimed_name("scheduler", HOST, nowhere) as two,
    ):
        assert one != two
        assert one.startswith(f"{HOST}-")


def test_a_cleaner_leaves_the_folder_alone_as_long_as_a_name_is_held(tmp_path: Path):
    with claimed_name("scheduler", HOST, tmp_path):
        with claimed_name("scheduler", HOST, tmp_path):
            pass
        with pytest.raises(BlockingIOError), cleaning(tmp_path):
            pass
    with cleaning(tmp_path):
        pass


def test_a_cleaner_at_work_is_waited_for(tmp_path: Path):
    waited: list[float] = []
    with cleaning(tmp_path) as descriptor:

        def wait(duration_s: float) -> None:
            waited.append(duration_s)
            if len(waited) == 3:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

        with (
            claimed_name("scheduler", HOST, tmp_path, wait) as name,
            pytest.raises(BlockingIOError),
            cleaning(tmp_path),
        ):
            pass
    assert name == HOST
    assert len(waited) == 3


def test_a_folder_that_stays_locked_is_used_all_the_same(tmp_path: Path):
    with cleaning(tmp_path), claimed_name("scheduler", HOST, tmp_path, lambda _: None) as name:
        assert name == HOST


def test_a_file_of_old_is_made_young_by_its_holder(tmp_path: Path):
    file = tmp_path / f"scheduler.{HOST}"
    file.touch()
    os.utime(file, (LONG_AGO_S, LONG_AGO_S))
    with claimed_name("scheduler", HOST, tmp_path):
        assert file.stat().st_mtime > LONG_AGO_S


def test_a_folder_that_is_deleted_in_that_moment_is_made_again(tmp_path: Path):
    folder = tmp_path / "names"
    folder.mkdir()
    with cleaning(folder) as descriptor:

        def wait(duration_s: float) -> None:
            folder.rmdir()
            fcntl.flock(descriptor, fcntl.LOCK_UN)

        with (
            claimed_name("scheduler", HOST, folder, wait) as first,
            claimed_name("scheduler", HOST, folder) as second,
        ):
            assert (first, second) == (HOST, f"{HOST}-2")


def test_what_was_deleted_is_told_from_what_is_there(tmp_path: Path):
    file = tmp_path / "file"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    assert is_there(descriptor, file)
    file.unlink()
    assert not is_there(descriptor, file)
    file.touch()
    assert not is_there(descriptor, file)
    os.close(descriptor)
