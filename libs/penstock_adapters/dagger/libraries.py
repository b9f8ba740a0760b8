"""Which shared libraries programs of this machine need."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_LDD_WAIT_S = 60.0


class CannotCollect(RuntimeError):
    """This machine's programs cannot be brought along; the message says why."""


def libraries(files: Sequence[Path]) -> dict[str, Path]:
    """Give the libraries that programs and libraries load, by the name they ask for.

    The loader itself is among them, under its own path's name.

    Raises:
        CannotCollect: There is no `ldd` here, or it does not answer.
    """
    ldd = shutil.which("ldd")
    if ldd is None:
        raise CannotCollect("`ldd` is not on PATH")
    try:
        said = subprocess.run(
            [ldd, *map(str, files)],
            capture_output=True,
            check=False,
            text=True,
            timeout=_LDD_WAIT_S,
            env={"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCollect(f"`ldd` does not answer: {error}") from error
    found: dict[str, Path] = {}
    for line in said.stdout.splitlines():
        name, _, place = line.strip().rpartition(" (0x")[0].partition(" => ")
        path = Path(place or name)
        if path.is_absolute() and path.is_file():
            found[Path(name).name] = path
    return found


def loader_of(found: dict[str, Path]) -> Path:
    """Give the program that loads the others.

    Raises:
        CannotCollect: None was found: a program that is linked statically.
    """
    for name, path in found.items():
        if name.startswith(("ld-linux", "ld-musl", "ld64.so")):
            return path
    raise CannotCollect("the interpreter names no loader")
