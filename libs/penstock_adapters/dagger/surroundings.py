"""Where an engine and its CLI are, when no setting says it: the SDK's own variables."""

from __future__ import annotations

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
