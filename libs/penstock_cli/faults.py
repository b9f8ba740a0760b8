"""How a command ends: documented exit codes, and faults that say what, where and how to mend."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb. Append only: scripts depend on them."""

    OK = 0  # done
    REFUSED = 1  # refused, invalid or failed; the message says why
    USAGE = 2  # the command line is not valid
    RUN_FAILED = 3  # the awaited run ended, but not with success
    UNREACHABLE = 4  # nothing answers at the address
    NOT_FOUND = 5  # there is no such run, workflow, agent, approval or message
    DENIED = 6  # no valid token, or its roles do not allow this
    TIMED_OUT = 7  # the wait was over before the outcome came
    INTERRUPTED = 130  # Ctrl-C, or a signal that asks for the end


class CliFault(Exception):
    """Ends a command with a message instead of a traceback.

    Attributes:
        message: what is wrong, and where.
        mend: what to do about it; may be empty.
        code: the exit code.
    """

    def __init__(self, message: str, mend: str = "", code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.code = code
