"""Names of processes that hold for ever, so that what they leave behind can be told."""

from __future__ import annotations

import os

from penstock_adapters.process.proctree import start_time, stat_fields

_ZOMBIE = "Z"


def owner_tag() -> str:
    """Name this process for ever: `<pid>-<start time>`."""
    return f"{os.getpid()}-{start_time(os.getpid())}"


def owner_is_gone(tag: str) -> bool:
    """Whether a tag made by `owner_tag` belongs to a process that is no more."""
    pid, dash, started = tag.partition("-")
    if not dash or not pid.isdecimal():
        return False
    fields = stat_fields(int(pid))
    # One that is dead and not yet reaped keeps its number, and nothing else.
    return fields is None or fields[0] == _ZOMBIE or start_time(int(pid)) != started
