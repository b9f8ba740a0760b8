"""Telling an index what the files look like that were just written beside it.

Without this git is right as well, but takes the files for changed until it has read them again.
Format: gitformat-index(5), versions 2 to 4.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping

from penstock_runtime.ports.repositories import RepositoryRefused

_HEADER = struct.Struct(">4sII")
_STAT = struct.Struct(">6I")
_OWNER = struct.Struct(">3I")
_OWNER_AT = 28  # behind the mode, which is git's to say
_FIXED = 40
_EXTENDED = 0x4000
_WORD = 0xFFFFFFFF


def refuse_sparse(index: bytes) -> None:
    """See that an index lists files, and not whole folders instead.

    Raises:
        RepositoryRefused: it is sparse.
    """
    if b"sdir\0\0\0\0" in index[-1024:]:
        raise RepositoryRefused(
            "the index is sparse: `git sparse-checkout reapply --no-sparse-index`"
        )


def with_stats(index: bytes, files: Mapping[str, os.stat_result], *, sha256: bool) -> bytes:
    """Give the same index with the look of some files filled in; one that is unknown stays."""
    size = 32 if sha256 else 20
    wanted = {path.encode(): found for path, found in files.items()}
    changed = bytearray(index)
    try:
        for place, name in _entries(index, size):
            found = wanted.get(name)
            if found is not None:
                _fill(changed, place, found)
    except (struct.error, ValueError, IndexError):
        return index
    body = memoryview(changed)[:-size]
    if any(index[-size:]):  # all zero: no checksum is kept (index.skipHash)
        digest = hashlib.sha256(body) if sha256 else hashlib.sha1(body, usedforsecurity=False)
        changed = bytearray(body) + digest.digest()
    return bytes(changed)


def _fill(index: bytearray, place: int, found: os.stat_result) -> None:
    times = (*divmod(found.st_ctime_ns, 10**9), *divmod(found.st_mtime_ns, 10**9))
    look = (*times, found.st_dev & _WORD, found.st_ino & _WORD)
    _STAT.pack_into(index, place, *(number & _WORD for number in look))
    owner = (found.st_uid & _WORD, found.st_gid & _WORD, found.st_size & _WORD)
    _OWNER.pack_into(index, place + _OWNER_AT, *owner)


def _entries(index: bytes, id_size: int) -> Iterator[tuple[int, bytes]]:
    """Give the place and the name of each entry."""
    _, version, count = _HEADER.unpack_from(index)
    place, name = _HEADER.size, b""
    for _ in range(count):
        flags_at = place + _FIXED + id_size
        (flags,) = struct.unpack_from(">H", index, flags_at)
        start = flags_at + (4 if flags & _EXTENDED else 2)
        if version == 4:
            kept, start = _varint(index, start)
            name = name[: len(name) - kept]
        else:
            name = b""
        end = index.index(b"\0", start)
        name += index[start:end]
        yield place, name
        place = end + 1 if version == 4 else place + ((end - place + 8) & ~7)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Read git's offset encoding; gives the number and where it ends."""
    byte = data[place]
    place += 1
    number = byte & 127
    while byte & 128:
        byte = data[place]
        place += 1
        number = ((number + 1) << 7) | (byte & 127)
    return number, place
