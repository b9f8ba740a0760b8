"""ruff, run as a program over copies, so that nothing of the repository configures it."""

import json
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from penstock_agent_code_reviewer.models import Category, Severity
from penstock_agent_code_reviewer.rules import Rule, table

RUFF_TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
LINE_LENGTH = 120
# Newer syntax than the interpreter's own is no fault of the file.
TARGET = "py314"
# Rules that are still in ruff's preview; the others are asked without it.
_PREVIEW = ("PLE1141", "RUF066", "RUF069")
SYNTAX = "invalid-syntax"


@dataclass(frozen=True, slots=True)
class Said:
    """One line of ruff's answer."""

    code: str
    line: int
    end: int
    column: int
    message: str


@cache
def rules() -> Mapping[str, Rule]:
    """The rules that are asked, by ruff's code."""
    found: dict[str, Rule] = {}
    for code, fields in table("ruff_table.toml").items():
        name, category, severity, advice = cast("Sequence[str]", fields)
        found[code] = Rule(name, cast("Category", category), cast("Severity", severity), "", advice)
    return found


def program() -> str:
    """Path of the program: beside this interpreter, or wherever it was installed."""
    beside = Path(sysconfig.get_path("scripts"), "ruff")
    return str(beside) if beside.is_file() else "ruff"


def asked(texts: Mapping[str, str]) -> dict[str, list[Said]] | None:
    """Ask about Python texts by name.

    Returns:
        Answers by name; None if ruff cannot be run, or takes too long.
    """
    if not texts:
        return {}
    with tempfile.TemporaryDirectory(prefix="review-") as folder:
        files = _written(Path(folder), texts)
        answer = _run(folder)
        if answer is None:
            return None
        found: dict[str, list[Said]] = {name: [] for name in texts}
        for base, said in answer:
            if base in files:
                found[files[base]].append(said)
        return found


def _written(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Copy texts under numbers; what a name tells ruff (stubs, tests) is kept by its end."""
    files: dict[str, str] = {}
    for number, (name, text) in enumerate(texts.items()):
        base = f"f{number}.pyi" if name.endswith(".pyi") else f"f{number}.py"
        if name.endswith("__init__.py"):
            (folder / f"p{number}").mkdir()
            base = f"p{number}/__init__.py"
        (folder / base).write_text(text, encoding="utf-8", errors="replace", newline="")
        files[base] = name
    return files


def _run(folder: str) -> Iterator[tuple[str, Said]] | None:
    codes = ",".join(code for code in rules())
    command = [
        *(program(), "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero"),
        *("--output-format", "json", "--target-version", TARGET, "--line-length", str(LINE_LENGTH)),
        *("--preview", "--config", "lint.explicit-preview-rules=true"),
        *("--select", codes, "--quiet", "."),
    ]
    environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "RAYON_NUM_THREADS": "2", "LC_ALL": "C"}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            cwd=folder,
            env=environment,
            timeout=RUFF_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if ended.returncode != 0 or len(ended.stdout) > MAX_ANSWER_BYTES:
        return None
    return _read(ended.stdout, os.path.realpath(folder))


def _read(answer: bytes, folder: str) -> Iterator[tuple[str, Said]]:
    for entry in json.loads(answer or b"[]"):
        place, end = entry.get("location") or {}, entry.get("end_location") or {}
        line = int(place.get("row", 1))
        yield (
            os.path.relpath(os.path.realpath(str(entry["filename"])), folder),
            Said(
                code=str(entry.get("code") or SYNTAX),
                line=line,
                end=int(end.get("row", line)),
                column=int(place.get("column", 1)),
                message=" ".join(str(entry.get("message", "")).split()),
            ),
        )
