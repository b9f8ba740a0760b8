"""Reading a file that holds secrets: plain, bounded, and never waited for."""

import os
import stat
from pathlib import Path

from penstock_runtime.ports.secrets import MAX_SECRET_BYTES, SecretUnusable

ENV_FILE_BYTES = 1024 * 1024
"""Largest file of variables."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_secret_file(path: Path, limit: int = MAX_SECRET_BYTES, *, private: bool = False) -> str:
    """Give the text of a file; links are followed, as Kubernetes makes them.

    Args:
        path: of the file.
        limit: bytes that it may have.
        private: nobody but its owner, who is us or root, may have any right to it.

    Raises:
        FileNotFoundError: there is none.
        SecretUnusable: it is no plain file, too large, not UTF-8, not to be read, or open to
            others.
    """
    try:
        # A pipe without a writer would hold its reader for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except OSError as error:
        raise SecretUnusable(f"{path} cannot be read: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise SecretUnusable(f"{path} is not a plain file")
        if private and found.st_mode & _OTHERS:
            mode = stat.S_IMODE(found.st_mode)
            raise SecretUnusable(f"{path} has mode {mode:04o}; others may look into it: chmod 600")
        if private and found.st_uid not in (0, os.geteuid()):
            raise SecretUnusable(f"{path} belongs to somebody else (uid {found.st_uid})")
        return _text(fd, path, limit)
    finally:
        os.close(fd)


def _text(fd: int, path: Path, limit: int) -> str:
    data = bytearray()
    while len(data) <= limit:
        piece = os.read(fd, limit + 1 - len(data))
        if not piece:
            break
        data += piece
    if len(data) > limit:
        raise SecretUnusable(f"{path} has more than {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SecretUnusable(f"{path} is not UTF-8 text") from None
