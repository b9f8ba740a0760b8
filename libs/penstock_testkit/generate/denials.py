"""docs/security/sandboxes.md: what each sandbox denies, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock_runtime.ports.sandbox import ExitReason
from penstock_testkit.bombs import BOMBS, Bomb
from penstock_testkit.escapes import ESCAPES, LIMITED, Escape

PAGE = "docs/security/sandboxes.md"
owns = (PAGE,)

_SHOWN = ("bubblewrap", "dagger")
_HEAD = """<!-- generated from libs/penstock_testkit/escapes: do not edit -->

# What the sandboxes deny

Each line is tried from inside twice, by a hostile agent in Python and by one in C
(`tests/security/test_sandbox_denials.py`), in every sandbox that the machine has. What is called
open has to be open to both, and nothing else may be to either: the table cannot say more, or less,
than what was seen. The agent in C is built by the machine's own compiler and skipped where it has
none; it is static where that can be, and then runs in an image without a libc.

The `process` and `inline` adapters isolate nothing: nothing of this is denied. What does no harm
is tried there too, and has to succeed, or the attempts would show nothing.

| an agent tries to | bubblewrap | dagger | process, inline |
| --- | --- | --- | --- |
"""
_LIMITS = """
## What is limited, and by whom

| | bubblewrap | dagger |
| --- | --- | --- |
"""
_BOMBS = """
## What becomes of an agent that takes all it can get

Each goes off in Python and in C (`tests/security/test_sandbox_bombs.py`), under bubblewrap with
control groups and without, and on an engine; and beside a neighbour that has to keep its time
(`test_sandbox_neighbours.py`; measured by `python load-tests/neighbours.py`).

| an agent | it ends |
| --- | --- |
"""
_ENDS = {
    ExitReason.EXITED: "by itself, refused by the kernel at the limit",
    ExitReason.MEMORY: "at the limit of memory",
    ExitReason.TIMEOUT: "held at the limit until its time is over",
    ExitReason.SIGNALLED: "at the limit of processes",
    ExitReason.LOG_LIMIT: "at sixteen times its limit of lines",
    ExitReason.OUTPUT_TOO_LARGE: "with its output refused",
}
_BESIDES = """
## What else to know about an engine

- Whoever reaches an engine's socket is root on its host. It is never shown to an agent, and belongs
  to executors alone.
- Turn insecure root capabilities off on the engine (`engine.json`:
  `{"security": {"insecureRootCapabilities": false}}`). Penstock never asks for them.
- In a container the first process is root, with what the engine grants by default. The agent is
  not: it has a uid that no other task has, no capabilities, no way to new ones, and the same call
  filter as under bubblewrap, which refuses network sockets besides.
- With `PENSTOCK_DAGGER_NETWORK=engine` agents with `network: egress` may open network sockets. What
  they reach is then what the engine reaches, other containers on it included. Run such a pool on
  an engine of its own.
- Give an engine a memory limit of its own: the kernel then ends what a watchdog is too late for.
"""


def generate(root: Path) -> Mapping[str, str]:
    """Write the page."""
    _ = root
    rows = "".join(_row(escape) for escape in ESCAPES)
    limits = "".join(f"| {' | '.join(row)} |\n" for row in LIMITED)
    bombs = "".join(_bomb(bomb) for bomb in BOMBS)
    return {PAGE: _HEAD + rows + _LIMITS + limits + _BOMBS + bombs + _BESIDES}


def _bomb(bomb: Bomb) -> str:
    ends = [said for reason, said in _ENDS.items() if reason in bomb.ends]
    return f"| {bomb.aim} | {', or '.join(ends)} |\n"


def _row(escape: Escape) -> str:
    cells = [_cell(escape, name) for name in _SHOWN]
    return f"| {escape.aim} | {' | '.join(cells)} | not denied |\n"


def _cell(escape: Escape, adapter: str) -> str:
    if adapter in escape.open_in:
        return f"open: {escape.open_in[adapter]}"
    if adapter in escape.maybe_in:
        return f"denied, but {escape.maybe_in[adapter]}"
    return "denied"
