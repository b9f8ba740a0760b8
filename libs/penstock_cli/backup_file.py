"""The file of a backup: a zip archive of tables, each with its checksum, readable by us alone."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from penstock_adapters.embedded.home import FILE_MODE
from penstock_adapters.postgres.archive import (
    ARTIFACT_TABLES,
    LEDGER_TABLES,
    ArchiveFault,
    Table,
    restore,
    snapshot,
)
from penstock_cli.databases import APPROVAL, SCHEDULER
from penstock_cli.faults import CliFault, ExitCode
from penstock_runtime.faults import PenstockFault
from penstock_runtime.recovering_events import Told, quietly

FORMAT = "penstock-backup/1"
MANIFEST = "manifest.json"
COMPRESSION = 1  # of zlib: events are JSON and shrink to a fifth at any level
BLOCK = 1024 * 1024
TABLES: Mapping[str, tuple[Table, ...]] = {
    # Approvals last: a run whose approval is not there yet asks for it again.
    SCHEDULER: (*LEDGER_TABLES, *ARTIFACT_TABLES),
    APPROVAL: LEDGER_TABLES,
}
Json = dict[str, Any]
Replace = Callable[
    [str, Sequence[Table], Callable[[Table], Iterator[bytes]], Mapping[str, tuple[int, str]]], None
]
# What `zipfile` raises for an archive whose bytes are not those that were written.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, RuntimeError,
    OverflowError, OSError,
)  # fmt: skip


class NotRestored(PenstockFault):
    """A database could not be replaced.

    Attributes:
        database: which one: it is as it was, unless its server was lost at the very end.
        replaced: those that had been replaced before.
        fault: why.
    """

    def __init__(self, database: str, replaced: Sequence[str], fault: PenstockFault) -> None:
        super().__init__(f"{database} was not replaced: {fault}")
        self.database = database
        self.replaced = tuple(replaced)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        digest: SHA-256 of the manifest, which names that of everything else.
        databases: name -> tables (rows, bytes, sha256) and partitions (n, chain_head, epoch).
    """

    created_us: int
    digest: str
    databases: Mapping[str, Json]

    @property
    def events(self) -> int:
        """How many events it holds."""
        return sum(self.rows(name, LEDGER_TABLES[0].name) for name in self.databases)

    def rows(self, database: str, table: str) -> int:
        """How many rows a table has."""
        return int(self.databases[database]["tables"][table]["rows"])

    def checksum(self, database: str, table: str) -> str:
        """Give the SHA-256 of a table's content."""
        return str(self.databases[database]["tables"][table]["sha256"])

    def ends(self, database: str) -> dict[str, tuple[int, str]]:
        """Give n and chain head of each partition."""
        found = cast("dict[str, Json]", self.databases[database]["partitions"])
        return {name: (int(row["n"]), str(row["chain_head"])) for name, row in found.items()}


