"""Where an engine and its CLI are, when no setting says it: the SDK's own variables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

ENGINE_VARIABLE = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
CLI_VARIABLE = "_EXPERIMENTAL_DAGGER_CLI_BIN"


def engine_host(given: str | None, environ: Mapping[str, str]) -> str | None:
    """Give the runner host; None leaves the choice to the CLI."""
    return given or environ.get(ENGINE_VARIABLE) or None


def cli_program(given: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    """Give the `dagger` program; None looks on PATH."""
    found = given or environ.get(CLI_VARIABLE)
    return Path(found) if found else None


def installed_cli() -> Path | None:
    """Give the `dagger` of PATH, else the newest one that the SDK has downloaded before."""
    found = shutil.which("dagger")
    if found is not None:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dagger"
    kept = [path for path in cache.glob("dagger-*") if os.access(path, os.X_OK) and path.is_file()]
    return max(kept, key=lambda path: path.stat().st_mtime, default=None)
