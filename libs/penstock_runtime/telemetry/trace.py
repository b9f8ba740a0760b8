"""W3C trace context in pure Python: `traceparent` is parsed, made and handed on here.

Ids are either drawn (at the edge, where a trace begins) or derived by SHA-256 from names, so that
a repeated publish of the same effect carries the same span, and a service that starts again
continues the trace.
"""

import hashlib
import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

SAMPLED: Final = 0x01
PROCESS: Final = "process"  # names the span of handling a message, below that of sending it
_REMEMBERED: Final = 1_024  # messages in work
_VERSION_00 = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})").fullmatch
_LATER = re.compile(
    r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
).fullmatch
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_NONE: Final = (_NO_TRACE, _NO_SPAN)
_MAX_LENGTH = 512  # a header longer than this is nobody's traceparent


class TraceContext(NamedTuple):
    """A place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits, not all zero.
        span_id: 16 hexadecimal digits, not all zero.
        flags: bit 0: sampled.
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    def header(self) -> str:
        """Write it as a version 00 `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self, *names: str) -> "TraceContext":
        """Give the span derived from this one and `names`: the same names, the same span."""
        trace_id, span_id, flags = self
        return TraceContext(trace_id, _nonzero(_digest(trace_id + span_id, names)[:16]), flags)

    def fresh_child(self, entropy: Callable[[int], bytes] = os.urandom) -> "TraceContext":
        """Give a drawn span below this one, for what happens once and is no fact."""
        return TraceContext(self.trace_id, _nonzero(entropy(8).hex()), self.flags)


def parse_traceparent(text: str | None) -> TraceContext | None:
    """Read a `traceparent` of any version; None if there is none or it is not valid.

    W3C: version ff is invalid, version 00 has exactly four parts, later ones may have more.
    """
    if text is None or len(text) > _MAX_LENGTH:
        return None
    found = _VERSION_00(text) or _LATER(text)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & SAMPLED)


def start_trace(entropy: Callable[[int], bytes] = os.urandom) -> TraceContext:
    """Begin a trace with drawn ids; `entropy` gives that many random bytes."""
    drawn = entropy(24).hex()
    return TraceContext(_nonzero(drawn[:32]), _nonzero(drawn[32:]))


def derive_trace(*names: str) -> TraceContext:
    """Begin a trace with ids derived from `names`: whoever begins it again, begins the same."""
    digits = _digest("", names)
    return TraceContext(_nonzero(digits[:32]), _nonzero(digits[32:48]))


def trigger_trace(trigger_aggregate: str, at_us: int) -> TraceContext:
    """Give the trace of a trigger that came without one.

    Its server time keeps apart what carries the same id in two installations.
    """
    return derive_trace("trigger", trigger_aggregate, str(at_us))


def child_header(text: str | None, *names: str) -> str | None:
    """Give the header of the child of a `traceparent`; None if there is none or it is not valid."""
    parent = parse_traceparent(text)
    return None if parent is None else parent.child(*names).header()


@lru_cache(_REMEMBERED)
def handling_of(text: str | None) -> TraceContext | None:
    """Give the span of handling the message with this `traceparent`; several parts ask for it."""
    sent = parse_traceparent(text)
    return None if sent is None else sent.child(PROCESS)


def continue_trace(text: str | None, entropy: Callable[[int], bytes] = os.urandom) -> TraceContext:
    """Give a drawn child of the given `traceparent`, or a new trace if there is none."""
    parent = parse_traceparent(text)
    return start_trace(entropy) if parent is None else parent.fresh_child(entropy)


def _digest(seed: str, names: tuple[str, ...]) -> str:
    """Hash in one go, which costs less than in parts; lengths keep the names apart."""
    told = "".join([seed, *[f"{len(name)}:{name}" for name in names]])
    return hashlib.sha256(told.encode()).hexdigest()


def _nonzero(digits: str) -> str:
    """All zeros means `no id`; the chance is nil, the rule is W3C's."""
    return digits if digits not in _NONE else digits[:-1] + "1"
