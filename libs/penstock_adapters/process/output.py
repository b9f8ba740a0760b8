"""Reading back the output document an agent left, which is not to be trusted in any way."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class OutputState(StrEnum):
    """What was found where the output should be."""

    PRESENT = "present"
    MISSING = "missing"
    REFUSED = "refused"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Output:
    """An output document; `data` is None unless the state is PRESENT."""

    state: OutputState
    data: bytes | None = None


def read_path(path: Path, limit: int) -> Output:
    """Read an output file by its path: no link, no device, no pipe, bounded by `limit` bytes."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Output(OutputState.MISSING)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES):
            return Output(OutputState.REFUSED)
        raise
    try:
        return read_descriptor(fd, limit)
    finally:
        os.close(fd)


def read_descriptor(fd: int, limit: int) -> Output:
    """Read an output file that is already open; an empty one counts as missing."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return Output(OutputState.REFUSED)
    if found.st_size > limit:
        return Output(OutputState.TOO_LARGE)
    data = bytearray()
    while len(data) <= limit:
        piece = os.pread(fd, limit + 1 - len(data), len(data))
        if not piece:
            break
        data += piece
    if len(data) > limit:
        return Output(OutputState.TOO_LARGE)
    return Output(OutputState.PRESENT, bytes(data)) if data else Output(OutputState.MISSING)
