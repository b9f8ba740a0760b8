"""What tests of the doctor share: a machine that is well, and what an examination gave."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_adapters.embedded.home import StateFolder
from penstock_cli.doctor.codes import Code, Grade
from penstock_cli.doctor.examine import Scene, examine
from penstock_cli.doctor.findings import Finding
from penstock_cli.doctor.machine import Disk, Machine
from penstock_runtime.ports.sandbox import SandboxHealth

GIB = 1024**3
ROOMY = Disk(100 * GIB, 1_000_000, "ext4")
ISOLATED = SandboxHealth("bubblewrap", "namespaces", True, (), None, None)


async def isolated() -> SandboxHealth:
    """A sandbox that works as it should."""
    return ISOLATED


def machine(**other: Any) -> Machine:
    """A machine that is well, but for what is named."""
    facts: dict[str, Any] = {
        "python": (3, 11),
        "system": "linux",
        "uid": os.geteuid(),
        "open_files": 4096,
        "memory_bytes": 8 * GIB,
        "sysctl": Path("/nowhere"),
        "now_us": lambda: time.time_ns() // 1000,
        "disk": lambda _: ROOMY,
        "sandbox": isolated,
    }
    return Machine(**(facts | other))


@dataclass(frozen=True, slots=True)
class Report:
    """What one examination gave."""

    findings: tuple[Finding, ...]

    @property
    def faults(self) -> list[Finding]:
        """What is not well."""
        return [item for item in self.findings if item.grade is not Grade.OK]

    @property
    def codes(self) -> set[Code]:
        """Codes of what is not well."""
        return {item.code for item in self.faults if item.code is not None}

    def one(self, code: Code, at: str = "") -> Finding:
        """The finding of `code` whose place names `at`; everything is in it that has to be."""
        items = [item for item in self.findings if item.code is code and at in item.where]
        assert items, f"no {code.value} at {at!r} in {self.faults}"
        first = items[0]
        assert first.grade is not Grade.OK
        assert first.detail, first
        assert first.where, first
        assert first.mend, first
        return first

    def text(self) -> str:
        """All that it says."""
        return "\n".join(" ".join(item.document().values()) for item in self.findings)


async def report(scene: Scene) -> Report:
    """Examine."""
    return Report(tuple(await examine(scene)))


def scene(home: Path, environ: dict[str, str] | None = None, **more: Any) -> Scene:
    """A scene on a machine that is well, with nothing set but what is named."""
    given = {"PATH": os.environ.get("PATH", os.defpath)} | (environ or {})
    return Scene(
        **({"folder": StateFolder.at(home), "environ": given, "machine": machine()} | more)
    )


def commands(mend: str) -> list[str]:
    """The commands in a mend."""
    return re.findall(r"`([^`]+)`", mend)


def statements(mend: str) -> list[str]:
    """The SQL in the commands of a mend."""
    return re.findall(r'psql\'? -X -c "([^"]+)"', mend)
