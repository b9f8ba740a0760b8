"""The file of a backup: a zip archive of tables, each with its checksum, readable by us alone."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Generator, Iterator, Mapping
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
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.recover_place import APPROVAL_DATABASE, SCHEDULER_DATABASE
from penstock_runtime.recovering_events import Told, quietly

FORMAT = "penstock-backup/1"
MANIFEST = "manifest.json"
COMPRESSION = 1  # of zlib: events are JSON and shrink to a fifth at any level
BLOCK = 1024 * 1024
TABLES: Mapping[str, tuple[Table, ...]] = {
    # Approvals last: a run whose approval is not there yet asks for it again.
    SCHEDULER_DATABASE: (*LEDGER_TABLES, *ARTIFACT_TABLES),
    APPROVAL_DATABASE: LEDGER_TABLES,
}
Json = dict[str, Any]


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
    if path.exists():
        raise CliFault(f"{path} exists already", "name another file", ExitCode.USAGE)
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
    document = cast("Json", json.loads(raw))
    if document.get("format") != FORMAT:
        raise ArchiveFault(f"the format is {document.get('format')!r}, not {FORMAT!r}")
    digest = hashlib.sha256(raw).hexdigest()
    return Manifest(int(document["created_us"]), digest, cast("Any", document["databases"]))


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
        digest = hashlib.sha256()
        with self._archive.open(_entry(database, table)) as entry:
            while block := entry.read(BLOCK):
                digest.update(block)
                yield block
        wanted = self.manifest.databases[database]["tables"][table.name]["sha256"]
        if digest.hexdigest() != wanted:
            raise ArchiveFault(f"{database}: {table.name} is damaged: its checksum is another")

    def put_back(self, owner_urls: Mapping[str, str], told: Told = quietly) -> None:
        """Replace what the databases hold; each of them whole or not at all.

        Raises:
            ArchiveFault: it is damaged; the database in question is as it was.
            TransientFault: a server does not answer.
        """
        for database, tables in TABLES.items():
            told(f"restoring {database}", 0, 0)
            ends = self.manifest.ends(database)
            restore(owner_urls[database], tables, partial(self._blocks, database), ends)


@contextmanager
def read(path: Path) -> Generator[BackupFile]:
    """Open a backup.

    Raises:
        CliFault: there is none, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield BackupFile(archive, _read_manifest(archive.read(MANIFEST)))
    except FileNotFoundError:
        raise CliFault(f"{path} does not exist", "", ExitCode.NOT_FOUND) from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, ArchiveFault) as error:
        mend = "the stores are as they were; take another backup"
        raise CliFault(f"{path} is no backup, or a damaged one: {error}", mend) from error
