"""The console channel: the task's log, which people follow live."""

import sys
import unicodedata
from typing import TextIO

MAX_LINES = 200


def write(message: str, severity: str, title: str, sink: TextIO | None = None) -> str:
    """Print the message, one severity-marked line per line of text; returns the detail.

    Every line is prefixed, and control characters are dropped, so that a message can imitate
    neither a terminal sequence nor a structured log line.
    """
    out = sys.stdout if sink is None else sink
    lines = ([title] if title else []) + message.splitlines()
    for line in lines[:MAX_LINES]:
        out.write(f"[{severity}] {printable(line)}\n")
    if len(lines) > MAX_LINES:
        out.write(f"[{severity}] ... {len(lines) - MAX_LINES} further lines not shown\n")
    out.flush()
    return "printed"


def printable(text: str) -> str:
    """`text` without control and direction-changing characters."""
    spaced = text.replace("\t", "    ")
    return "".join(char for char in spaced if unicodedata.category(char) not in ("Cc", "Cf"))
