"""Secrets from a folder, one file each, as Docker and Kubernetes mount them."""

import asyncio
import re
from pathlib import Path

from penstock_adapters.secrets.reading import read_secret_file

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class FolderSecrets:
    """The file of the secret's name; read anew each time, so that it may be exchanged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def find(self, name: str) -> str | None:
        """Give the file's text without the newline at its end; an empty one counts as absent.

        Raises:
            SecretUnusable: it cannot be read, or is no file with a text.
        """
        if not _FILE_NAME.fullmatch(name):
            return None
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str | None:
        try:
            return read_secret_file(self._folder / name).rstrip("\r\n") or None
        except FileNotFoundError:
            return None

    def places(self, name: str) -> str:
        """Name the file."""
        return str(self._folder / name)
