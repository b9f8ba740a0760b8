"""Packages of a repository against a snapshot of advisories."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner.advisories import Advisory, Snapshot, load_snapshot
from penstock_agent_security_scanner.manifests import Package, packages_of
from penstock_agent_security_scanner.models import Finding, Status


@dataclass
class Lookup:
    """How the check went; `status` never says `passed` without a snapshot that was read."""

    status: Status
    findings: list[Finding] = field(default_factory=list)
    manifests: int = 0
    packages: int = 0
    without_version: int = 0
    advisories: int = 0


def check(manifests: list[SourceFile], advisory_path: str | None) -> Lookup:
    """Look every package up.

    Args:
        manifests: Files `is_manifest` chose.
        advisory_path: Folder of the snapshot, or None.
    """
    if not manifests:
        return Lookup("not_applicable")
    packages: list[Package] = []
    broken = 0
    for manifest in manifests:
        try:
            packages += packages_of(manifest)
        except ValueError:
            broken += 1
    lookup = Lookup(
        "not_checked",
        manifests=len(manifests),
        packages=len(packages),
        without_version=sum(package.version is None for package in packages),
    )
    snapshot = _opened(advisory_path, packages)
    if snapshot is None or snapshot.read == 0:
        return lookup
    lookup.advisories = snapshot.read
    for package in packages:
        for advisory in snapshot.of(package):
            lookup.findings.append(_finding(package, advisory))
    whole = not (broken or snapshot.unreadable or lookup.without_version)
    lookup.status = "passed" if whole else "partial"
    return lookup


def _opened(advisory_path: str | None, packages: list[Package]) -> Snapshot | None:
    if advisory_path is None or not Path(advisory_path).is_dir():
        return None
    try:
        return load_snapshot(Path(advisory_path), packages)
    except (OSError, zipfile.BadZipFile):
        return None


def _finding(package: Package, advisory: Advisory) -> Finding:
    verb = "has" if package.pinned else "(the lowest version allowed) has"
    summary = advisory.summary or "a known vulnerability"
    upgrade = (
        f"Upgrade {package.name} to {advisory.fixed} or later."
        if advisory.fixed
        else f"No fixed version of {package.name} is known; replace it or contain it."
    )
    return Finding(
        rule=f"dependency:{advisory.id}",
        severity=advisory.severity,
        file=package.file,
        line=package.line,
        message=f"{package.name} {package.version} {verb} {advisory.id}: {summary}",
        cwe=advisory.cwe,
        suggestion=upgrade,
    )
