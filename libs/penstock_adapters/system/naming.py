"""Names of instances: their own where none is given, and the same again after a restart.

An instance that begins under the name of one that lives would be taken for its next life, and the
two would take the partitions from each other for ever.
"""

import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

INSTANCES_MAX = 100  # of one service with the same host name
RANDOM_BYTES = 4
TRIES_MAX = 10  # at what somebody deletes in the moment in which it is opened
CLEANED_S = 2.0  # for a cleaner of temporary files to be done with the folder
LOOK_S = 0.05

Wait = Callable[[float], None]


@contextmanager
def claimed_name(
    service: str, host: str, folder: Path | None = None, wait: Wait = time.sleep
) -> Generator[str]:
    """Give `host`, or `host-2`, `host-3` .. where others of the service live on this machine.

    A name is held by a lock on a file in `folder` (default: one of this user's below the folder for
    temporary files), which the kernel gives up with the process, however that ends: who starts next
    has it again. The folder is locked, too, for all of them together: what cleans temporary files
    (systemd-tmpfiles) leaves a locked folder alone, and would else delete a file of old that is
    held. Where nothing can be locked, the name ends in something random.
    """
    place = folder or Path(tempfile.gettempdir()) / f"penstock-names-{os.geteuid()}"
    with ExitStack() as held:
        yield _first_free(place, service, host, wait, held)


def _first_free(place: Path, service: str, host: str, wait: Wait, held: ExitStack) -> str:
    with suppress(OSError), ExitStack() as opened:
        inside = _folder(place, wait, opened)
        for number in range(1, INSTANCES_MAX + 1):
            name = host if number == 1 else f"{host}-{number}"
            if _claimed(inside, f"{service}.{name}", opened):
                held.enter_context(opened.pop_all())
                return name
    return f"{host}-{secrets.token_hex(RANDOM_BYTES)}"


def _folder(place: Path, wait: Wait, opened: ExitStack) -> int:
    """Open the folder of names and keep cleaners out of it.

    Raises:
        OSError: it is another's, or nothing can be made there.
    """
    for _ in range(TRIES_MAX):
        place.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as tried:
            folder = _opened(place, os.O_RDONLY | os.O_DIRECTORY, None, tried)
            if os.fstat(folder).st_uid != os.geteuid():
                break
            _keep_cleaners_out(folder, wait)
            if is_there(folder, place):
                opened.enter_context(tried.pop_all())
                return folder
    raise PermissionError(f"{place} is another's")


def _keep_cleaners_out(folder: int, wait: Wait) -> None:
    """Lock the folder together with others; one that goes on being locked is used all the same."""
    for _ in range(int(CLEANED_S / LOOK_S)):
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        wait(LOOK_S)


def _claimed(inside: int, name: str, opened: ExitStack) -> bool:
    """Lock a name's file; False: another holds it."""
    for _ in range(TRIES_MAX):
        with ExitStack() as tried:
            file = _opened(name, os.O_RDWR | os.O_CREAT, inside, tried)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            if is_there(file, name, inside):
                os.utime(file)  # as young as its holder, for whoever deletes what is old
                opened.enter_context(tried.pop_all())
                return True
    return False


def _opened(path: Path | str, flags: int, inside: int | None, until: ExitStack) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600, dir_fd=inside)
    until.callback(os.close, descriptor)
    return descriptor


def is_there(descriptor: int, path: Path | str, inside: int | None = None) -> bool:
    """Tell whether what is open is still what its path leads to, and not deleted since.

    A lock on what was deleted holds nothing: the next who opens the path makes another file.
    """
    try:
        now = os.stat(path, dir_fd=inside, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), now)
