"""A snapshot of advisories in the OSV format (https://ossf.github.io/osv-schema/).

The folder holds advisories as `*.json` files, or as the zip archives the OSV project publishes
(`PyPI/all.zip`, `npm/all.zip`), or both.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_agent_security_scanner.cvss import base_score
from penstock_agent_security_scanner.manifests import Package
from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.versions import sort_key

MAX_ADVISORY_BYTES = 4 * 1024 * 1024
MAX_ADVISORIES = 1_000_000
_NAMES = re.compile(rb'"name"\s*:\s*"([^"\\]{1,214})"')
_WORDS: dict[str, Severity] = {
    "LOW": "low",
    "MODERATE": "medium",
    "MEDIUM": "medium",
    "HIGH": "high",
    "CRITICAL": "critical",
}


@dataclass(frozen=True)
class Advisory:
    """What one advisory says about one package version."""

    id: str
    aliases: frozenset[str]
    severity: Severity
    summary: str
    cwe: str
    fixed: str | None


@dataclass
class Snapshot:
    """Advisories that name one of the wanted packages.

    Attributes:
        read: How many advisories the folder holds.
        unreadable: How many of these could not be understood.
    """

    read: int
    unreadable: int
    by_package: dict[tuple[str, str], list[dict[str, Any]]]

    def of(self, package: Package) -> list[Advisory]:
        """Advisories that affect this version, one per alias group, most severe first."""
        if package.version is None:
            return []
        known: dict[str, Advisory] = {}
        for document in self.by_package.get((package.ecosystem, package.name), []):
            advisory = _affecting(document, package)
            if advisory is None:
                continue
            twin = next((a for a in known.values() if a.aliases & advisory.aliases), None)
            if twin is None:
                known[advisory.id] = advisory
            elif _prefers(advisory, twin):
                del known[twin.id]
                known[advisory.id] = advisory
        return list(known.values())


def load_snapshot(folder: Path, packages: Iterable[Package]) -> Snapshot:
    """Read the folder once, keeping what names one of `packages`.

    A document is decoded only if the raw bytes name a wanted package: a full export has hundreds
    of thousands, a repository a few hundred packages.
    """
    wanted = {(package.ecosystem, package.name) for package in packages}
    names = {name.encode() for _, name in wanted}
    snapshot = Snapshot(0, 0, {})
    for raw in _documents(folder):
        snapshot.read += 1
        if not any(_normal(name) in names or name in names for name in _NAMES.findall(raw)):
            continue
        try:
            _keep(snapshot, json.loads(raw), wanted)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            snapshot.unreadable += 1
    return snapshot


def _keep(snapshot: Snapshot, document: dict[str, Any], wanted: set[tuple[str, str]]) -> None:
    if document.get("withdrawn"):
        return
    keys: set[tuple[str, str]] = set()
    for affected in document.get("affected", []):
        package = affected.get("package", {})
        keys.add((package.get("ecosystem", ""), _canonical(package)))
    for key in keys & wanted:
        snapshot.by_package.setdefault(key, []).append(document)


def _canonical(package: dict[str, Any]) -> str:
    name = str(package.get("name", ""))
    return _normal(name.encode()).decode() if package.get("ecosystem") == "PyPI" else name


def _normal(name: bytes) -> bytes:
    return re.sub(rb"[-_.]+", b"-", name).lower()


def _documents(folder: Path) -> Iterator[bytes]:
    count = 0
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            if name.endswith(".json") and path.stat().st_size <= MAX_ADVISORY_BYTES:
                count += 1
                yield path.read_bytes()
            elif name.endswith(".zip"):
                for raw in _zipped(path):
                    count += 1
                    yield raw
            if count >= MAX_ADVISORIES:
                return


def _zipped(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".json") and entry.file_size <= MAX_ADVISORY_BYTES:
                yield archive.read(entry)


def _affecting(document: dict[str, Any], package: Package) -> Advisory | None:
    for affected in document.get("affected", []):
        about = affected.get("package", {})
        if (about.get("ecosystem"), _canonical(about)) != (package.ecosystem, package.name):
            continue
        hit, fixed = _is_affected(affected, package)
        if hit:
            return Advisory(
                id=str(document["id"])[:64],
                aliases=frozenset([document["id"], *document.get("aliases", [])]),
                severity=_severity(document, affected),
                summary=" ".join(str(document.get("summary") or "").split())[:160],
                cwe=_cwe(document),
                fixed=fixed,
            )
    return None


def _is_affected(affected: dict[str, Any], package: Package) -> tuple[bool, str | None]:
    """Whether the version is in the list or in a range, and the version that mends it."""
    version = package.version or ""
    for span in affected.get("ranges", []):
        if span.get("type") == "GIT":
            continue
        hit, fixed = _in_range(span.get("events", []), package.ecosystem, version)
        if hit:
            return True, fixed
    return version in affected.get("versions", []), None


def _in_range(
    events: list[dict[str, str]], ecosystem: str, version: str
) -> tuple[bool, str | None]:
    """OSV's evaluation: events in version order switch between affected and not."""
    at = sort_key(ecosystem, version)
    if at is None:
        return False, None
    ordered: list[tuple[Any, str, str]] = []
    for event in events:
        for kind, text in event.items():
            key = sort_key(ecosystem, "0" if text == "0" else text)
            if key is not None:
                ordered.append((key, kind, text))
    ordered.sort(key=lambda item: item[0])
    hit, fixed = False, None
    for key, kind, text in ordered:
        if kind == "introduced" and key <= at:
            hit = True
        elif kind == "fixed":
            if key <= at:
                hit = False
            elif hit and fixed is None:
                fixed = text
        elif kind == "last_affected" and key < at:
            hit = False
    return hit, fixed if hit else None


def _severity(document: dict[str, Any], affected: dict[str, Any]) -> Severity:
    """The database's own word, else the CVSS 3 score; `high` when neither is there."""
    for holder in (affected, document):
        word = (holder.get("database_specific") or {}).get("severity")
        if isinstance(word, str) and word.upper() in _WORDS:
            return _WORDS[word.upper()]
    for entry in [*affected.get("severity", []), *document.get("severity", [])]:
        score = base_score(str(entry.get("score", "")))
        if score is not None:
            return (
                "critical" if score >= 9
                else "high" if score >= 7
                else "medium" if score >= 4
                else "low"
            )  # fmt: skip
    return "high"


def _cwe(document: dict[str, Any]) -> str:
    listed = (document.get("database_specific") or {}).get("cwe_ids") or []
    first = str(listed[0]) if listed else ""
    return first if re.fullmatch(r"CWE-\d{1,5}", first) else "CWE-1395"


def _prefers(one: Advisory, other: Advisory) -> bool:
    """GHSA entries carry severity and weakness; the same fault from elsewhere often does not."""
    return one.id.startswith("GHSA") and not other.id.startswith("GHSA")
