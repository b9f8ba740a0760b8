"""What a command prints: people's output on a console, scripts' output as one JSON document."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from penstock_cli.faults import CliFault
from penstock_cli.visible import untricked

MICROSECONDS = 1_000_000  # not of the contracts: no verb for people waits for pydantic
STYLES = {
    "succeeded": "green",
    "approved": "green",
    "ready": "green",
    "running": "cyan",
    "storing": "cyan",
    "planning": "cyan",
    "applying": "bold cyan",
    "unknown": "bold red",
    "pushed_back": "yellow",
    "queued": "blue",
    "gated": "yellow",
    "pending": "yellow",
    "parked": "yellow",
    "retrying": "yellow",
    "backoff": "yellow",
    "failed": "red",
    "rejected": "red",
    "expired": "red",
    "dead": "red",
    "cancelled": "magenta",
    "withdrawn": "magenta",
    "skipped": "dim",
    "waiting": "dim",
    "stopped": "dim",
}
SYMBOLS = {
    "succeeded": "✔",
    "failed": "✘",
    "cancelled": "⊘",
    "skipped": "↷",
    "gated": "⏸",
    "retrying": "↻",
    "running": "▶",
    "storing": "⇪",
    "planning": "✎",
    "applying": "▶",
    "unknown": "?",
    "pushed_back": "↩",
    "queued": "…",
    "waiting": "·",
}

SHORT_DIGEST = 12  # hex digits
PIPE_COLUMNS = 200  # where no terminal says how wide it is

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPE_COLUMNS)


def somebody_is_there() -> bool:
    """Tell whether a person can be asked."""
    # A closed standard input is None, whatever its type says.
    return bool(sys.stdin) and sys.stdin.isatty() and out.is_terminal


def say(text: str = "") -> None:
    """Print a line with markup for people."""
    out.print(text, soft_wrap=True)


def plain(text: str) -> None:
    """Print text as it is: nothing in it is markup, nothing in it acts on the terminal."""
    out.print(untricked(text), soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document for scripts."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def show_fault(fault: CliFault) -> None:
    """Print a fault and its mend on stderr."""
    err.print(f"[bold red]error:[/] {escape(fault.message)}", soft_wrap=True)
    if fault.mend:
        err.print(f"[bold]mend:[/]  {escape(fault.mend)}", soft_wrap=True)


def table(*columns: str) -> Table:
    """Give an empty table in the one style of all lists."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    return drawn


def styled(text: str, status: str = "") -> Text:
    """Give a status (or another text) in the colour of the status."""
    return Text.assemble((text, STYLES.get(status or text, "")))


def symbol(status: str) -> Text:
    """Give the one-character sign of a node's status in its colour."""
    return Text(SYMBOLS.get(status, "?"), style=STYLES.get(status, ""))


def moment(time_us: object) -> str:
    """Give a time (microseconds since the epoch) in the local zone, to the second."""
    if not isinstance(time_us, int) or time_us <= 0:
        return "-"
    local = datetime.fromtimestamp(time_us / MICROSECONDS, UTC).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """Give a duration as people say it: 12 ms, 3.4 s, 2 min 05 s."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def duration(start_us: object, end_us: object) -> str:
    """Give the time between two moments, or a dash."""
    if not isinstance(start_us, int) or not isinstance(end_us, int) or not start_us:
        return "-"
    return span((end_us - start_us) / MICROSECONDS)


def counted(number: int, what: str) -> str:
    """Give a number of things: 1 file, 2 files."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def short(identifier: object) -> str:
    """Give the beginning of an id, enough to name it."""
    return str(identifier)[:8]


def short_digest(digest: object) -> str:
    """Give the beginning of a digest, enough for people to tell two apart."""
    return str(digest).removeprefix("sha256:")[:SHORT_DIGEST]
