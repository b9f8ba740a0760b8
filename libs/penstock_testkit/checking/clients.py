"""What clients have read of runs."""

from __future__ import annotations

from collections.abc import Iterator

from penstock_testkit.checking.history import History, Violation
from penstock_testkit.checking.run_ends import story_status
from penstock_testkit.checking.stories import TERMINAL, stories

_ENDED = frozenset(TERMINAL.values())


def observed_ends_stand(history: History) -> Iterator[Violation]:
    """Once a client has read how a run ended, it reads nothing else, and so does the store."""
    if not history.observed:
        return
    ends: dict[str, str] = {}
    for reading in history.observed:
        before = ends.get(reading.run_id)
        if before is not None and reading.status != before:
            detail = f"was read as {before} and then as {reading.status}"
            yield Violation("observed", reading.run_id, detail)
        if reading.status in _ENDED:
            ends.setdefault(reading.run_id, reading.status)
    stored = {story.run_id: story_status(story) for story in stories(history)}
    for run_id, status in ends.items():
        if stored.get(run_id, "") != status:
            detail = f"was read as {status} and the store says {stored.get(run_id) or 'nothing'}"
            yield Violation("observed", run_id, detail)
