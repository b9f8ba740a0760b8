"""Progress as a structured log line, so that it needs no channel of its own."""

import json
import sys

PREFIX = "::penstock-progress "
MAX_TEXT_CHARS = 500


def progress(text: str, fraction: float | None = None) -> None:
    """Say how far the agent is.

    Args:
        text: One short line for a person; line breaks become spaces.
        fraction: Share of the work done, clamped to 0..1; None when it cannot be known.
    """
    shown = None if fraction is None else round(min(1.0, max(0.0, fraction)), 4)
    line = {"fraction": shown, "text": " ".join(text.split())[:MAX_TEXT_CHARS]}
    sys.stdout.write(f"{PREFIX}{json.dumps(line, ensure_ascii=False)}\n")
    sys.stdout.flush()