def write(path: Path, urls: Mapping[str, str], told: Told = quietly) -> Manifest:
    """Back the stores up; the file is there once it is whole.

    Args:
        path: where; it must not exist.
        urls: database -> URL of a role that may read it.
        told: progress.

    Raises:
        CliFault: the file exists, or cannot be written.
        TransientFault: a server does not answer.
    """
    check_target(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(
                file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION
            ) as archive:
                manifest = _fill(archive, urls, told)
            file.flush()
            os.fsync(file.fileno())
        _ = part.rename(path)
    except OSError as error:
        raise CliFault(f"{path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def check_target(path: Path) -> None:
    """Refuse a place where no backup can be written; nothing is changed.

    Raises:
        CliFault: something is there, or its folder is none that can be written.
    """
    if path.exists() or path.is_symlink():
        raise CliFault(f"{path} exists already", "name another file", ExitCode.USAGE)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise CliFault(f"{folder} is no folder", "make it, or name another file", ExitCode.USAGE)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CliFault(f"{folder} cannot be written", "name another file", ExitCode.USAGE)


def _fill(archive: zipfile.ZipFile, urls: Mapping[str, str], told: Told) -> Manifest:
    databases: dict[str, Json] = {}
    for database, tables in TABLES.items():
        with snapshot(urls[database]) as seen:
            told_tables: Json = {}
            for table in tables:
                told(f"{database}: {table.name}", 0, 0)
                digest, size = hashlib.sha256(), 0
                with archive.open(_entry(database, table), "w", force_zip64=True) as entry:
                    for block in seen.blocks(table):
                        _ = entry.write(block)
                        digest.update(block)
                        size += len(block)
                told_tables[table.name] = {
                    "rows": seen.count(table), "bytes": size, "sha256": digest.hexdigest(),
                }  # fmt: skip
            partitions = {
                row.partition: {"n": row.n, "chain_head": row.chain_head.hex(), "epoch": row.epoch}
                for row in seen.partitions()
            }
        databases[database] = {"tables": told_tables, "partitions": partitions}
    document = {
        "format": FORMAT, "created_us": time.time_ns() // 1000, "databases": databases,
    }  # fmt: skip
    raw = json.dumps(document, indent=1).encode()
    archive.writestr(MANIFEST, raw)
    return _read_manifest(raw)


def _entry(database: str, table: Table) -> str:
    return f"{database}/{table.name}.copy"


def _read_manifest(raw: bytes) -> Manifest:
    with _damage_told("its manifest"):
        document = json.loads(raw)
    if not isinstance(document, dict):
        raise ArchiveFault("its manifest is no JSON object")
    told = cast("Json", document)
    if told.get("format") != FORMAT:
        raise ArchiveFault(f"the format is {told.get('format')!r}, not {FORMAT!r}")
    try:
        digest = hashlib.sha256(raw).hexdigest()
        manifest = Manifest(int(told["created_us"]), digest, told["databases"])
        for database, tables in TABLES.items():
            _ = manifest.ends(database)
            for table in tables:
                _ = manifest.rows(database, table.name), manifest.checksum(database, table.name)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArchiveFault(f"its manifest is not whole: {error!r}") from error
    return manifest


@contextmanager
def _damage_told(what: str) -> Generator[None]:
    """Name what cannot be read."""
    try:
        yield
    except DAMAGE as error:
        raise ArchiveFault(f"{what} is damaged: {error}") from error


class BackupFile:
    """A backup that is read."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def check(self, told: Told = quietly) -> None:
        """Compare everything with its checksum.

        Raises:
            ArchiveFault: something is not what was written.
        """
        for database, tables in TABLES.items():
            for table in tables:
                told(f"checking {database}: {table.name}", 0, 0)
                for _ in self._blocks(database, table):
                    pass

    def _blocks(self, database: str, table: Table) -> Iterator[bytes]:
        """Give a table's content; its end is given only once its checksum is right."""
        what, digest = f"{database}: {table.name}", hashlib.sha256()
        with _damage_told(what):
            entry = self._archive.open(_entry(database, table))
        with entry:
            while True:
                with _damage_told(what):
                    block = entry.read(BLOCK)
                if not block:
                    break
                digest.update(block)
                yield block
        if digest.hexdigest() != self.manifest.checksum(database, table.name):
            raise ArchiveFault(f"{what} is damaged: its checksum is another")

    def put_back(
        self, owner_urls: Mapping[str, str], told: Told = quietly, replace: Replace = restore
    ) -> None:
        """Replace what the databases hold; each of them whole or not at all.

        Args:
            owner_urls: database -> URL of the role that owns its tables.
            told: progress.
            replace: replaces what one database holds.

        Raises:
            NotRestored: the backup is damaged, or a server does not answer.
        """
        replaced: list[str] = []
        for database, tables in TABLES.items():
            told(f"restoring {database}", 0, 0)
            ends = self.manifest.ends(database)
            try:
                replace(owner_urls[database], tables, partial(self._blocks, database), ends)
            except PenstockFault as fault:
                raise NotRestored(database, replaced, fault) from fault
            replaced.append(database)


@contextmanager
def read(path: Path) -> Generator[BackupFile]:
    """Open a backup.

    Raises:
        CliFault: there is none, or it is damaged.
    """
    archive = _opened(path)
    with archive:
        try:
            with _damage_told(MANIFEST):
                raw = archive.read(MANIFEST)
            # Only faults of the archive are those of the file, whatever else is done with it.
            yield BackupFile(archive, _read_manifest(raw))
        except ArchiveFault as fault:
            raise _no_backup(path, fault) from fault


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise CliFault(f"{path} does not exist", "", ExitCode.NOT_FOUND) from None
    except OSError as error:
        raise CliFault(f"{path} cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise _no_backup(path, error) from error


def _no_backup(path: Path, error: Exception) -> CliFault:
    mend = "the stores are as they were; take another backup"
    return CliFault(f"{path} is no backup, or a damaged one: {error}", mend)
