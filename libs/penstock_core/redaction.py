"""Known secrets are found in texts, in the forms in which programs print them, and taken out.

Forms: as it is and in one case, as JSON (once and twice) and as Python write it, percent-encoded,
in hexadecimal, in base64 wherever it begins among other bytes, and the lines of what has many. A
secret that was cut in pieces, reversed or enciphered is not found: that is for the sandbox's
network to hold.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from pydantic import JsonValue
from pydantic_core import to_json

SHOWN: Final = "[redacted]"
MIN_LINE_CHARS: Final = 8  # a shorter line of a many-line secret says too little to be looked for
MIN_PIECE_CHARS: Final = 8  # nor does a shorter part of an encoded one
WRAPPED_CHARS: Final = (60, 64, 76)  # at which `xxd`, PEM and `base64` begin a new line
_URL_SAFE: Final = str.maketrans("+/", "-_")


class Redactor:
    """Takes secrets out of texts and JSON values.

    Looking for each form by itself is what C does fast; the pattern that replaces them only runs
    where one was found.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """Know `secrets`; empty ones are ignored."""
        known = dict.fromkeys(value for value in secrets if value)
        self._known = tuple(known)
        forms = sorted({form for value in known for form in secret_forms(value)}, key=len)
        self._forms = tuple(reversed(forms))  # the longest first
        self._raw = tuple(value.encode("utf-8", "replace") for value in known)
        self._encoded = tuple(form.encode("utf-8", "replace") for form in self._forms)
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))
        self.longest_chars: int = len(self._forms[0]) if forms else 0
        self.longest_bytes: int = max(map(len, self._encoded), default=0)

    def also(self, secret: str, most: int) -> "Redactor":
        """Give one that knows `secret`, too; of more than `most`, the oldest are forgotten."""
        if not secret or secret in self._known:
            return self
        return Redactor((*self._known, secret)[-most:])

    def finds(self, text: str) -> bool:
        """Tell whether any form of a secret is in `text`."""
        return any(form in text for form in self._forms)

    def finds_in(self, raw: bytes) -> bool:
        """Tell whether a secret as it is, in UTF-8, is in `raw`."""
        return any(secret in raw for secret in self._raw)

    def finds_form_in(self, raw: bytes) -> bool:
        """Tell whether any form of a secret, in UTF-8, is in `raw`."""
        return any(form in raw for form in self._encoded)

    def text(self, text: str) -> str:
        """Redact a text."""
        return self._pattern.sub(SHOWN, text) if self.finds(text) else text

    def value(self, value: JsonValue) -> JsonValue:
        """Redact every text of a JSON value, keys included."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return value

    def split(self, text: str, keep_chars: int) -> tuple[str, str]:
        """Divide a text of which more will come, so that no secret in it is divided.

        Returns:
            The first part redacted, and the last part as it is, of at most `keep_chars`.
        """
        at = max(len(text) - keep_chars, 0)
        for found in self._pattern.finditer(text) if self._forms else ():
            if found.start() < at < found.end():
                at = found.end()
        return self.text(text[:at]), text[at:]


def secret_forms(secret: str) -> frozenset[str]:
    """Give everything that is looked for to find one secret."""
    whole = _forms(secret) if secret else iter(())
    lines = (line.strip() for line in secret.splitlines())
    parts = {part for part in lines if len(part) >= MIN_LINE_CHARS and part != secret}
    return frozenset(form for one in (whole, *map(_forms, parts)) for form in one if form)


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode("utf-8", "replace")
    yield from (secret, secret.lower(), secret.upper())  # host names, for one, lose their case
    for written in (_json, json.dumps):
        once = written(secret)
        yield once[1:-1]
        yield written(once[1:-1])[1:-1]
        yield once[1:-1].replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield from _percent(secret, raw)
    yield from _pieces(raw.hex(), str.upper)
    encoded = base64.b64encode(raw).decode()
    yield from (encoded, encoded.translate(_URL_SAFE))
    for offset in range(3):
        yield from _pieces(_inside(raw, offset), lambda text: text.translate(_URL_SAFE))


def _json(text: str) -> str:
    return to_json(text).decode()


def _percent(secret: str, raw: bytes) -> Iterator[str]:
    for form in (
        quote(secret, safe=""),
        quote(secret),
        quote(secret, safe="!'()*"),  # what browsers' encodeURIComponent leaves
        quote_plus(secret),
        "".join(f"%{byte:02X}" for byte in raw),
    ):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form)


def _inside(raw: bytes, offset: int) -> str:
    """Give what of base64 is the same whatever `offset` bytes before and any after it hold."""
    encoded = base64.b64encode(bytes(offset) + raw).decode()
    return encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


def _pieces(encoded: str, also: Callable[[str], str]) -> Iterator[str]:
    """Give an encoded form, and what is left of it where programs wrap their lines."""
    for form in {encoded, also(encoded)}:
        for width in (len(form), *WRAPPED_CHARS):
            for at in range(0, len(form), width or 1):
                piece = form[at : at + width]
                if len(piece) >= MIN_PIECE_CHARS:
                    yield piece
