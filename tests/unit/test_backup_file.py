"""A backup's file: what is no backup, what is damaged, and a return that ends in the middle."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock_adapters.postgres.archive import Table
from penstock_cli import backup_file
from penstock_cli.backup_file import FORMAT, MANIFEST, TABLES, NotRestored
from penstock_cli.backup_restore import half_done
from penstock_cli.faults import CliFault, ExitCode
from penstock_runtime.faults import TransientFault

SCHEDULER, APPROVAL = TABLES
CONTENT = bytes(range(256)) * 2_000
URLS = dict.fromkeys(TABLES, "")


def manifest() -> dict[str, Any]:
    table = {"rows": 3, "bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    databases = {
        database: {"tables": {one.name: table for one in tables}, "partitions": {}}
        for database, tables in TABLES.items()
    }
    return {"format": FORMAT, "created_us": 1, "databases": databases}


def written(path: Path, document: object, lacking: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for database, tables in TABLES.items():
            for table in tables:
                name = f"{database}/{table.name}.copy"
                if name != lacking:
                    archive.writestr(name, CONTENT)
        archive.writestr(MANIFEST, json.dumps(document))
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return written(tmp_path / "kept.zip", manifest())


def checked(path: Path) -> CliFault:
    with pytest.raises(CliFault) as raised, backup_file.read(path) as found:
        found.check()
    return raised.value


def test_a_whole_one_is_read(kept: Path) -> None:
    with backup_file.read(kept) as found:
        found.check()
        assert found.manifest.events == 6


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in checked(tmp_path).message
    assert checked(tmp_path / "none.zip").code is ExitCode.NOT_FOUND
    other = tmp_path / "other.zip"
    other.write_bytes(b"no archive")
    assert "is no backup" in checked(other).message


@pytest.mark.parametrize(
    "document",
    [[], "text", None, {}, {"format": "other"}, {"format": FORMAT},
     {"format": FORMAT, "created_us": 1, "databases": []},
     {"format": FORMAT, "created_us": 1, "databases": {SCHEDULER: {}}}],
)  # fmt: skip
def test_a_manifest_that_is_none_is_told(tmp_path: Path, document: object) -> None:
    fault = checked(written(tmp_path / "kept.zip", document))
    assert "is no backup, or a damaged one" in fault.message


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    lacking = f"{APPROVAL}/partitions.copy"
    fault = checked(written(tmp_path / "kept.zip", manifest(), lacking))
    assert f"{APPROVAL}: partitions is damaged" in fault.message


def test_bytes_that_were_flipped_anywhere_are_told(kept: Path) -> None:
    whole = kept.read_bytes()
    for at in range(0, len(whole), max(len(whole) // 150, 1)):
        flipped = bytearray(whole)
        flipped[at] ^= 0xFF
        kept.write_bytes(flipped)
        try:
            with backup_file.read(kept) as found:
                found.check()
        except CliFault as fault:
            assert "is no backup, or a damaged one" in fault.message  # noqa: PT017
    kept.write_bytes(whole[: len(whole) // 2])
    assert "is no backup" in checked(kept).message


@pytest.mark.parametrize("error", [KeyError("a defect"), ValueError("another")])
def test_what_else_goes_wrong_is_not_said_of_the_file(kept: Path, error: Exception) -> None:
    with pytest.raises(type(error)), backup_file.read(kept):
        raise error


def test_a_place_is_looked_at_before_anything_is_started(tmp_path: Path, kept: Path) -> None:
    for path, said in (
        (kept, "exists already"), (tmp_path, "exists already"),
        (tmp_path / "none" / "kept.zip", "is no folder"), (kept / "kept.zip", "is no folder"),
    ):  # fmt: skip
        with pytest.raises(CliFault, match=said) as raised:
            backup_file.check_target(path)
        assert raised.value.code is ExitCode.USAGE
    backup_file.check_target(tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()


# --- a return that ends in the middle ---------------------------------------------------------


def failing_at(number: int) -> backup_file.Replace:
    calls: list[str] = []

    def replace(
        owner_url: str,
        tables: Sequence[Table],
        blocks: Callable[[Table], Iterator[bytes]],
        expected: Mapping[str, tuple[int, str]],
    ) -> None:
        del tables, blocks, expected
        calls.append(owner_url)
        if len(calls) > number:
            raise TransientFault("the server went away")

    return replace


def test_a_restore_that_ends_in_the_middle_says_what_is_replaced(kept: Path) -> None:
    with backup_file.read(kept) as found, pytest.raises(NotRestored) as raised:
        found.put_back(URLS, replace=failing_at(1))
    fault = half_done(raised.value)
    assert f"replaced: {SCHEDULER};" in fault.message
    assert f"{APPROVAL} was not replaced: the server went away" in fault.message
    assert fault.mend == "start no service: restore again, then `penstock recover`"
    assert fault.code is ExitCode.REFUSED


def test_a_restore_that_fails_at_once_says_that_nothing_has_changed(kept: Path) -> None:
    with backup_file.read(kept) as found, pytest.raises(NotRestored) as raised:
        found.put_back(URLS, replace=failing_at(0))
    assert raised.value.replaced == ()
    assert "the stores are as they were" in half_done(raised.value).mend
    with backup_file.read(kept) as found:
        found.put_back(URLS, replace=failing_at(2))
