"""What must not leave in spans and log records is taken out before export."""

import re
from collections.abc import Iterable
from typing import Final

from penstock_core.redaction import SHOWN, Redactor
from penstock_runtime.settings import MIN_SECRET_CHARS

MAX_TEXT_CHARS: Final = 256  # of a name or an attribute
LEARNED_MAX: Final = 1_000  # secrets that are looked for
_SHAPES: Final = re.compile(
    r"(?<=://)[^/\s@]+:[^/\s@]+(?=@)|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
)
_SIGNS: Final = ("://", "bearer", "basic")  # without one of them there is no such shape


class Redaction:
    """Takes known secrets out of texts, and what has the shape of credentials; bounds them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Know `secrets`, also encoded; short ones would take half of every text out."""
        self._known = Redactor(one for one in secrets if len(one) >= MIN_SECRET_CHARS)

    def learn(self, secret: str) -> None:
        """Know a further secret from here on."""
        if len(secret) >= MIN_SECRET_CHARS:
            self._known = self._known.also(secret, LEARNED_MAX)

    def suspects(self, raw: bytes) -> bool:
        """Tell whether a secret as it is, or what looks like credentials, may be in `raw`."""
        lowered = raw.lower()
        return any(sign.encode() in lowered for sign in _SIGNS) or self._known.finds_in(raw)

    def holds(self, text: str) -> bool:
        """Tell whether a secret is in a text, in any form."""
        return self._known.finds(text)

    def text(self, text: str, most_chars: int = MAX_TEXT_CHARS) -> str:
        """Redact and bound a text."""
        lowered = text.lower()
        if any(sign in lowered for sign in _SIGNS):
            text = _SHAPES.sub(SHOWN, text)
        return self._known.text(text)[:most_chars]
