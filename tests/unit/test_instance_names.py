"""Names of instances that were given none."""

from __future__ import annotations

from pathlib import Path

from penstock_adapters.system.naming import claimed_name

HOST = "some-host"


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
