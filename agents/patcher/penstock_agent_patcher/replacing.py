"""Find and replace across files, with a bound on time and an expected count."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from penstock_agent_patcher.clone import Clone
from penstock_agent_patcher.conflicts import Obstacle, Refused, Unfit
from penstock_agent_patcher.models import FindReplace
from penstock_agent_patcher.text import MAX_FILE_BYTES, decoded, encoded
from penstock_agent_sdk import AgentError
from penstock_agent_sdk.globs import matcher

SEARCH_CPU_S = 10.0
MAX_GROWTH = 16 * 1024 * 1024


class SearchTimeout(Exception):
    """A regular expression took longer than `SEARCH_CPU_S`."""


def replace_all(clone: Clone, task: FindReplace) -> list[str]:
    """Replace in every matching file; the notes say how often.

    Raises:
        AgentError: `invalid_operation`: the expression or a pattern of `files` is malformed.
        Refused: Another number than expected, too slow, or a file is no text.
    """
    pattern = pattern_of(task)
    try:
        wanted = matcher(task.files)
    except re.error as error:
        raise AgentError("invalid_operation", f"files: {error}") from error
    paths = [path for path, entry in sorted(clone.files.items()) if entry.regular and wanted(path)]
    if not paths:
        raise Refused(Obstacle("", f"no file matches {', '.join(task.files)}"))
    counts: dict[str, int] = {}
    changed: dict[str, bytes] = {}
    passed_over: list[str] = []
    for path, before in clone.read_all(paths):
        if before is None:
            passed_over.append(f"{path} is over {MAX_FILE_BYTES} bytes and was passed over")
            continue
        try:
            after, count = replaced(before, task, pattern)
        except Unfit as error:
            raise Refused(Obstacle(path, str(error))) from error
        if count:
            counts[path] = count
            changed[path] = after
    total = sum(counts.values())
    if task.expected is not None and total != task.expected:
        where = ", ".join(f"{path} ({count})" for path, count in counts.items()) or "nowhere"
        found = f"{total} replacements instead of {task.expected}: {where}"
        raise Refused(*(Obstacle(path, found[:500]) for path in counts or [""]))
    for path, after in changed.items():
        clone.write(path, after)
    files = "1 file" if len(counts) == 1 else f"{len(counts)} files"
    return [f"{total} replacement{'' if total == 1 else 's'} in {files}", *passed_over]


def replaced(
    before: bytes,
    task: FindReplace,
    pattern: re.Pattern[str],
    *,
    search_cpu_s: float = SEARCH_CPU_S,
) -> tuple[bytes, int]:
    """One file's new content and how many replacements it has; binary files have none.

    Raises:
        Unfit: The search takes too long, or the result would be too large.
    """
    try:
        text, form = decoded(before)
    except Unfit:
        return before, 0
    if form.crlf:
        pattern = pattern_of(task, unify=True)
    template = form.fitted(task.replace)
    try:
        with cpu_bound(search_cpu_s):
            after, count = pattern.subn(template if task.regex else lambda _: template, text)
    except SearchTimeout as error:
        raise Unfit(f"the expression takes more than {search_cpu_s:g} s on this file") from error
    except (re.error, IndexError) as error:
        raise AgentError("invalid_operation", f"replace: {error}") from error
    if len(after) > len(text) + MAX_GROWTH:
        raise Unfit(f"the result is more than {MAX_GROWTH} characters longer")
    return encoded(after, form), count


def pattern_of(task: FindReplace, *, unify: bool = False) -> re.Pattern[str]:
    """The search; `unify`: for a text whose CR LF became LF.

    Raises:
        AgentError: `invalid_operation`.
    """
    find = task.find.replace("\r\n", "\n") if unify else task.find
    flags = re.MULTILINE | (re.IGNORECASE if task.ignore_case else 0)
    try:
        pattern = re.compile(find if task.regex else re.escape(find), flags)
        # Tells a malformed replacement before any file is read.
        re.compile(f"(?:{pattern.pattern})|").sub(task.replace, "") if task.regex else None
    except (re.error, IndexError, RecursionError, OverflowError) as error:
        raise AgentError("invalid_operation", f"find or replace: {error}") from error
    return pattern


@contextmanager
def cpu_bound(seconds: float) -> Iterator[None]:
    """End what runs inside with SearchTimeout after this much processor time.

    The engine of `re` looks for signals while it backtracks, so that a timer reaches it. Only the
    main thread may set one, which is where an agent runs.
    """

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise SearchTimeout

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
