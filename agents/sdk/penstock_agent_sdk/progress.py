"""Progress and partial results as structured lines, so that they need no channel of their own."""

import json
import sys
from collections.abc import Mapping
from typing import Any

PREFIX = "::penstock-progress "
PARTIAL_PREFIX = "::penstock-partial "
MAX_TEXT_CHARS = 500
MAX_PARTIAL_BYTES = 16 * 1024


def progress(text: str, fraction: float | None = None) -> None:
    """Say how far the agent is.

    Args:
        text: One short line for a person; line breaks become spaces.
        fraction: Share of the work done, clamped to 0..1; None when it cannot be known.
    """
    shown = None if fraction is None else round(min(1.0, max(0.0, fraction)), 4)
    _write(PREFIX, {"fraction": shown, "text": " ".join(text.split())[:MAX_TEXT_CHARS]})


def partial(output: Mapping[str, Any]) -> bool:
    """Say what the agent has so far, in case it does not come to its end.

    People see the last one while the agent runs and, where it is killed or its time is over,
    beside the failure. It is never taken for the output. It counts as printed text
    (`limits.log_kb`): say it now and then, not for every file.

    Args:
        output: A JSON object of at most `MAX_PARTIAL_BYTES`; shorten lists before.

    Returns:
        False if it is too large, and nothing was said.
    """
    text = json.dumps(dict(output), ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > MAX_PARTIAL_BYTES:
        return False
    _write(PARTIAL_PREFIX, text)
    return True


def _write(prefix: str, said: object) -> None:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    sys.stdout.write(f"{prefix}{text}\n")
    sys.stdout.flush()
