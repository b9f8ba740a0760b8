"""The tools that agents stand on, each used alone as its own command line has it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from penstock_contracts.values import JsonObject
from penstock_testkit.quality.cases import Finding
from penstock_testkit.quality.checks import CHECKS
from penstock_testkit.quality.families import number_of
from penstock_testkit.quality.subjects import Scanned

MAX_TOOL_S = 900.0
MANY_FILES = 1_000_000
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_OBJECTS: TypeAdapter[list[JsonObject]] = TypeAdapter(list[JsonObject])


class ToolError(RuntimeError):
    """A tool gave no answer."""


def _run(folder: Path, module: str, arguments: Sequence[str], ends: Sequence[int]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=MAX_TOOL_S,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    if done.returncode not in ends:
        raise ToolError(f"{module} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _relative(name: str, folder: Path) -> str:
    path = Path(name)
    if path.is_absolute():
        return path.resolve().relative_to(folder.resolve()).as_posix()
    return path.as_posix()


@dataclass(frozen=True, slots=True)
class Bandit:
    """bandit, with `-ll` or without."""

    name: str = "bandit"
    levels: tuple[str, ...] = ()
    tool: bool = True
    files_at_once: int = MANY_FILES

    def scan(self, folder: Path) -> Scanned:
        """Its JSON report, with its CWE and what the check is about."""
        text = _run(folder, "bandit", ["-r", ".", "-f", "json", "-q", *self.levels], (0, 1))
        results = _OBJECT.validate_json(text)["results"]
        return Scanned(
            [self._finding(result, folder) for result in _OBJECTS.validate_python(results)]
        )

    def _finding(self, result: JsonObject, folder: Path) -> Finding:
        rule = str(result["test_id"])
        cwe = result.get("issue_cwe")
        own = (int(str(cwe["id"])),) if isinstance(cwe, dict) and "id" in cwe else ()
        return Finding(
            file=_relative(str(result["filename"]), folder),
            line=int(str(result["line_number"])),
            rule=rule,
            cwes=frozenset([*own, *CHECKS.get(number_of(rule) or 0, ())]),
            severity=str(result["issue_severity"]).lower(),
        )


@dataclass(frozen=True, slots=True)
class RuffSecurity:
    """ruff with its security rules."""

    name: str = "ruff S"
    tool: bool = True
    files_at_once: int = MANY_FILES

    def scan(self, folder: Path) -> Scanned:
        """Its JSON report; a file that it cannot parse has no findings."""
        arguments = ["check", "--isolated", "--select", "S", "--output-format", "json"]
        arguments += ["--exit-zero", "--no-cache", "--no-respect-gitignore", "."]
        found = _OBJECTS.validate_json(_run(folder, "ruff", arguments, (0,)))
        return Scanned(
            [
                self._finding(item, folder)
                for item in found
                if str(item.get("code") or "").startswith("S")
            ]
        )

    def _finding(self, item: JsonObject, folder: Path) -> Finding:
        place, rule = item["location"], str(item["code"])
        return Finding(
            file=_relative(str(item["filename"]), folder),
            line=int(str(place["row"])) if isinstance(place, dict) else 1,
            rule=rule,
            cwes=frozenset(CHECKS.get(number_of(rule) or 0, ())),
        )


@dataclass(frozen=True, slots=True)
class DetectSecrets:
    """detect-secrets with its default plugins and filters, asking nobody whether a key is live."""

    name: str = "detect-secrets"
    tool: bool = True
    files_at_once: int = MANY_FILES

    def scan(self, folder: Path) -> Scanned:
        """Its baseline."""
        text = _run(folder, "detect_secrets", ["scan", "--all-files", "--no-verify", "."], (0,))
        results: JsonValue = json.loads(text)["results"]
        if not isinstance(results, dict):
            raise ToolError("detect-secrets wrote no results")
        return Scanned(
            [
                Finding(
                    file=_relative(name, folder),
                    line=int(str(item["line_number"])),
                    rule=str(item["type"]),
                    cwes=frozenset({798}),
                )
                for name, items in results.items()
                for item in _OBJECTS.validate_python(items)
            ]
        )
