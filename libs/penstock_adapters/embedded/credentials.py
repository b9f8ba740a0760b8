"""Secrets of one instance: generated once at first start, never defaulted, kept 0600."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from penstock_adapters.embedded.faults import StateDamagedError
from penstock_adapters.embedded.home import read_object, write_private

SECRET_BYTES: Final = 32


class SecretBook:
    """Named secrets in one JSON file; a name once generated keeps its value for ever."""

    def __init__(self, path: Path) -> None:
        """Open the book at `path`; the file need not exist.

        Raises:
            StateDamagedError: the file is there but holds something else.
        """
        self._path: Path = path
        self._values: dict[str, str] = {}
        for name, value in (read_object(path) or {}).items():
            if not isinstance(value, str) or not value:
                raise StateDamagedError(f"{path}: {name} is not a text")
            self._values[name] = value

    def ensure(self, names: Iterable[str]) -> None:
        """Generate what is missing (URL-safe text of 256 bits) and write the file once."""
        missing = [name for name in names if name not in self._values]
        if missing:
            self._values.update((name, secrets.token_urlsafe(SECRET_BYTES)) for name in missing)
            self._write()

    def ensure_hex(self, name: str) -> None:
        """Generate `name` as 32 random bytes in hexadecimal when it is missing."""
        if name not in self._values:
            self._values[name] = secrets.token_hex(SECRET_BYTES)
            self._write()

    def renew(self, names: Iterable[str]) -> None:
        """Draw the secrets called `names` afresh, as `ensure` would, and write the file once."""
        self._values.update((name, secrets.token_urlsafe(SECRET_BYTES)) for name in names)
        self._write()

    def __getitem__(self, name: str) -> str:
        """The secret called `name`.

        Raises:
            KeyError: it was never generated.
        """
        return self._values[name]

    def _write(self) -> None:
        write_private(self._path, json.dumps(self._values, indent=1, sort_keys=True) + "\n")


def nats_secret(user: str) -> str:
    """Name under which the password of a NATS user is kept."""
    return f"nats.{user}"


def postgres_secret(role: str) -> str:
    """Name under which the password of a database role is kept."""
    return f"postgres.{role}"


def write_once(path: Path, text: str) -> None:
    """Write a private file unless it already holds exactly `text`."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except FileNotFoundError:
        pass
    write_private(path, text)
