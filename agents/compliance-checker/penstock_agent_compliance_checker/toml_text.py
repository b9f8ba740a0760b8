"""TOML of a stranger: read by the standard library, once its cost is bounded."""

import re
import tomllib
from typing import Any

MAX_KEY_PARTS = 40
# The library's time grows with the square of a key's parts.
_LONG_KEY = re.compile(rf"(?m)^[^=\n#\"']*?(?:\.[^.=\n#\"']*){{{MAX_KEY_PARTS}}}")


def read_toml(text: str) -> dict[str, Any]:
    """Read a document.

    Raises:
        ValueError: It is malformed, or has a key of more than `MAX_KEY_PARTS` parts.
    """
    for line in text.split("\n"):
        if line.count(".") >= MAX_KEY_PARTS and _LONG_KEY.match(line[:4_000]):
            raise ValueError("a key has too many parts")
    return tomllib.loads(text)
