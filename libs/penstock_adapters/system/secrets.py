"""Secrets from the environment and from a folder of files."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock_runtime.ports.secrets import Secrets

VARIABLE_PREFIX = "PENSTOCK_SECRET_"
MAX_SECRET_BYTES = 64 * 1024


class EnvironmentSecrets:
    """`PENSTOCK_SECRET_<NAME>`; the name in upper case, hyphens as underscores."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def find(self, name: str) -> str | None:
        """Give the variable's value; an empty one counts as absent."""
        return self._environ.get(self.places(name)) or None

    def places(self, name: str) -> str:
        """Name the variable."""
        return VARIABLE_PREFIX + name.upper().replace("-", "_")


class FileSecrets:
    """One file a secret in a folder, as Docker and Kubernetes mount them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def find(self, name: str) -> str | None:
        """Give the file's text without the newline at its end."""
        if "/" in name or name.startswith("."):
            return None
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str | None:
        try:
            with (self._folder / name).open(encoding="utf-8") as source:
                return source.read(MAX_SECRET_BYTES).rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError):
            return None

    def places(self, name: str) -> str:
        """Name the file."""
        return str(self._folder / name)


class FirstOf:
    """Asks several sources in their order."""

    def __init__(self, sources: Sequence[Secrets]) -> None:
        self._sources = tuple(sources)

    async def find(self, name: str) -> str | None:
        """Give the first value found."""
        for source in self._sources:
            value = await source.find(name)
            if value is not None:
                return value
        return None

    def places(self, name: str) -> str:
        """Name all places."""
        return " or ".join(source.places(name) for source in self._sources)
