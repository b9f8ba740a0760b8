"""What must not leave in a span is taken out before export."""

import re
from collections.abc import Iterable
from typing import Final

from penstock_runtime.telemetry.spans import AttributeValue

SHOWN: Final = "[redacted]"
MAX_TEXT_CHARS: Final = 256  # of a name or an attribute
MIN_SECRET_CHARS: Final = 4  # a shorter one would take half of every text out
_SHAPES: Final = (r"(?<=://)[^/\s@]+:[^/\s@]+(?=@)", r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


class Redaction:
    """Takes known secrets out of texts, and what has the shape of credentials; bounds them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Know `secrets` literally."""
        known = sorted({one for one in secrets if len(one) >= MIN_SECRET_CHARS}, key=len)
        patterns = [re.escape(one) for one in reversed(known)]  # the longest first
        self._pattern = re.compile("|".join((*patterns, *_SHAPES)))

    def text(self, text: str) -> str:
        """Redact and bound a text."""
        return self._pattern.sub(SHOWN, text)[:MAX_TEXT_CHARS]

    def value(self, value: AttributeValue) -> AttributeValue:
        """Redact and bound an attribute."""
        return self.text(value) if isinstance(value, str) else value
