"""Secrets from one file of `NAME=value` lines that only its owner may read."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from penstock_adapters.secrets.environment import variable_of
from penstock_adapters.secrets.reading import ENV_FILE_BYTES, read_secret_file
from penstock_runtime.ports.secrets import SecretUnusable

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_QUOTES = ("'", '"')


class EnvFileSecrets:
    r"""`SLACK_TOKEN=...` for the secret `slack-token`; read anew each time.

    Values are taken as they stand, without expansion. One in single or double quotes loses them;
    in double quotes `\n`, `\"` and `\\` stand for a newline, a quote and a backslash.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def find(self, name: str) -> str | None:
        """Give the value; an empty one counts as absent.

        Raises:
            SecretUnusable: the file is missing, open to others, or malformed.
        """
        return (await asyncio.to_thread(self.read)).get(variable_of(name)) or None

    def read(self) -> Mapping[str, str]:
        """Give all of them.

        Raises:
            SecretUnusable: as `find`; every line at fault is named, by its number only.
        """
        try:
            text = read_secret_file(self._path, ENV_FILE_BYTES, private=True)
        except FileNotFoundError:
            raise SecretUnusable(f"{self._path} does not exist") from None
        values, faults = read_lines(text)
        if faults:
            raise SecretUnusable(f"{self._path}: {'; '.join(faults)}")
        return values

    def places(self, name: str) -> str:
        """Name the line."""
        return f"{variable_of(name)} in {self._path}"


def read_lines(text: str) -> tuple[dict[str, str], list[str]]:
    """Read the lines of such a file: the values, and what is wrong with lines."""
    values: dict[str, str] = {}
    faults: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not _VARIABLE.fullmatch(name.strip()):
            faults.append(f"line {number} is not NAME=value")
        elif name.strip() in values:
            faults.append(f"line {number} names {name.strip()} a second time")
        elif (plain := _unquoted(value.strip())) is None:
            faults.append(f"line {number} has a quote that does not end")
        else:
            values[name.strip()] = plain
    return values, faults


def _unquoted(value: str) -> str | None:
    quote = value[:1]
    if quote not in _QUOTES or not quote:
        return value
    if len(value) == 1 or value[-1] != quote:
        return None
    inner = value[1:-1]
    return inner if quote == "'" else re.sub(r"\\([n\"\\])", _meant, inner)


def _meant(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
