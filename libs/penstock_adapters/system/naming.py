"""Names of instances: their own where none is given, and the same again after a restart.

An instance that begins under the name of one that lives would be taken for its next life, and the
two would take the partitions from each other for ever.
"""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

INSTANCES_MAX = 100  # of one service with the same host name
RANDOM_BYTES = 4


@contextmanager
def claimed_name(service: str, host: str, folder: Path | None = None) -> Generator[str]:
    """Give `host`, or `host-2`, `host-3` .. where others of the service live on this machine.

    A name is held by a lock on a file in `folder` (default: one of this user's below the folder for
    temporary files), which the kernel gives up with the process, however that ends: who starts next
    has it again. Where nothing can be locked, the name ends in something random.
    """
    place = folder or Path(tempfile.gettempdir()) / f"penstock-names-{os.geteuid()}"
    name, lock = _first_free(place, service, host)
    try:
        yield name
    finally:
        if lock is not None:
            os.close(lock)


def _first_free(place: Path, service: str, host: str) -> tuple[str, int | None]:
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if place.is_symlink() or place.stat().st_uid != os.geteuid():
            raise PermissionError(f"{place} is another's")
        for number in range(1, INSTANCES_MAX + 1):
            name = host if number == 1 else f"{host}-{number}"
            lock = os.open(place / f"{service}.{name}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
            else:
                return name, lock
    except OSError:
        pass
    return f"{host}-{secrets.token_hex(RANDOM_BYTES)}", None
