"""The notice that an agent is about to be ended, and the little time it then has.

A sandbox asks with SIGTERM when the agent's time is over, and kills two seconds later whatever
still runs. Without a handler a process ends by the signal at once, which is right for most.
"""

import signal
from collections.abc import Callable
from types import FrameType

GRACE_S = 2.0
"""Seconds between the notice and the kill."""


class _Notice:
    def __init__(self) -> None:
        self.came = False
        self.listening = False
        self.handlers: list[Callable[[], None]] = []


_notice = _Notice()


def cancelled() -> bool:
    """Tell whether the agent was asked to end; from the first call on the signal only tells that.

    A loop that looks here can put things in order and return, or say a last `partial`. Who calls
    this must look often: a signal that nobody looks at keeps the agent until it is killed.
    """
    _listen()
    return _notice.came


def on_cancel(handler: Callable[[], None]) -> None:
    """Call `handler` when the agent is asked to end, in its main thread, between two steps of it.

    Raises:
        ValueError: This is not the main thread.
    """
    _notice.handlers.append(handler)
    _listen()


def _listen() -> None:
    if not _notice.listening:
        _ = signal.signal(signal.SIGTERM, _told)
        _notice.listening = True


def _told(_number: int, _frame: FrameType | None) -> None:
    _notice.came = True
    for handler in _notice.handlers:
        handler()
