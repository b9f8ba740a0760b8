"""The notice that an agent is about to be ended, and the little time it then has.

A sandbox asks with SIGTERM: two seconds before it kills an agent whose time is over, and one
before it kills one that was cancelled. Without a handler a process ends by the signal at once,
which is right for most.
"""

import signal
from collections.abc import Callable
from types import FrameType


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
    """Call `handler` when the agent is asked to end, in a thread of its own.

    So it may print, or say a last `partial`, whatever the agent is at.

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
    # The signal may come in the middle of a print, which cannot be entered a second time: so
    # nothing is done here but to start what does it.
    first = not _notice.came
    _notice.came = True
    if first and _notice.handlers:
        import threading  # noqa: PLC0415 - few agents need it

        threading.Thread(target=_call_handlers, daemon=True).start()


def _call_handlers() -> None:
    for handler in _notice.handlers:
        handler()
