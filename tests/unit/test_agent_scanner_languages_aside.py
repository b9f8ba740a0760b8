"""The child that reads files: it may die, the scan may not."""

import os
import time

from penstock_agent_security_scanner.catalogue import SQL
from penstock_agent_security_scanner.languages.aside import MAX_LOST, Aside, Found


def read(kind: str, text: str) -> Found:
    """Plays a parser that fails in the way it is asked to."""
    match kind:
        case "busy":
            # penstock: ignore[endless-loop] -- plays a parser that never ends
            while True:
                pass
        case "hungry":
            return [(SQL, len(bytearray(8_000_000_000)))]
        case "dead":
            os._exit(9)
        case "broken":
            raise ValueError(text)
        case _:
            return [(SQL, len(text))]


def test_a_child_reads_file_after_file() -> None:
    aside = Aside(read)
    assert aside.scan("fine", "abc") == [(SQL, 3)]
    assert aside.scan("fine", "x" * 300_000) == [(SQL, 300_000)]
    assert aside.lost == 0
    aside.close()


def test_a_file_that_kills_the_child_is_counted_and_the_next_is_read() -> None:
    aside = Aside(read)
    for count, kind in enumerate(("dead", "broken", "busy", "hungry"), 1):
        assert aside.scan(kind, "abc") == []
        assert aside.lost == count
        assert aside.scan("fine", "ab") == [(SQL, 2)]
    aside.close()


def test_so_many_lost_files_are_the_last() -> None:
    aside = Aside(read)
    for _ in range(MAX_LOST):
        aside.scan("dead", "")
    started = time.monotonic()
    assert aside.scan("busy", "") == []
    assert aside.lost == MAX_LOST + 1
    assert time.monotonic() - started < 1.0


def test_closing_leaves_no_child() -> None:
    aside = Aside(read)
    aside.scan("fine", "a")
    child = aside._child
    aside.close()
    assert not os.path.exists(f"/proc/{child}")  # noqa: PTH110
    aside.close()
