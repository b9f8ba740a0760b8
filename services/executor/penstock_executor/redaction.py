"""Literal secrets are taken out of everything an agent emits."""

import base64
import re
from collections.abc import Iterable
from typing import cast
from urllib.parse import quote

from pydantic import JsonValue
from pydantic_core import to_json

SHOWN = "[redacted]"
MIN_LINE_CHARS = 8  # a shorter line of a many-line secret says too little to be searched for


class Redactor:
    """Replaces secret values, also as JSON text, percent-encoded and in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted({form for value in secrets for form in _forms(value)}, key=len)
        pattern = "|".join(re.escape(form) for form in reversed(forms))  # the longest first
        self._pattern = re.compile(pattern) if pattern else None

    def text(self, text: str) -> str:
        """Redact a text."""
        return text if self._pattern is None else self._pattern.sub(SHOWN, text)

    def value(self, value: JsonValue) -> JsonValue:
        """Redact every text of a JSON value, keys included."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return value


def _forms(secret: str) -> Iterable[str]:
    if not secret:
        return
    yield secret
    yield cast("str", to_json(secret).decode())[1:-1]
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode()
    for line in secret.splitlines():
        if len(line.strip()) >= MIN_LINE_CHARS:
            yield line.strip()


NOTHING = Redactor(())
