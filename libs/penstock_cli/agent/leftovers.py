"""Files that an agent left in its artifacts folder, taken from there with care."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from penstock_cli.faults import CliFault

MAX_FILES = 1_000


def left_in(folder: Path) -> dict[str, int]:
    """Give the size of each regular file by its relative path; links are not followed.

    Raises:
        CliFault: there are too many.
    """
    found: dict[str, int] = {}
    for path in _files(folder):
        found[path.relative_to(folder).as_posix()] = path.lstat().st_size
        if len(found) > MAX_FILES:
            raise CliFault(f"the agent left over {MAX_FILES} artifacts")
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                yield path


def keep(found: dict[str, int], folder: Path, target: Path) -> None:
    """Copy the files out.

    Raises:
        CliFault: they cannot be written there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in found:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, place, follow_symlinks=False)
    except OSError as error:
        where = error.filename or target
        raise CliFault(f"artifacts cannot be kept: {where}: {error.strerror}") from None
