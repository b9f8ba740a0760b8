"""What can go wrong with the one-machine stack; each message says what to do about it."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The one-machine stack cannot do what was asked."""


class AlreadyRunningError(EmbeddedError):
    """Another supervisor holds the state folder."""


class ServerMissingError(EmbeddedError):
    """A server's program is not installed, or is too old."""


class StartFailedError(EmbeddedError):
    """A child process ended, or did not become ready, within its bound."""


class OutsideServerError(EmbeddedError):
    """A server that is not ours cannot be used; the message names the variable that names it."""


class PlacementFailedError(EmbeddedError):
    """As root: no place was found where PostgreSQL may run unprivileged."""


class StateDamagedError(EmbeddedError):
    """A file of the state folder cannot be read or does not hold what it should."""
